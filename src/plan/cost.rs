//! What a cluster costs, and the limits of that.

use std::time::Duration;

use jiff::Timestamp;

use super::planner::{Planner, later};
use crate::{
    model::{Money, NodeId, Spending, Stage},
    spec::GroupName,
};

impl Planner<'_> {
    /// Keeps account of what the cluster costs. The ledger changes only when the hourly price does.
    pub(super) fn note_spending(&mut self) {
        if self.launching().is_none() {
            return;
        }
        let (now, hourly) = (self.now(), self.hourly());
        match &mut self.ledger.spending {
            Some(spending) if spending.hourly == hourly => {}
            Some(spending) => {
                *spending = Spending { spent: spending.until(now), since: now, hourly };
            }
            None if hourly == Money::default() => {}
            None => self.ledger.spending = Some(Spending { spent: Money::default(), since: now, hourly }),
        }
    }

    /// What the nodes that are there cost an hour.
    fn hourly(&self) -> Money {
        let alive = self.own_nodes().filter(|node| node.is_alive());
        let prices = alive.filter_map(|node| node.machine.as_ref()?.hourly);
        prices.fold(Money::default(), Money::plus)
    }

    /// What is there and what is on its way costs an hour at most.
    fn hourly_to_come(&self) -> Money {
        let mut sum = self.hourly();
        for (name, group) in &self.ledger.groups {
            for (slot, entry) in group.slots.iter().filter(|(_, entry)| entry.stage != Stage::Vacant) {
                let id: Option<NodeId> = group.node(self.situation.record.name(), name, *slot);
                if id.is_some_and(|id| self.observed(&id).is_some()) {
                    continue;
                }
                let intent = entry.awaited().and_then(|launch| self.ledger.launches.get(launch));
                let choice = self.choice(name, intent.map_or(0, |intent| intent.choice));
                sum = sum.plus(choice.hourly.unwrap_or_default());
            }
        }
        sum
    }

    /// How many nodes more of a group `maxHourlyCost` allows, at most `wanted`.
    pub(super) fn affordable(&mut self, group: &GroupName, choice: u32, wanted: usize) -> usize {
        let limit = self.launching().and_then(|launching| launching.max_hourly_cost);
        let each = self.choice(group, choice).hourly.unwrap_or_default();
        let (Some(limit), false) = (limit, each == Money::default()) else { return wanted };
        let present = self.hourly_to_come();
        let room = usize::try_from(limit.minus(present).0 / each.0).unwrap_or(usize::MAX);
        if room < wanted {
            let message = format!(
                "{} of {wanted} more nodes of group {group} are within maxHourlyCost: {limit} an hour, of which \
                 {present} are used, and one costs {each}",
                room.min(wanted)
            );
            self.over_cost.get_or_insert(message);
        }
        room.min(wanted)
    }

    /// When, counted from the last change of its price, the cluster has cost its `maxCost`.
    pub(super) fn cost_limit(&self) -> Option<(Timestamp, Duration)> {
        let limit = self.launching()?.max_cost?;
        let spending = self.ledger.spending.as_ref()?;
        let left = limit.minus(spending.spent);
        let lasts =
            if left == Money::default() { Some(Duration::ZERO) } else { left.lasts_at(spending.hourly) };
        Some((spending.since, lasts?))
    }

    /// When machines are to be gone whatever happens: an hour after the cluster's `maxLifetime`, in whole
    /// seconds.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        const AFTER: Duration = Duration::from_hours(1);
        let lifetime = self.spec().max_lifetime()?;
        let at = later(self.situation.record.wanted.created_at, lifetime.saturating_add(AFTER));
        Timestamp::from_second(at.as_second()).ok()
    }
}
