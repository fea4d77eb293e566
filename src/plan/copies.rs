//! The copy of the record that is kept where the cluster is, for a controller whose store is lost.

use std::time::Duration;

use super::{operations::CopyCall, outcome::Action, planner::Planner};
use crate::model::RecordCopies;

/// A copy of the record that could not be kept is tried again after so long.
const COPY_AGAIN: Duration = Duration::from_secs(30);

impl Planner<'_> {
    /// Has a copy of what is wanted kept where the cluster is, whenever that is news.
    pub(super) fn keep_copy(&mut self) {
        if self.situation.facts.record_copies == RecordCopies::NotKept {
            return;
        }
        let generation = self.situation.record.wanted.generation;
        let call = self.situation.operations.copy;
        match call {
            CopyCall::InFlight => return,
            CopyCall::Failed(at) if !self.passed(at, COPY_AGAIN) => return,
            CopyCall::Kept(of) => self.ledger.copied_generation = Some(of),
            CopyCall::NotMade | CopyCall::Failed(_) => {}
        }
        if self.ledger.copied_generation != Some(generation) {
            self.actions.push(Action::KeepCopy { generation });
        }
    }
}
