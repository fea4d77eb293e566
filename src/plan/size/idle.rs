//! Shrinking by what has been idle: what may go, and what stays because nobody can take its data.

use std::{collections::BTreeMap, time::Duration};

use super::reason::seconds;
use crate::{
    model::{
        AdaptiveSize, DrainReason, EventKind, HeldUp, NodeId, Severity, Slot, SlotEntry, Stage, WorkerState,
        WorkerStatus,
    },
    plan::{
        operations::DrainCall,
        planner::{Planner, later},
    },
    spec::{GroupName, Size},
};

/// After the first try that found no recipient; doubled with each one more.
const FIRST_PAUSE: Duration = Duration::from_mins(1);

const LONGEST_PAUSE: Duration = Duration::from_mins(30);

/// How long idle workers are left alone after so many tries in a row that found no recipient.
fn tried_again_after(tries: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}

/// A worker of an adaptive group, as the ledger and the engine know it.
#[derive(Debug, Clone)]
pub(super) struct Member<'a> {
    pub slot: Slot,
    pub stage: Stage,
    pub since: jiff::Timestamp,
    pub worker: Option<&'a WorkerStatus>,
}

impl Member<'_> {
    /// Whether it has nothing to do and can go: one that is on its way has never had anything.
    fn is_idle(&self) -> bool {
        match (self.stage, self.worker) {
            (Stage::Registered, None) => false,
            (_, None) => true,
            (_, Some(worker)) => {
                worker.processing == 0 && worker.actors == 0 && worker.state != WorkerState::Retiring
            }
        }
    }
}

impl<'a> Planner<'a> {
    /// Of an adaptive group that has more than it needs: who has had nothing to do for long enough.
    pub(super) fn idle_long_enough(&mut self, state: &mut AdaptiveSize, members: &[Member<'_>]) -> Vec<Slot> {
        let now = self.now();
        let before = std::mem::take(&mut state.idle);
        let idle = members.iter().filter(|member| member.is_idle()).map(|member| {
            // What was noted of an earlier stage, or of the slot's last worker, does not count.
            let known = before.get(&member.slot).copied().filter(|since| *since >= member.since);
            (member.slot, known.unwrap_or(now))
        });
        state.idle = idle.collect();
        let held_up = state
            .held_up
            .as_ref()
            .map(|held| later(held.at, tried_again_after(held.tries)))
            .filter(|until| *until > now);
        if let Some(until) = held_up {
            self.wake_at(until);
        }
        let registered: BTreeMap<Slot, bool> =
            members.iter().map(|member| (member.slot, member.stage == Stage::Registered)).collect();
        let period = self.situation.facts.idle_period;
        let mut ripe = Vec::new();
        for (slot, since) in &state.idle {
            let stays = held_up.is_some() && registered.get(slot) == Some(&true);
            if !stays && self.passed(*since, period) {
                ripe.push(*slot);
            }
        }
        ripe
    }

    /// Keeps workers of an adaptive group that were to go, and whose data nobody can take.
    pub(super) fn take_back_refused(&mut self, group: &GroupName) {
        for slot in self.occupied(group, |e| e.stage == Stage::Draining(DrainReason::Idle)) {
            let Some(id) = self.node_id(group, slot) else { continue };
            if matches!(self.drain_call(&id), Some(DrainCall::Refused(_))) {
                self.hold_up(&id, "nobody can take what it holds");
            }
        }
    }

    /// Keeps a worker of an adaptive group; the group is left alone for a while.
    pub(in crate::plan) fn hold_up(&mut self, id: &NodeId, why: &str) {
        let now = self.now();
        let held = self.held(&id.name());
        self.with_entry(id, |entry| entry.enter(Stage::Registered, now));
        let Some(state) = self.ledger.groups.get_mut(&id.group).and_then(|group| group.adaptive.as_mut())
        else {
            return;
        };
        let before = state.held_up.as_ref();
        // Several workers at one moment are one try.
        let tries = match before {
            Some(held) if held.at == now => held.tries,
            held => held.map_or(0, |held| held.tries).saturating_add(1),
        };
        let first = before.is_none_or(|held| held.at == now && held.tries == 1);
        state.held_up = Some(HeldUp { tries, at: now });
        state.wanted = state.wanted.saturating_add(1);
        if first {
            let pause = seconds(tried_again_after(tries));
            let message = format!("{id} stays: {why} ({held}); tried again in {pause} and then less often");
            self.event(Severity::Normal, EventKind::DrainRefused, Some(id.name()), message);
        }
    }

    /// Whether the group is adaptive.
    pub(in crate::plan) fn is_adaptive(&self, group: &GroupName) -> bool {
        let size = self.spec().group(group).and_then(crate::spec::WorkerGroupSpec::size);
        matches!(size, Some(Size::Adaptive { .. }))
    }

    /// The group's workers that hold a place.
    pub(super) fn members(&self, group: &GroupName) -> Vec<Member<'a>> {
        let status = match self.situation.engine {
            crate::plan::EngineView::Seen(status) => Some(status),
            _ => None,
        };
        let slots = self.occupied(group, SlotEntry::is_live);
        let member = |slot| {
            let entry = self.entry(group, slot)?;
            let id = self.node_id(group, slot)?;
            let worker = status.and_then(|status| status.workers.get(&id.name()));
            Some(Member { slot, stage: entry.stage, since: entry.since, worker })
        };
        slots.into_iter().filter_map(member).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_an_hour() {
        let minutes: Vec<u64> = (1..8).map(|tries| tried_again_after(tries).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(tried_again_after(u32::MAX), LONGEST_PAUSE);
    }
}
