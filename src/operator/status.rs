//! What an object's status says of its cluster. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    controller::{ClusterView, GroupView},
    model::{Condition, ConditionStatus, Phase, Role, label},
    spec::{
        GroupName,
        crd::{ClusterStatus, GroupStatus, StatusCondition, TruthStatus, WorkersStatus},
    },
    store::kubernetes::moment_text,
};

/// Longest message of a condition, in characters.
const MESSAGE: usize = 32_000;

/// Whether the object is followed as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// The object's generation that was looked at.
    pub generation: u64,
    /// In one word.
    pub reason: &'static str,
    /// Why it is not followed as it is; `None` when it is.
    pub refusal: Option<String>,
    /// Since when.
    pub since: jiff::Timestamp,
}

impl Acceptance {
    fn condition(&self) -> StatusCondition {
        StatusCondition {
            kind: "Accepted".to_owned(),
            status: if self.refusal.is_none() { TruthStatus::True } else { TruthStatus::False },
            observed_generation: i64::try_from(self.generation).ok(),
            last_transition_time: moment_text(self.since),
            reason: self.reason.to_owned(),
            message: self.refusal.clone().unwrap_or_else(|| "the cluster follows the object".to_owned()),
        }
    }
}

/// The status as a patch, with null for what is not to be there. `groups`: those that it has named so far.
pub fn status(view: &ClusterView, acceptance: &Acceptance, groups: &mut BTreeSet<String>) -> Value {
    let status = cluster_status(view, acceptance);
    let mut patch = json!({
        "phase": null, "endpoint": null, "dashboard": null, "workers": null, "groups": null,
    });
    groups.extend(status.groups.keys().cloned());
    let gone: Vec<&String> = groups.iter().filter(|name| !status.groups.contains_key(*name)).collect();
    let mut made = serde_json::to_value(&status).unwrap_or_default();
    if let (Some(made), false) = (made.as_object_mut(), gone.is_empty()) {
        let named = made.entry("groups").or_insert_with(|| json!({}));
        for name in gone {
            if let Some(named) = named.as_object_mut() {
                named.insert(name.clone(), Value::Null);
            }
        }
    }
    if let (Value::Object(made), Some(patch)) = (made, patch.as_object_mut()) {
        patch.extend(made);
    }
    patch
}

fn cluster_status(view: &ClusterView, acceptance: &Acceptance) -> ClusterStatus {
    let observed =
        view.observed_generation.max(if acceptance.refusal.is_some() { acceptance.generation } else { 0 });
    let default = view.groups.iter().find(|group| group.name == GroupName::workers());
    let others = view.groups.iter().filter(|group| group.name != GroupName::workers());
    let mut conditions = vec![acceptance.condition()];
    conditions.extend(view.conditions.iter().map(|condition| stated(condition, view.observed_generation)));
    let endpoint = endpoint(view);
    ClusterStatus {
        observed_generation: i64::try_from(observed).ok(),
        phase: Some(view.phase.to_string()),
        conditions,
        dashboard: endpoint.as_deref().and_then(dashboard),
        endpoint,
        workers: Some(workers(view, default)),
        groups: others.map(|group| (group.name.to_string(), group_status(group))).collect(),
        ledger: None,
    }
}

fn stated(condition: &Condition, generation: u64) -> StatusCondition {
    let kind = serde_json::to_value(condition.kind).ok();
    StatusCondition {
        kind: kind.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
        status: match condition.status {
            ConditionStatus::True => TruthStatus::True,
            ConditionStatus::False => TruthStatus::False,
            ConditionStatus::Unknown => TruthStatus::Unknown,
        },
        observed_generation: i64::try_from(generation).ok(),
        last_transition_time: moment_text(condition.last_transition_time),
        reason: condition.reason.clone(),
        message: condition.message.chars().take(MESSAGE).collect(),
    }
}

/// Where clients within Kubernetes connect: the scheduler's Service.
fn endpoint(view: &ClusterView) -> Option<String> {
    let ending = matches!(view.phase, Phase::Deleting);
    view.nodes.iter().find(|node| node.role == Role::Scheduler && !ending)?.address.clone()
}

/// The dashboard is at the same host.
fn dashboard(endpoint: &str) -> Option<String> {
    let (scheme, address) = endpoint.split_once("://")?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let scheme = if scheme == "tls" { "https" } else { "http" };
    Some(format!("{scheme}://{host}:8787/status"))
}

fn workers(view: &ClusterView, group: Option<&GroupView>) -> WorkersStatus {
    let sum = |count: fn(&GroupView) -> u32| view.groups.iter().map(count).sum::<u32>();
    WorkersStatus {
        ready: group.map_or(0, |group| group.ready),
        wanted: group.map_or(0, |group| group.wanted),
        text: format!("{}/{}", sum(|group| group.ready), sum(|group| group.wanted)),
        selector: format!("{}={},{}={}", label::CLUSTER_UID, view.uid, label::GROUP, GroupName::workers()),
    }
}

fn group_status(group: &GroupView) -> GroupStatus {
    GroupStatus { ready: group.ready, wanted: group.wanted }
}
