//! What machines say of themselves: that they are taken back, and when they are to be gone.

use std::{collections::BTreeMap, time::Duration};

use super::{operations::ExpiryCall, outcome::Action, planner::Planner};
use crate::{
    model::{DrainReason, EventKind, NodeId, NodeName, ObservedNode, Severity, Slot, SlotEntry, Stage, Stop},
    spec::GroupName,
};

/// A machine that was to be taken back and is still there is ended after so long.
const TAKEN_BACK: Duration = Duration::from_mins(10);

/// Expiry dates that do not show are written again after so long.
const WRITE_AGAIN: Duration = Duration::from_mins(1);

impl Planner<'_> {
    /// A worker that its provider takes back hands its data over by itself; its slot is filled anew at
    /// once.
    pub(super) fn settle_notice(&mut self, id: &NodeId, entry: &SlotEntry, node: &ObservedNode) {
        let Some(at) = node.machine.as_ref().and_then(|machine| machine.taken_back_at) else { return };
        // A scheduler cannot hand anything over: it works as long as it is there.
        if id.group.is_scheduler() || !entry.is_live() {
            return;
        }
        let held = self.held(&id.name());
        let registered = self.entry(&id.group, id.slot).is_some_and(|e| e.stage == Stage::Registered);
        let message = if registered {
            format!(
                "{id} is taken back by its provider at {at}; it hands its data over ({held}) and is replaced"
            )
        } else {
            format!("{id} is taken back by its provider at {at}, before it was ready; it is replaced")
        };
        self.event(Severity::Warning, EventKind::NodeTakenBack, Some(id.name()), message);
        if registered {
            let now = self.now();
            self.with_entry(id, |entry| entry.enter(Stage::Draining(DrainReason::TakenBack), now));
        } else {
            self.vacate(id);
            self.remove(vec![id.name()], Stop::Now);
        }
    }

    /// Says how far machines are that boot, and which have become nodes: once for each step and group, however many they
    /// are. `before`: how far the group's slots were.
    pub(super) fn tell_of_machines(&mut self, group: &GroupName, before: &BTreeMap<Slot, Stage>) {
        if self.launching().is_none() {
            return;
        }
        let mut steps: Vec<(String, Vec<NodeName>)> = Vec::new();
        let mut registered = Vec::new();
        for slot in self.occupied(group, SlotEntry::is_live) {
            let stage = self.entry(group, slot).map(|entry| entry.stage);
            let was = before.get(&slot).copied();
            if stage == Some(Stage::Registered) && !matches!(was, Some(Stage::Intended | Stage::Launched)) {
                continue;
            }
            let (Some(id), Some(entry)) = (self.node_id(group, slot), self.entry(group, slot)) else {
                continue;
            };
            if entry.stage == Stage::Registered {
                registered.push(id.name());
                continue;
            }
            let Some(machine) = self.observed(&id).and_then(|node| node.machine.as_ref()) else { continue };
            let told = entry.booting.as_ref();
            let known = told.and_then(|told| machine.steps.iter().rposition(|step| step == told));
            for step in machine.steps.iter().skip(known.map_or(0, |known| known + 1)) {
                match steps.iter_mut().find(|(said, _)| said == step) {
                    Some((_, nodes)) => nodes.push(id.name()),
                    None => steps.push((step.clone(), vec![id.name()])),
                }
            }
            // A controller that has just started has not heard anything yet.
            if let Some(newest) = machine.steps.last().cloned() {
                self.with_entry(&id, |entry| entry.booting = Some(newest));
            }
        }
        for (step, nodes) in steps {
            self.tell(group, EventKind::NodeBooting, &nodes, &step);
        }
        self.tell(group, EventKind::NodeRegistered, &registered, "registered with the scheduler");
    }

    fn tell(&mut self, group: &GroupName, kind: EventKind, nodes: &[NodeName], what: &str) {
        // The scheduler has an event of its own once it answers.
        if kind == EventKind::NodeRegistered && group.is_scheduler() {
            return;
        }
        match nodes {
            [] => {}
            [one] => self.event(Severity::Normal, kind, Some(one.clone()), what.to_owned()),
            [first, ..] => {
                let message = format!("{} machines of {group}, {first} among them: {what}", nodes.len());
                self.event(Severity::Normal, kind, None, message);
            }
        }
    }

    /// A machine that is taken back is waited for; its provider ends it.
    pub(super) fn follow_taken_back(&mut self, id: &NodeId, entry: &SlotEntry) {
        if self.observed(id).is_some() && self.passed(entry.since, TAKEN_BACK) {
            self.remove(vec![id.name()], Stop::Now);
        }
    }

    /// Has machines that are to be gone at another time than they say be told so.
    pub(super) fn correct_expiry(&mut self) {
        if self.launching().is_none() {
            return;
        }
        let at = self.expires_at();
        let differs = |node: &&ObservedNode| {
            node.is_alive() && node.machine.as_ref().is_some_and(|machine| machine.expires_at != at)
        };
        let nodes: Vec<NodeName> = self
            .own_nodes()
            .filter(differs)
            .filter(|node| self.entry(&node.id.group, node.id.slot).is_some_and(SlotEntry::is_live))
            .map(|node| node.id.name())
            .collect();
        if nodes.is_empty() {
            return;
        }
        let due = match self.situation.operations.expiry {
            Some(ExpiryCall::InFlight) => false,
            Some(ExpiryCall::Ended { to, ended }) if to == at => self.passed(ended, WRITE_AGAIN),
            Some(ExpiryCall::Ended { .. }) | None => true,
        };
        if due {
            self.actions.push(Action::SetExpiry { nodes, at });
        }
    }
}
