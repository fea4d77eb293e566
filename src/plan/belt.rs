//! What a belt ended stays ended: a cluster that went while nobody looked after it is not made again.

use super::{
    planner::{Planner, later},
    situation::EngineView,
};
use crate::{
    model::{AnchorState, Anchoring, EndReason, EventKind, Exit, NodeState, Severity, Slot, Stage},
    spec::GroupName,
};

impl Planner<'_> {
    /// Whether the scheduler is gone and left a mark of its idle timeout, or nobody can have seen work
    /// for so long that its idle timeout has ended it.
    ///
    /// A scheduler that is gone for another reason, while somebody looked, is replaced.
    pub(super) fn ended_by_belt(&mut self) -> Option<EndReason> {
        let limit = self.spec().idle_timeout();
        let how = match self.scheduler_end()? {
            SchedulerEnd::Marked => "its scheduler ended by its own idle timeout".to_owned(),
            SchedulerEnd::Unmarked => {
                let from = self.ledger.idle_from?;
                if later(from, limit?) > self.now() {
                    return None;
                }
                format!("its scheduler is gone, and nobody has seen work since {from}")
            }
        };
        let reason = EndReason::Idle;
        let message = format!("being torn down: {reason}; {how}. It is not made again");
        self.event(Severity::Warning, EventKind::Deleting, None, message);
        Some(reason)
    }

    fn scheduler_end(&self) -> Option<SchedulerEnd> {
        let group = GroupName::scheduler();
        let gone =
            self.ledger.anchor == Anchoring::Made && self.situation.world.anchor == AnchorState::Absent;
        let entry =
            self.entry(&group, Slot(0)).filter(|e| matches!(e.stage, Stage::Launched | Stage::Registered));
        let id = entry.and_then(|_| self.node_id(&group, Slot(0)));
        match id.map(|id| self.observed(&id)) {
            Some(Some(node)) => match &node.state {
                NodeState::Ended(exit) if exit.code == Some(Exit::IDLE) => Some(SchedulerEnd::Marked),
                NodeState::Ended(_) => Some(SchedulerEnd::Unmarked),
                NodeState::Pending(_) | NodeState::Running | NodeState::Ending => None,
            },
            Some(None) => Some(SchedulerEnd::Unmarked),
            None => gone.then_some(SchedulerEnd::Unmarked),
        }
    }

    /// Notes that somebody looks after the cluster, as often as its idle timeout needs: a tenth of it
    /// is as exact as anybody wants, and spares the store.
    pub(super) fn note_sighting(&mut self) {
        let Some(limit) = self.spec().idle_timeout() else {
            self.ledger.idle_from = None;
            return;
        };
        let idle_since = match self.situation.engine {
            EngineView::Seen(status) => status.idle_since,
            EngineView::NotAsked | EngineView::Unreachable { .. } => None,
        };
        let now = self.now();
        match (idle_since, self.ledger.idle_from) {
            (Some(since), _) => self.ledger.idle_from = Some(since.min(now)),
            (None, Some(known)) if later(known, limit / 10) > now && known <= now => {}
            (None, _) => self.ledger.idle_from = Some(now),
        }
        if idle_since.is_none() {
            self.wake_in(limit / 5);
        }
    }
}

/// How a scheduler that is no more ended, as far as can be told.
enum SchedulerEnd {
    /// By its idle timeout.
    Marked,
    /// Somehow.
    Unmarked,
}
