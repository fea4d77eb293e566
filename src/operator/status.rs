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

/// The status as a patch, with null for what is not to be there. `groups`: those that it has named so far; `balancer`:
/// the host of the load balancer before the scheduler, if there is one.
pub fn status(
    view: &ClusterView,
    acceptance: &Acceptance,
    groups: &mut BTreeSet<String>,
    balancer: Option<&str>,
) -> Value {
    let status = cluster_status(view, acceptance, balancer);
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

fn cluster_status(view: &ClusterView, acceptance: &Acceptance, balancer: Option<&str>) -> ClusterStatus {
    let observed =
        view.observed_generation.max(if acceptance.refusal.is_some() { acceptance.generation } else { 0 });
    let default = view.groups.iter().find(|group| group.name == GroupName::workers());
    let others = view.groups.iter().filter(|group| group.name != GroupName::workers());
    let mut conditions = vec![acceptance.condition()];
    conditions.extend(view.conditions.iter().map(|condition| stated(condition, view.observed_generation)));
    let endpoint = endpoint(view, balancer);
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

/// Where clients connect: the load balancer, else the scheduler's Service.
fn endpoint(view: &ClusterView, balancer: Option<&str>) -> Option<String> {
    let ending = matches!(view.phase, Phase::Deleting);
    let within =
        view.nodes.iter().find(|node| node.role == Role::Scheduler && !ending)?.address.as_deref()?;
    let Some(host) = balancer else { return Some(within.to_owned()) };
    let (scheme, port) = (within.split_once("://")?.0, within.rsplit_once(':')?.1);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Some(format!("{scheme}://{host}:{port}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn view(groups: &Value) -> ClusterView {
        let at = "2026-01-02T03:04:05.678Z";
        serde_json::from_value(json!({
            "name": "demo", "uid": "0000000000000007", "provider": "kubernetes", "phase": "Ready",
            "awaited": {"reached": true, "workers": 2, "ready": 2},
            "generation": 3, "observedGeneration": 3, "createdAt": at,
            "endpoint": "tls://10.0.0.9:8786", "dashboard": null, "client": null, "groups": groups,
            "nodes": [{
                "name": "demo-scheduler-0-0", "group": "scheduler", "role": "scheduler", "state": "Ready", "since": at,
                "address": "tls://demo-scheduler.data.svc:8786", "worker": null,
            }],
            "conditions": [{
                "type": "WorkersReady", "status": "True", "reason": "AllThere", "message": "m", "lastTransitionTime": at,
            }],
            "clients": 0, "idleSince": null, "interpreter": null, "context": {"workingDirectory": "/"},
            "document": {
                "apiVersion": "crewcall.dev/v1alpha1", "kind": "ComputeCluster", "metadata": {"name": "demo"},
                "spec": {"provider": {"kubernetes": {}}},
            },
        }))
        .unwrap()
    }

    fn group(name: &str, wanted: u32, ready: u32) -> Value {
        json!({"name": name, "size": {"fixed": wanted}, "wanted": wanted, "ready": ready, "starting": 0, "draining": 0})
    }

    fn accepted(refusal: Option<&str>) -> Acceptance {
        Acceptance {
            generation: 4,
            reason: "Accepted",
            refusal: refusal.map(str::to_owned),
            since: "2026-01-02T03:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn clients_within_kubernetes_are_told_of_the_service_not_of_the_pod() {
        let status =
            status(&view(&json!([group("workers", 2, 1)])), &accepted(None), &mut BTreeSet::new(), None);
        assert_eq!(status["endpoint"], "tls://demo-scheduler.data.svc:8786");
        assert_eq!(status["dashboard"], "https://demo-scheduler.data.svc:8787/status");
        let selector = "crewcall.dev/cluster-uid=0000000000000007,crewcall.dev/group=workers";
        let workers = json!({"ready": 1, "wanted": 2, "text": "1/2", "selector": selector});
        assert_eq!(status["workers"], workers);
        assert_eq!(status["conditions"][1]["lastTransitionTime"], "2026-01-02T03:04:05Z");
        assert_eq!(status["observedGeneration"], 3);
    }

    #[test]
    fn a_load_balancer_comes_before_the_service() {
        for (host, endpoint) in [("192.0.2.7", "tls://192.0.2.7:8786"), ("fd00::1", "tls://[fd00::1]:8786")] {
            let status = status(&view(&json!([])), &accepted(None), &mut BTreeSet::new(), Some(host));
            assert_eq!(status["endpoint"], endpoint);
        }
    }

    #[test]
    fn a_group_that_is_gone_is_taken_out_of_the_status() {
        let mut groups = BTreeSet::new();
        let both = status(
            &view(&json!([group("workers", 2, 1), group("big", 3, 3)])),
            &accepted(None),
            &mut groups,
            None,
        );
        assert_eq!(both["groups"], json!({"big": {"ready": 3, "wanted": 3}}));
        assert_eq!(both["workers"]["text"], "4/5");
        let one = status(&view(&json!([group("workers", 2, 1)])), &accepted(None), &mut groups, None);
        assert_eq!(one["groups"], json!({ "big": null }));
    }

    #[test]
    fn a_refused_edit_was_observed_and_says_so() {
        let status = status(&view(&json!([])), &accepted(Some("no")), &mut BTreeSet::new(), None);
        assert_eq!(status["observedGeneration"], 4);
        let condition = &status["conditions"][0];
        assert_eq!((&condition["type"], &condition["status"]), (&json!("Accepted"), &json!("False")));
    }
}
