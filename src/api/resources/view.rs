//! From a custom resource to what is shown of its cluster. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    api::{ApiError, ErrorCode},
    controller::{ClusterView, Told},
    model::{Condition, ConditionKind, ConditionStatus},
    spec::GroupName,
    store::kubernetes::{ObjectReader, Refusal},
};

/// What an operator says of an object that it does not follow as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// In one word.
    pub reason: String,
    /// Why.
    pub message: String,
    since: Option<Timestamp>,
}

impl Objection {
    /// That of an object, if it is about the object as it is now.
    pub fn of(object: &Value) -> Option<Self> {
        let conditions = object.pointer("/status/conditions")?.as_array()?;
        let accepted = conditions.iter().find(|condition| text(condition, "/type") == "Accepted")?;
        let current = object.pointer("/metadata/generation") == accepted.get("observedGeneration");
        (current && text(accepted, "/status") == "False").then(|| Self {
            reason: text(accepted, "/reason").to_owned(),
            message: text(accepted, "/message").to_owned(),
            since: text(accepted, "/lastTransitionTime").parse().ok(),
        })
    }

    /// Whether there is no cluster at all because of it.
    pub fn is_whole(&self) -> bool {
        self.reason != "FixedPartChanged"
    }
}

/// Whether an operator has looked at an object.
pub fn was_looked_at(object: &Value) -> bool {
    object.pointer("/status/observedGeneration").is_some_and(|generation| generation.as_u64() > Some(0))
}

/// What is shown of an object's cluster, with the addresses that it has within Kubernetes.
pub fn view(reader: &ObjectReader, object: &Value) -> Result<ClusterView, ApiError> {
    let mut record = reader.look(object).map_err(|refusal| unusable(object, &refusal))?;
    if let Some(objection) = Objection::of(object) {
        record.progress.conditions.retain(|condition| condition.kind != ConditionKind::Degraded);
        record.progress.conditions.push(Condition {
            kind: ConditionKind::Degraded,
            status: ConditionStatus::True,
            last_transition_time: objection.since.unwrap_or(record.wanted.created_at),
            reason: objection.reason,
            message: objection.message,
        });
    }
    let endpoint = |path| Some(text(object, path).to_owned()).filter(|text| !text.is_empty());
    let told = Told {
        ready: ready(object),
        endpoint: endpoint("/status/endpoint"),
        dashboard: endpoint("/status/dashboard"),
    };
    Ok(ClusterView::told(&record, &told))
}

fn ready(object: &Value) -> BTreeMap<GroupName, u32> {
    let count = |group: &Value| u32::try_from(group.get("ready")?.as_u64()?).ok();
    let others = object.pointer("/status/groups").and_then(Value::as_object).into_iter().flatten();
    let others = others.filter_map(|(name, group)| Some((name.parse().ok()?, count(group)?)));
    let default = object.pointer("/status/workers").and_then(count);
    others.chain(default.map(|ready| (GroupName::workers(), ready))).collect()
}

fn unusable(object: &Value, refusal: &Refusal) -> ApiError {
    let name = text(object, "/metadata/name");
    ApiError::new(ErrorCode::Unreadable, format!("computecluster {name} is no cluster: {}", refusal.message))
        .with_hint(format!("`kubectl edit computecluster {name}` mends it, `kubectl delete` removes it"))
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{KubernetesContext, Phase};

    fn reader() -> ObjectReader {
        let context = KubernetesContext {
            kubeconfig: Vec::new(),
            context: String::new(),
            namespace: "data".parse().unwrap(),
            server: "https://server".to_owned(),
        };
        ObjectReader { context, default_image: None }
    }

    fn object(status: Value) -> Value {
        let mut object = json!({
            "apiVersion": "crewcall.dev/v1alpha1", "kind": "ComputeCluster",
            "metadata": {
                "name": "demo", "namespace": "data", "uid": "a-b", "generation": 2,
                "creationTimestamp": "2026-01-02T03:04:05Z",
            },
            "spec": { "provider": {"kubernetes": {}}, "workers": {"replicas": 1} },
        });
        if !status.is_null() {
            object["status"] = status;
        }
        object
    }

    #[test]
    fn an_object_that_nobody_looked_at_is_pending_and_names_its_generation() {
        let object = object(Value::Null);
        let view = view(&reader(), &object).unwrap();
        assert_eq!((view.phase, view.generation, view.observed_generation), (Phase::Pending, 2, 0));
        assert!(!was_looked_at(&object) && !view.awaited.reached);
    }

    #[test]
    fn a_refused_object_says_so_whatever_its_cluster_was() {
        let refusal = json!({
            "type": "Accepted", "status": "False", "observedGeneration": 2, "reason": "NoImage", "message": "no image",
            "lastTransitionTime": "2026-01-02T04:00:00Z",
        });
        let refused = object(json!({"observedGeneration": 2, "conditions": [refusal]}));
        let view = view(&reader(), &refused).unwrap();
        assert_eq!(view.phase, Phase::Degraded);
        assert_eq!(view.condition(ConditionKind::Degraded).unwrap().message, "no image");
        assert!(Objection::of(&refused).unwrap().is_whole());
    }

    #[test]
    fn an_objection_to_an_earlier_version_is_none() {
        let refusal = json!({
            "type": "Accepted", "status": "False", "observedGeneration": 1, "reason": "NoImage", "message": "no image",
        });
        assert_eq!(Objection::of(&object(json!({"conditions": [refusal]}))), None);
    }

    #[test]
    fn an_endpoint_is_told_once_the_scheduler_answers() {
        let condition = |status: &str| {
            json!({
                "type": "SchedulerReady", "status": status, "reason": "Answers", "message": "m",
                "lastTransitionTime": "2026-01-02T04:00:00Z",
            })
        };
        let with = |status: &str| {
            object(json!({
                "observedGeneration": 2, "endpoint": "tls://demo-scheduler.data.svc:8786",
                "conditions": [condition(status)], "workers": {"ready": 1},
            }))
        };
        assert_eq!(view(&reader(), &with("False")).unwrap().endpoint, None);
        let ready = view(&reader(), &with("True")).unwrap();
        assert_eq!(ready.endpoint.as_deref(), Some("tls://demo-scheduler.data.svc:8786"));
    }
}
