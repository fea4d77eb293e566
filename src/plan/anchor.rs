//! The anchor: made first, looked after while the scheduler cannot be reached, and missed when it is gone.

use std::time::Duration;

use super::{
    backoff::next_try,
    converge::ASK_AGAIN,
    operations::AnchorCall,
    outcome::Action,
    planner::{Planner, record_failure},
    situation::{EngineView, Surroundings},
};
use crate::{
    model::{AnchorState, Anchoring, EventKind, FailureNote, Failures, LetIn, Severity, Stage, WayIn},
    spec::GroupName,
};

/// A scheduler that has answered, and does not for so long, may be where the caller is not let in any more.
const SHUT: Duration = Duration::from_secs(10);

/// The same of one that has never answered.
const BOOTS: Duration = Duration::from_mins(2);

/// The anchor of a scheduler that does not answer is looked after again after so long.
const REOPEN: Duration = Duration::from_mins(1);

impl Planner<'_> {
    /// Whether the anchor is there; has it made if not.
    pub(super) fn anchored(&mut self) -> bool {
        match self.situation.world.anchor {
            AnchorState::Present => {
                self.ledger.anchor = Anchoring::Made;
                self.ledger.anchor_missing_since = None;
                self.reopen();
                self.keep_copy();
                true
            }
            AnchorState::Ending => {
                self.wake_in(Duration::from_secs(1));
                false
            }
            AnchorState::Absent => {
                self.anchor_absent();
                false
            }
        }
    }

    fn anchor_absent(&mut self) {
        if self.ledger.anchor == Anchoring::Made {
            // It was seen by whoever made it; others may be shown it later.
            let now = self.now();
            let since = *self.ledger.anchor_missing_since.get_or_insert(now);
            if !self.passed(since, self.situation.facts.visibility_delay) {
                return;
            }
            self.ledger.anchor_missing_since = None;
            self.ledger.anchor = Anchoring::Intended;
            self.lose_everything();
        }
        if self.situation.facts.surroundings == Surroundings::Missing {
            return;
        }
        if let AnchorCall::Failed(failure) = &self.situation.operations.anchor {
            self.event(Severity::Warning, EventKind::ProviderError, None, failure.message.clone());
        }
        self.ask_for_anchor(ASK_AGAIN);
    }

    /// Has the anchor looked after once more when the document names other clients, and while the scheduler does not answer: the
    /// address that it lets in may be the caller's no longer.
    fn reopen(&mut self) {
        if self.has_other_clients() {
            self.ask_for_anchor(Duration::ZERO);
        } else if self.is_shut_out() {
            self.ask_for_anchor(REOPEN);
        } else {
            self.ledger.anchor_failures = Failures::default();
        }
    }

    /// Has the anchor made, unless that is under way, was done within `again`, or has failed a moment ago.
    fn ask_for_anchor(&mut self, again: Duration) {
        match &self.situation.operations.anchor {
            AnchorCall::InFlight => return,
            AnchorCall::Made(at) if !self.passed(*at, again) => return,
            AnchorCall::Failed(failure) => {
                let note = FailureNote { at: failure.at, node: None, message: failure.message.clone() };
                record_failure(&mut self.ledger.anchor_failures, true, note);
            }
            AnchorCall::NotMade | AnchorCall::Made(_) => {}
        }
        match next_try(&self.ledger.anchor_failures) {
            Some(at) if at > self.now() => self.wake_at(at),
            _ => {
                self.ledger.let_in = self.clients().map(LetIn::Asked);
                self.actions.push(Action::EnsureAnchor);
            }
        }
    }

    /// Whom the document lets in, where addresses decide that.
    fn clients(&self) -> Option<Vec<String>> {
        if self.situation.facts.way_in == WayIn::Open {
            return None;
        }
        Some(
            self.situation
                .record
                .wanted
                .document
                .spec
                .ec2()
                .map(|ec2| ec2.client_cidrs.clone())
                .unwrap_or_default(),
        )
    }

    /// Whether the document names others than those for whom the anchor was made.
    fn has_other_clients(&mut self) -> bool {
        let Some(clients) = self.clients() else { return false };
        match (self.ledger.let_in.take(), &self.situation.operations.anchor) {
            (Some(LetIn::Asked(asked)), AnchorCall::Made(_)) => self.ledger.let_in = Some(LetIn::Done(asked)),
            // It was made by who did not note for whom.
            (None, _) => self.ledger.let_in = Some(LetIn::Done(clients.clone())),
            (noted, _) => self.ledger.let_in = noted,
        }
        self.ledger.let_in != Some(LetIn::Done(clients))
    }

    /// Whether the scheduler runs and has not answered for a while, and addresses decide who reaches it.
    fn is_shut_out(&mut self) -> bool {
        let EngineView::Unreachable { since, .. } = *self.situation.engine else { return false };
        if self.situation.facts.way_in == WayIn::Open {
            return false;
        }
        let scheduler = self.ledger.groups.get(&GroupName::scheduler());
        let mut slots = scheduler.into_iter().flat_map(|group| group.slots.values());
        // One that has never answered boots, as far as anybody knows.
        let patience = if slots.any(|entry| entry.stage == Stage::Registered) { SHUT } else { BOOTS };
        self.passed(since, patience)
    }

    /// The anchor, to which everything belongs, is gone: so is everything.
    fn lose_everything(&mut self) {
        let message =
            "what held the cluster's processes is gone, and they with it; all results are lost".to_owned();
        self.event(Severity::Warning, EventKind::SchedulerLost, None, message.clone());
        let note = FailureNote { at: self.now(), node: None, message };
        record_failure(&mut self.ledger.anchor_failures, true, note);
        let now = self.now();
        for entry in self.ledger.groups.values_mut().flat_map(|group| group.slots.values_mut()) {
            entry.enter(Stage::Vacant, now);
        }
    }
}
