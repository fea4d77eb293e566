//! From a person's wish for another size to the document that says so.

use jiff::Timestamp;

use super::{ClusterView, Fleet, RequestError, ScaleRequest, Unplaced, failpoint::failpoint};
use crate::{
    model::{ClusterRecord, Event, EventKind, Presence, Severity},
    spec::{self, ClusterName, GroupName, Size, WorkerGroupSpec},
};

impl Fleet {
    /// Changes the size of a group.
    pub async fn scale(
        &self,
        name: &ClusterName,
        request: &ScaleRequest,
    ) -> Result<ClusterView, RequestError> {
        let member = self.changeable(name).await?;
        let group = request.group.clone().unwrap_or_else(GroupName::workers);
        failpoint("scale.before-store");
        let at = self.tools.clock.now();
        let message = member.cell.update(|record| scaled(record, &group, request, at)).await?;
        failpoint("scale.after-store");
        if let Some(message) = message {
            let (severity, kind) = (Severity::Normal, EventKind::Scaled);
            member.cell.report(vec![Event { at, severity, kind, node: None, message }]).await;
        }
        let record = member.cell.record().await;
        let mut view = member.view();
        // What is shown follows with the next tick; the caller waits for that generation.
        view.generation = record.wanted.generation;
        view.document = record.wanted.document;
        Ok(view)
    }
}

/// Writes a new size into the document; says what it changed.
///
/// # Errors
/// When the cluster has no such group, is being deleted, or the document would not be valid.
pub fn scaled(
    record: &mut ClusterRecord,
    name: &GroupName,
    request: &ScaleRequest,
    now: Timestamp,
) -> Result<Option<String>, RequestError> {
    let cluster = record.name().clone();
    if matches!(record.wanted.presence, Presence::Absent(_)) {
        return Err(RequestError::Refused(format!("cluster {cluster} is being deleted")));
    }
    let groups: Vec<String> =
        record.wanted.document.spec.groups().map(|(name, _)| name.to_string()).collect();
    let mut document = record.wanted.document.clone();
    let Some(group) = document.spec.group_mut(name) else {
        let groups = groups.join(", ");
        return Err(RequestError::Refused(format!("cluster {cluster} has no group {name}; it has {groups}")));
    };
    let before = group.size();
    set_size(group, request.size);
    spec::validate(&document).map_err(|invalid| {
        RequestError::Invalid(invalid.problems.into_iter().map(|problem| problem.message).collect())
    })?;
    let forced = request.unplaced == Unplaced::Lose;
    if before == Some(request.size) && !forced {
        if record.has_failures() {
            record.wanted.ask(now);
        }
        return Ok(None);
    }
    record.wanted.document = document;
    record.wanted.ask(now);
    record.wanted.forced_generation = forced.then_some(record.wanted.generation);
    let before = before.map_or_else(|| "1 (by default)".to_owned(), |size| size.to_string());
    Ok(Some(format!("group {name}: from {before} to {} workers", request.size)))
}

fn set_size(group: &mut WorkerGroupSpec, size: Size) {
    (group.replicas, group.min, group.max) = match size {
        Size::Fixed(replicas) => (Some(replicas), None, None),
        Size::Adaptive { min, max } => (None, Some(min), Some(max)),
    };
}
