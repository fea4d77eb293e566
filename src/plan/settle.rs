//! What has become of the nodes of a group since the last plan.

use std::time::Duration;

use super::{
    backoff::STABLE,
    planner::{Planner, later},
    situation::EngineView,
};
use crate::{
    model::{
        ErrorKind, EventKind, Exit, Failures, NodeId, NodeState, ObservedNode, Severity, Slot, SlotEntry,
        Stage, Stop,
    },
    spec::GroupName,
};

/// A worker that its scheduler has not seen for so long is taken for lost.
const UNSEEN: Duration = Duration::from_secs(30);

/// A node that ends by itself, and well, before it has lived so long counts as failed all the same.
const TOO_SHORT: Duration = Duration::from_secs(10);

impl Planner<'_> {
    /// Brings the ledger of a group up to what is seen.
    pub(super) fn settle(&mut self, group: &GroupName) {
        let slots: Vec<Slot> = self
            .ledger
            .groups
            .get(group)
            .map(|group| group.slots.keys().copied().collect())
            .unwrap_or_default();
        for slot in slots {
            let Some(id) = self.node_id(group, slot) else { continue };
            let Some(entry) = self.entry(group, slot).cloned() else { continue };
            if entry.stage == Stage::Vacant {
                continue;
            }
            match self.observed(&id) {
                None => self.settle_unseen(&id, &entry),
                Some(node) => self.settle_seen(&id, &entry, node),
            }
        }
        self.forgive(group);
    }

    fn settle_unseen(&mut self, id: &NodeId, entry: &SlotEntry) {
        if entry.stage != Stage::Intended {
            self.ended(id, entry, None, &[]);
            return;
        }
        let name = id.name();
        let failure = self
            .situation
            .operations
            .launch_failures
            .iter()
            .find(|failure| failure.node.as_ref() == Some(&name));
        if let Some(failure) = failure {
            let message = format!("{name} could not be started: {}", failure.message);
            self.event(Severity::Warning, EventKind::ProviderError, Some(name.clone()), message.clone());
            // A name whose call failed for good is given up; otherwise the same call is made again.
            if failure.kind == ErrorKind::Invalid {
                self.vacate(id);
            }
            self.count_failure(&id.group, Some(name), message);
        } else if self.passed(entry.since, self.situation.facts.start_deadline) {
            self.late(id, entry, "the provider does not show it");
        }
    }

    fn settle_seen(&mut self, id: &NodeId, entry: &SlotEntry, node: &ObservedNode) {
        match &node.state {
            NodeState::Ended(exit) => {
                self.ended(id, entry, Some(exit), &node.last_log);
                self.remove(vec![id.name()], Stop::Now);
            }
            NodeState::Ending if entry.is_live() => {
                let message = format!("{id} was told to end by somebody else");
                self.event(Severity::Warning, EventKind::NodeEnded, Some(id.name()), message);
                self.vacate(id);
            }
            NodeState::Ending => {}
            NodeState::Pending(_) | NodeState::Running => self.settle_alive(id, entry, node),
        }
    }

    fn settle_alive(&mut self, id: &NodeId, entry: &SlotEntry, node: &ObservedNode) {
        if entry.stage == Stage::Intended {
            // The deadline goes on to count from the intent.
            self.with_entry(id, |entry| entry.stage = Stage::Launched);
        }
        match entry.stage {
            Stage::Intended | Stage::Launched => {
                let now = self.now();
                if self.engine_sees(id) == Some(true) {
                    self.with_entry(id, |entry| entry.enter(Stage::Registered, now));
                } else if self.passed(entry.since, self.situation.facts.start_deadline) {
                    self.late(id, entry, &what_it_waits_for(id, node));
                }
            }
            Stage::Registered => self.settle_registered(id, entry),
            Stage::Draining(_) | Stage::Vacant => {}
        }
    }

    fn settle_registered(&mut self, id: &NodeId, entry: &SlotEntry) {
        let now = self.now();
        match (self.engine_sees(id), entry.unseen_since) {
            (Some(true), Some(_)) => self.with_entry(id, |entry| entry.unseen_since = None),
            (Some(false), None) => {
                self.with_entry(id, |entry| entry.unseen_since = Some(now));
                self.wake_in(UNSEEN);
            }
            (Some(false), Some(since)) if self.passed(since, UNSEEN) => {
                let message =
                    format!("{id} runs, but its scheduler has not seen it since {since}; it is replaced");
                self.failed(id, message, &[]);
                self.remove(vec![id.name()], Stop::Now);
            }
            _ => {}
        }
    }

    /// Whether the engine sees the node; `None` when it cannot be asked.
    fn engine_sees(&self, id: &NodeId) -> Option<bool> {
        match self.situation.engine {
            EngineView::Seen(status) => {
                Some(id.group.is_scheduler() || status.workers.contains_key(&id.name()))
            }
            EngineView::NotAsked | EngineView::Unreachable { .. } => None,
        }
    }

    /// A node is no more; `exit` is missing when nobody saw how it ended.
    fn ended(&mut self, id: &NodeId, entry: &SlotEntry, exit: Option<&Exit>, last_log: &[String]) {
        let how = exit.map_or_else(|| "it vanished".to_owned(), ToString::to_string);
        let clean = exit.is_some_and(|exit| exit.code == Some(0));
        if entry.is_draining() {
            let (severity, message) = match exit {
                Some(exit) if !clean => {
                    let loss = if exit.code == Some(Exit::DRAIN_NOT_CLEAN) {
                        "not all its data found a new place"
                    } else {
                        "it did not end cleanly"
                    };
                    (Severity::Warning, format!("{id} is gone, but {loss} ({how})"))
                }
                _ => (Severity::Normal, format!("{id} has handed its data over and is gone")),
            };
            self.event(severity, EventKind::Drained, Some(id.name()), message);
            self.vacate(id);
        } else if id.group.is_scheduler() {
            let message = format!("the scheduler {id} is gone ({how}); all results in the cluster are lost");
            self.report(id, EventKind::SchedulerLost, message, last_log);
        } else if clean && entry.stage == Stage::Registered && later(entry.since, TOO_SHORT) <= self.now() {
            let message =
                format!("{id} ended by itself (retired by a client, or at the end of its lifetime)");
            self.event(Severity::Normal, EventKind::NodeEnded, Some(id.name()), message);
            self.vacate(id);
        } else {
            self.failed(id, format!("{id} ended: {how}"), last_log);
        }
    }

    fn late(&mut self, id: &NodeId, entry: &SlotEntry, waits_for: &str) {
        let since = entry.since;
        let message =
            format!("{id} was asked for at {since} and is not registered: {waits_for}; it is replaced");
        let last_log = self.observed(id).map(|node| node.last_log.clone()).unwrap_or_default();
        self.report(id, EventKind::NodeLate, message, &last_log);
        self.remove(vec![id.name()], Stop::Now);
    }

    fn failed(&mut self, id: &NodeId, message: String, last_log: &[String]) {
        self.report(id, EventKind::NodeFailed, message, last_log);
    }

    /// Says that a node failed, counts it, and empties its slot.
    fn report(&mut self, id: &NodeId, kind: EventKind, message: String, last_log: &[String]) {
        let mut text = message.clone();
        if !last_log.is_empty() {
            text.push_str("; the last lines of its log:");
            for line in last_log {
                text.push_str("\n  ");
                text.push_str(line);
            }
        }
        self.event(Severity::Warning, kind, Some(id.name()), text);
        self.count_failure(&id.group, Some(id.name()), message);
        self.vacate(id);
    }

    /// Empties a node's slot; a node that still exists is from now on one too many.
    pub(super) fn vacate(&mut self, id: &NodeId) {
        let now = self.now();
        self.with_entry(id, |entry| entry.enter(Stage::Vacant, now));
    }

    /// A node that has run well for long enough ends its group's row of failures.
    fn forgive(&mut self, group: &GroupName) {
        let Some(ledger) = self.ledger.groups.get(group) else { return };
        if ledger.failures.is_none() {
            return;
        }
        let failed_at = ledger.failures.last.as_ref().map(|note| note.at);
        let oldest = ledger
            .slots
            .values()
            .filter(|entry| entry.stage == Stage::Registered)
            .map(|entry| entry.since)
            .min();
        let Some(since) = oldest.max(failed_at).filter(|_| oldest.is_some()) else { return };
        if self.passed(since, STABLE) {
            if let Some(ledger) = self.ledger.groups.get_mut(group) {
                ledger.failures = Failures::default();
            }
        }
    }

    pub(super) fn entry(&self, group: &GroupName, slot: Slot) -> Option<&SlotEntry> {
        self.ledger.groups.get(group)?.slots.get(&slot)
    }

    pub(super) fn with_entry(&mut self, id: &NodeId, change: impl FnOnce(&mut SlotEntry)) {
        let entry = self.ledger.groups.get_mut(&id.group).and_then(|group| group.slots.get_mut(&id.slot));
        if let Some(entry) = entry.filter(|entry| entry.incarnation == id.incarnation) {
            change(entry);
        }
    }
}

fn what_it_waits_for(id: &NodeId, node: &ObservedNode) -> String {
    match &node.state {
        NodeState::Pending(Some(reason)) => reason.clone(),
        NodeState::Pending(None) => "the provider has not started it".to_owned(),
        _ if id.group.is_scheduler() => "it runs, but does not answer".to_owned(),
        _ => "it runs, but its scheduler has not seen it".to_owned(),
    }
}
