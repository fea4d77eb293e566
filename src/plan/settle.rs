//! What has become of the nodes of a group since the last plan.

use std::{collections::BTreeMap, time::Duration};

use super::{
    backoff::STABLE,
    converge::ASK_AGAIN,
    operations::DrainCall,
    planner::{Planner, later},
    situation::EngineView,
};
use crate::{
    model::{
        DrainReason, ErrorKind, EventKind, Exit, Failures, NodeId, NodeState, ObservedNode, Severity, Slot,
        SlotEntry, Stage, Stop,
    },
    spec::GroupName,
};

/// A worker that its scheduler has not seen for so long is taken for lost.
const UNSEEN: Duration = Duration::from_secs(30);

/// A node that ends by itself, and well, before it has lived so long counts as failed all the same.
const TOO_SHORT: Duration = Duration::from_secs(10);

/// A row of failures grows no longer by workers that had registered: what they are made from works, and Dask gives a task
/// up that keeps killing them. The next try is then after 4 s at most.
const LONGEST_AFTER_WORK: u32 = 4;

impl Planner<'_> {
    /// Brings the ledger of a group up to what is seen.
    pub(super) fn settle(&mut self, group: &GroupName) {
        let slots: BTreeMap<Slot, Stage> = self
            .ledger
            .groups
            .get(group)
            .map(|group| group.slots.iter().map(|(slot, entry)| (*slot, entry.stage)).collect())
            .unwrap_or_default();
        for slot in slots.keys().copied() {
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
        self.tell_of_machines(group, &slots);
    }

    fn settle_unseen(&mut self, id: &NodeId, entry: &SlotEntry) {
        match entry.stage {
            Stage::Vacant => {}
            // Its launch is repeated until it is answered; until then nobody can say that it is late.
            Stage::Intended if self.launching().is_some() => {
                if !entry.awaited().is_some_and(|launch| self.ledger.launches.contains_key(launch)) {
                    self.vacate(id);
                }
            }
            Stage::Intended => self.settle_unstarted(id, entry),
            Stage::Launched if !self.passed(entry.since, self.situation.facts.visibility_delay) => {}
            Stage::Launched | Stage::Registered | Stage::Draining(_) => self.ended(id, entry, None, &[]),
        }
    }

    fn settle_unstarted(&mut self, id: &NodeId, entry: &SlotEntry) {
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
            return;
        }
        // Late is what was asked for and has not appeared; not what is still to be asked for.
        let Some(asked) = self.situation.operations.asked.get(&name).copied() else { return };
        let failures = self.ledger.groups.get(&id.group).and_then(|group| group.failures.last.as_ref());
        let failed_since = failures.is_some_and(|note| note.at >= asked);
        let under_way = self.situation.operations.launching.contains(&name);
        let patient = self.situation.facts.start_deadline.max(self.situation.facts.visibility_delay);
        if !failed_since && !under_way && self.passed(entry.since, patient) && self.passed(asked, ASK_AGAIN) {
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
                let (kind, loss) = if id.group.is_scheduler() {
                    (EventKind::SchedulerLost, "; all results in the cluster are lost")
                } else {
                    (EventKind::NodeEnded, "")
                };
                let message = format!("{id} was told to end by somebody else{loss}");
                self.event(Severity::Warning, kind, Some(id.name()), message);
                self.vacate(id);
            }
            NodeState::Ending => {}
            NodeState::Pending(_) | NodeState::Running => {
                self.settle_alive(id, entry, node);
                if let Some(entry) = self.entry(&id.group, id.slot).cloned() {
                    self.settle_notice(id, &entry, node);
                }
            }
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
                    self.note_startup(&id.group, entry.since);
                    self.with_entry(id, |entry| entry.enter(Stage::Registered, now));
                    if let Some(address) = node.address.as_ref().filter(|_| id.group.is_scheduler()) {
                        let message = format!("the scheduler {id} answers at {address}");
                        self.event(Severity::Normal, EventKind::SchedulerReady, Some(id.name()), message);
                    }
                } else if self.passed(entry.since, self.situation.facts.start_deadline)
                    && self.is_known_to_be_useless(id, node)
                {
                    self.late(id, entry, &what_it_waits_for(id, node));
                }
            }
            Stage::Registered => self.settle_registered(id, entry),
            Stage::Draining(_) | Stage::Vacant => {}
        }
    }

    /// Learns how long a start takes.
    fn note_startup(&mut self, group: &GroupName, begun: jiff::Timestamp) {
        let took = self.now().as_millisecond().saturating_sub(begun.as_millisecond());
        let took = u64::try_from(took).unwrap_or(0);
        if let Some(ledger) = self.ledger.groups.get_mut(group) {
            ledger.startup_millis = Some(ledger.startup_millis.map_or(took, |known| known.midpoint(took)));
        }
    }

    /// Whether it is certain that a node, registered or not, holds nothing. A node that runs may have
    /// registered while nobody could ask, for example before a restart of the controller.
    fn is_known_to_be_useless(&mut self, id: &NodeId, node: &ObservedNode) -> bool {
        if node.state != NodeState::Running {
            return true;
        }
        match self.situation.engine {
            EngineView::Seen(_) => self.engine_sees(id) == Some(false),
            EngineView::NotAsked => id.group.is_scheduler() && node.address.is_none(),
            EngineView::Unreachable { since, .. } => id.group.is_scheduler() && self.passed(*since, UNSEEN),
        }
    }

    fn settle_registered(&mut self, id: &NodeId, entry: &SlotEntry) {
        let (now, patience) = (self.now(), self.patience(&id.group));
        match (self.engine_sees(id), entry.unseen_since) {
            (Some(true), Some(_)) => self.with_entry(id, |entry| entry.unseen_since = None),
            (Some(false), None) => {
                self.with_entry(id, |entry| entry.unseen_since = Some(now));
                self.wake_in(patience);
            }
            (Some(false), Some(since)) if self.passed(since, patience) => {
                let message =
                    format!("{id} runs, but its scheduler has not seen it since {since}; it is replaced");
                self.failed(id, message, &[]);
                self.remove(vec![id.name()], Stop::Now);
            }
            _ => {}
        }
    }

    /// How long a worker may be unseen. One with a nanny of its own may be starting anew, from nothing.
    fn patience(&self, group: &GroupName) -> Duration {
        let nanny = self.spec().group(group).is_some_and(|group| group.nanny);
        if nanny { self.situation.facts.start_deadline.max(UNSEEN) } else { UNSEEN }
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
            let (severity, message) = self.drained(id, exit, &how);
            self.event(severity, EventKind::Drained, Some(id.name()), message);
            self.vacate(id);
        } else if id.group.is_scheduler() && entry.stage == Stage::Registered {
            let message = format!("the scheduler {id} is gone ({how}); all results in the cluster are lost");
            self.report(id, EventKind::SchedulerLost, message, last_log);
        } else if exit.is_some_and(Exit::is_unclean_drain) && entry.stage == Stage::Registered {
            self.event(
                Severity::Warning,
                EventKind::ResultsLost,
                Some(id.name()),
                format!("{id} ended: {how}"),
            );
            self.vacate(id);
        } else if clean && entry.stage == Stage::Registered && later(entry.since, TOO_SHORT) <= self.now() {
            let message =
                format!("{id} ended by itself (retired by a client, or at the end of its lifetime)");
            self.event(Severity::Normal, EventKind::NodeEnded, Some(id.name()), message);
            self.vacate(id);
        } else {
            let early = if entry.stage == Stage::Registered { "" } else { " before it was ready" };
            self.failed(id, format!("{id} ended{early}: {how}"), last_log);
        }
    }

    /// What to say of a node that ended while it was drained.
    fn drained(&self, id: &NodeId, exit: Option<&Exit>, how: &str) -> (Severity, String) {
        let retired = matches!(self.drain_call(id), Some(DrainCall::Retired(_)));
        let stage = self.entry(&id.group, id.slot).map(|entry| entry.stage);
        if stage == Some(Stage::Draining(DrainReason::TakenBack)) {
            return (Severity::Normal, format!("{id} was taken back by its provider ({how})"));
        }
        match exit.map(|exit| exit.code) {
            Some(Some(Exit::DRAIN_NOT_CLEAN)) => {
                (Severity::Warning, format!("{id} is gone, but not all its data found a new place ({how})"))
            }
            _ if retired => (Severity::Normal, format!("{id} has handed its data over and is gone")),
            Some(Some(0)) => (Severity::Normal, format!("{id} has handed its data over and is gone")),
            _ => (
                Severity::Warning,
                format!("{id} is gone, and did not say that its data found a new place ({how})"),
            ),
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
        let before = self.streak(&id.group);
        self.count_failure(&id.group, Some(id.name()), message);
        let worked = self.entry(&id.group, id.slot).is_some_and(|entry| entry.stage == Stage::Registered);
        if worked && !id.group.is_scheduler() {
            let longest = before.max(LONGEST_AFTER_WORK);
            if let Some(ledger) = self.ledger.groups.get_mut(&id.group) {
                ledger.failures.streak = ledger.failures.streak.min(longest);
            }
        }
        self.vacate(id);
    }

    fn streak(&self, group: &GroupName) -> u32 {
        self.ledger.groups.get(group).map_or(0, |ledger| ledger.failures.streak)
    }

    /// Empties a node's slot; a node that still exists is from now on one too many.
    pub(super) fn vacate(&mut self, id: &NodeId) {
        let now = self.now();
        self.with_entry(id, |entry| entry.enter(Stage::Vacant, now));
    }

    /// Ends a group's row of failures: once a node that registered after the last of them has run
    /// well for long enough, or once nothing has been missing for as long.
    pub(super) fn forgive(&mut self, group: &GroupName, target: usize) {
        let Some(ledger) = self.ledger.groups.get(group) else { return };
        let Some(failed_at) = ledger.failures.last.as_ref().map(|note| note.at) else { return };
        let registered = ledger.slots.values().filter(|entry| entry.stage == Stage::Registered);
        let since: Vec<_> = registered.map(|entry| entry.since).collect();
        let complete = since.len() >= target && since.len() == self.occupied(group, SlotEntry::is_live).len();
        let proven = since.iter().filter(|since| **since >= failed_at).min().copied();
        let newest = since.iter().copied().fold(failed_at, jiff::Timestamp::max);
        let well_since = if complete { Some(newest) } else { proven };
        if well_since.is_some_and(|since| self.passed(since, STABLE))
            && let Some(ledger) = self.ledger.groups.get_mut(group)
        {
            ledger.failures = Failures::default();
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
    if let Some(progress) = node.machine.as_ref().and_then(|machine| machine.steps.last()) {
        return format!("it was last seen {progress}");
    }
    match &node.state {
        NodeState::Pending(Some(reason)) => reason.clone(),
        NodeState::Pending(None) => "the provider has not started it".to_owned(),
        _ if id.group.is_scheduler() => "it runs, but does not answer".to_owned(),
        _ => "it runs, but its scheduler has not seen it".to_owned(),
    }
}
