//! Workers on their way out: nothing is removed before its data is elsewhere.

use std::time::Duration;

use super::{operations::DrainCall, outcome::Action, planner::Planner, situation::EngineView};
use crate::{
    model::{DrainReason, EventKind, NodeId, NodeName, Severity, Slot, SlotEntry, Stage, Stop, WorkerState},
    spec::GroupName,
};

/// A worker whose data is elsewhere ends by itself within so long, or is ended.
const EXIT_GRACE: Duration = Duration::from_secs(5);

/// How often a scheduler that found no recipient, or could not be asked, is asked again.
const RETRY: Duration = Duration::from_secs(5);

impl Planner<'_> {
    /// Begins to drain workers of one group.
    pub(super) fn drain(&mut self, group: &GroupName, ids: &[NodeId], reason: DrainReason) {
        if ids.is_empty() {
            return;
        }
        if self.is_forced() && reason != DrainReason::Idle {
            self.force_out(group, ids);
            return;
        }
        let now = self.now();
        for id in ids {
            self.with_entry(id, |entry| entry.enter(Stage::Draining(reason), now));
            let why = match reason {
                DrainReason::ScaleDown => "its group is to be smaller",
                DrainReason::Idle => "it is not needed any more",
                DrainReason::Rolled => "its successor is there",
                DrainReason::GroupRemoved => "its group was taken out of the document",
                DrainReason::TakenBack => "its provider takes it back",
            };
            let held = self.held(&id.name());
            let message = format!("{id} hands its data over ({held}): {why}");
            self.event(Severity::Normal, EventKind::Draining, Some(id.name()), message);
        }
        self.drained.extend(ids.iter().map(NodeId::name));
        self.actions.push(Action::Drain { nodes: ids.iter().map(NodeId::name).collect() });
    }

    /// Moves every drain of a group on.
    pub(super) fn follow_drains(&mut self, group: &GroupName) {
        let mut again = Vec::new();
        for slot in self.occupied(group, SlotEntry::is_draining) {
            let (Some(id), Some(entry)) = (self.node_id(group, slot), self.entry(group, slot).cloned())
            else {
                continue;
            };
            if entry.stage == Stage::Draining(DrainReason::TakenBack) {
                self.follow_taken_back(&id, &entry);
                continue;
            }
            let idle = entry.stage == Stage::Draining(DrainReason::Idle);
            if self.is_forced() && !idle && !matches!(self.drain_call(&id), Some(DrainCall::Retired(_))) {
                self.force_out(group, std::slice::from_ref(&id));
                continue;
            }
            match self.drain_call(&id).cloned() {
                Some(DrainCall::InFlight) => {}
                Some(DrainCall::Retired(at)) => self.retired(&id, at),
                Some(DrainCall::Refused(at)) => {
                    if self.passed(entry.since, self.spec().drain_timeout()) {
                        self.give_up(&id, "nobody could take what it holds");
                    } else if self.passed(at, RETRY) {
                        again.push(id.name());
                    }
                }
                Some(DrainCall::Failed { at, message }) => {
                    if self.passed(entry.since, self.spec().drain_timeout()) {
                        self.give_up(&id, &format!("its scheduler could not have it drained ({message})"));
                    } else if self.passed(at, RETRY) {
                        again.push(id.name());
                    }
                }
                // This process has not asked: either a predecessor did, or nobody.
                None if self.drained.contains(&id.name()) => {}
                None => match self.situation.engine {
                    EngineView::Seen(status) if !status.workers.contains_key(&id.name()) => {
                        self.retired(&id, entry.since);
                    }
                    EngineView::Seen(_) => again.push(id.name()),
                    EngineView::NotAsked | EngineView::Unreachable { .. } => {}
                },
            }
        }
        if !again.is_empty() {
            self.actions.push(Action::Drain { nodes: again });
        }
    }

    pub(super) fn drain_call(&self, id: &NodeId) -> Option<&DrainCall> {
        self.situation.operations.drains.get(&id.name())
    }

    fn retired(&mut self, id: &NodeId, at: jiff::Timestamp) {
        if self.passed(at, EXIT_GRACE) {
            self.remove(vec![id.name()], Stop::Now);
        }
    }

    /// Keeps a worker that could not be drained, for as long as what is wanted stays the same.
    fn give_up(&mut self, id: &NodeId, why: &str) {
        let idle = Stage::Draining(DrainReason::Idle);
        if self.entry(&id.group, id.slot).is_some_and(|entry| entry.stage == idle) {
            self.hold_up(id, why);
            return;
        }
        let now = self.now();
        let held = self.held(&id.name());
        let timeout = crate::spec::Span::from_seconds(self.spec().drain_timeout().as_secs());
        let timeout = timeout.map_or_else(String::new, |span| format!(" within {span}"));
        let message = format!(
            "{id} is kept: {why}{timeout}; it holds {held}; \
             `crewcall scale … --force` removes it and loses that"
        );
        self.event(Severity::Warning, EventKind::DrainRefused, Some(id.name()), message);
        self.with_entry(id, |entry| entry.enter(Stage::Registered, now));
        let generation = self.situation.record.wanted.generation;
        if let Some(ledger) = self.ledger.groups.get_mut(&id.group) {
            ledger.kept_at_generation = Some(generation);
        }
    }

    /// Removes workers whatever they hold, and says what that was.
    fn force_out(&mut self, group: &GroupName, ids: &[NodeId]) {
        for id in ids {
            let held = self.held(&id.name());
            let message = format!("{id} of group {group} is removed by force, with what it held: {held}");
            self.event(Severity::Warning, EventKind::ResultsLost, Some(id.name()), message);
            self.vacate(id);
        }
        self.remove(ids.iter().map(NodeId::name).collect(), Stop::Now);
    }

    pub(super) fn is_forced(&self) -> bool {
        let wanted = &self.situation.record.wanted;
        wanted.forced_generation == Some(wanted.generation)
    }

    /// Takes workers back whose drain found no recipient, when the group is to grow again: at most
    /// `wanted`.
    pub(super) fn reclaim(&mut self, group: &GroupName, wanted: usize) {
        if wanted == 0 {
            return;
        }
        let draining = self.occupied(group, SlotEntry::is_draining);
        let ids: Vec<NodeId> =
            draining.into_iter().filter_map(|slot| self.reclaimable(group, slot)).take(wanted).collect();
        for id in ids {
            let now = self.now();
            let message = format!("{id} stays: its group is to be larger again");
            self.event(Severity::Normal, EventKind::Draining, Some(id.name()), message);
            self.with_entry(&id, |entry| entry.enter(Stage::Registered, now));
        }
    }

    fn reclaimable(&self, group: &GroupName, slot: Slot) -> Option<NodeId> {
        let id = self.node_id(group, slot)?;
        let EngineView::Seen(status) = self.situation.engine else { return None };
        let running = status.workers.get(&id.name())?.state == WorkerState::Running;
        let refused = matches!(self.drain_call(&id), Some(DrainCall::Refused(_)));
        (running && refused).then_some(id)
    }

    /// What a worker holds, for a person.
    pub(super) fn held(&self, worker: &NodeName) -> String {
        let EngineView::Seen(status) = self.situation.engine else { return "nobody knows what".to_owned() };
        let Some(worker) = status.workers.get(worker) else { return "nothing".to_owned() };
        let actors = match worker.actors {
            0 => String::new(),
            1 => ", 1 actor".to_owned(),
            n => format!(", {n} actors"),
        };
        format!("{} results, {} bytes{actors}", worker.held_results, worker.held_bytes)
    }
}
