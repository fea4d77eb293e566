//! What can be said and done about a cluster at which nobody can look.

use jiff::Timestamp;

use super::{
    conditions::{dated, state},
    operations::Operations,
    outcome::Action,
    planner::{REMOVE_AGAIN, later},
};
use crate::model::{
    ClusterRecord, Condition, ConditionKind as Kind, ConditionStatus as Status, ErrorKind, Presence,
};

/// The conditions of a cluster that cannot be observed, for the reason `cause`: what depends on what
/// runs is not known any more, and the rest stands.
pub fn unseen_conditions(
    record: &ClusterRecord,
    kind: ErrorKind,
    cause: &str,
    now: Timestamp,
) -> Vec<Condition> {
    const REASON: &str = "CannotObserve";
    let before = &record.progress.conditions;
    let say = |kind, status, message: &str| dated(state(kind, status, REASON, message), before, now);
    let degraded = if kind == ErrorKind::Auth { "CredentialsNeeded" } else { REASON };
    let unknown = "what runs cannot be seen";
    let stands = |kind| before.iter().find(|condition| condition.kind == kind).cloned();
    let progressing = match &record.wanted.presence {
        Presence::Absent(ending) => {
            let message = format!("being torn down: {}", ending.reason);
            dated(state(Kind::Progressing, Status::True, "Deleting", message), before, now)
        }
        Presence::Present => say(Kind::Progressing, Status::Unknown, unknown),
    };
    [
        Some(say(Kind::SchedulerReady, Status::Unknown, unknown)),
        Some(say(Kind::WorkersReady, Status::Unknown, unknown)),
        stands(Kind::EnvironmentMatched),
        stands(Kind::Encrypted),
        Some(progressing),
        Some(dated(state(Kind::Degraded, Status::True, degraded, cause), before, now)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What is done without a look: a cluster that is to be gone is removed whatever is there.
pub fn unseen_action(record: &ClusterRecord, operations: &Operations, now: Timestamp) -> Option<Action> {
    let unwanted = matches!(record.wanted.presence, Presence::Absent(_));
    let asked = operations.anchor_removed.is_some_and(|ended| later(ended, REMOVE_AGAIN) > now);
    // What still lands after the last look at what there is would stay.
    let busy = operations.removing_anchor || operations.is_making();
    (unwanted && !busy && !asked).then_some(Action::RemoveAnchor)
}
