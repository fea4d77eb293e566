//! What a document says of pods, in Kubernetes' own words.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Nulls, merge};
use crate::spec::{Quantity, schema_parts as parts, types::is_default};

/// A piece of a Kubernetes object, with the fields and the meaning that Kubernetes gives it.
pub type Fragment = BTreeMap<String, Value>;

/// What pods have beyond what Crewcall gives them, by the names that a Pod has for it.
///
/// One template goes over another, and the result over Crewcall's own pod, by one rule: maps are
/// merged key by key, and a key without value (`null`) is removed; lists of things with names
/// (`volumes`, `volumeMounts`, `tolerations`, `imagePullSecrets`, `env`) are joined, where a thing takes the
/// place of the one with its name; `containers` and `initContainers` of a name are merged; every other list or value
/// takes the place of the one before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodTemplate {
    /// Labels of the pods. Those of `crewcall.dev/`, and `name`, `instance` and `managed-by` of
    /// `app.kubernetes.io/`, are Crewcall's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::annotations")]
    pub annotations: BTreeMap<String, String>,
    /// Labels that a Kubernetes node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::labels")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of Kubernetes nodes that do not keep the pods away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "parts::tolerations")]
    pub tolerations: Vec<Toleration>,
    /// Kubernetes' `affinity`: `nodeAffinity`, `podAffinity`, `podAntiAffinity`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::fragment")]
    pub affinity: Fragment,
    /// The `PriorityClass` of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "parts::object_name")]
    pub priority_class_name: Option<String>,
    /// The `ServiceAccount` of the pods. Its token is not mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "parts::object_name")]
    pub service_account_name: Option<String>,
    /// Secrets with the credentials of registries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "parts::pull_secrets")]
    pub image_pull_secrets: Vec<PullSecret>,
    /// When the image is pulled. Default: `IfNotPresent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Volumes of the pods, each as Kubernetes has it; names that begin with `crewcall-` are Crewcall's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "parts::volumes")]
    pub volumes: Vec<Fragment>,
    /// Where the container sees them, each as Kubernetes has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "parts::volume_mounts")]
    pub volume_mounts: Vec<Fragment>,
    /// The pod's `securityContext`, over the one that Pod Security's `restricted` asks for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::fragment")]
    pub security_context: Fragment,
    /// The container's `securityContext`, over the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::fragment")]
    pub container_security_context: Fragment,
    /// What the container asks for beside `cpu` and `memory`, such as `nvidia.com/gpu`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: PodResources,
    /// For everything else: a part of a `PodSpec`, merged over the pod at last. The main container is named
    /// `dask`. Its command and image, the pod's restart policy and deadlines, and volumes that begin with `crewcall-` are not to be changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::fragment")]
    pub pod_spec: Fragment,
}

/// A taint that does not keep a pod away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Toleration {
    /// The taint's key. Default: every key, which needs the operator `Exists`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "parts::label_key")]
    pub key: Option<String>,
    /// How the taint's value is looked at. Default: `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// The taint's value, for `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "parts::label_value")]
    pub value: Option<String>,
    /// The taint's effect. Default: every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// For `NoExecute`: how many seconds a pod stays. Default: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<u32>,
}

/// How a taint's value is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// Any value will do.
    Exists,
    /// The value must be the same.
    Equal,
}

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// They are not placed there.
    NoSchedule,
    /// They are placed there last.
    PreferNoSchedule,
    /// They are evicted.
    NoExecute,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// Whenever a container starts.
    Always,
    /// When the Kubernetes node does not have it.
    IfNotPresent,
    /// Never: the Kubernetes node must have it.
    Never,
}

/// A Secret with the credentials of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PullSecret {
    /// Its name.
    #[schemars(schema_with = "parts::object_name")]
    pub name: String,
}

/// What a container asks for and may have at most, by the names of Kubernetes' resources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodResources {
    /// What it asks for. Default: the limits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::quantities")]
    pub requests: BTreeMap<String, Quantity>,
    /// The most it may have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::quantities")]
    pub limits: BTreeMap<String, Quantity>,
}

impl PodTemplate {
    /// The name of the container that runs the scheduler or worker.
    pub const CONTAINER: &str = "dask";
    /// What the names of Crewcall's own volumes begin with.
    pub const OWN_VOLUMES: &str = "crewcall-";
    /// Where Crewcall's own files are mounted.
    pub const OWN_MOUNTS: &str = "/etc/crewcall";

    /// This template over another, by the rule above. A removed key stays removed in the result.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        if *base == Self::default() {
            return self.clone();
        }
        let json = |template: &Self| serde_json::to_value(template).unwrap_or_default();
        let mut merged = json(base);
        merge(&mut merged, &json(self), Nulls::Keep);
        // Templates merge into a template: no value changes its type by the rule.
        serde_json::from_value(merged).unwrap_or_else(|_| self.clone())
    }
}

impl ImagePullPolicy {
    /// Kubernetes' name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(value: Value) -> PodTemplate {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_groups_template_goes_over_that_of_all_pods() {
        let base = template(json!({
            "labels": {"team": "a", "tier": "x"},
            "tolerations": [{"key": "spot", "operator": "Exists"}, {"key": "gpu", "effect": "NoSchedule"}],
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "scratch", "emptyDir": {}}],
            "imagePullSecrets": [{"name": "one"}],
            "affinity": {"nodeAffinity": {"a": [1, 2]}, "podAffinity": {"b": 1}},
            "priorityClassName": "low",
            "resources": {"limits": {"nvidia.com/gpu": "1"}},
            "securityContext": {"runAsUser": 1000, "fsGroup": 1000},
        }));
        let own = template(json!({
            "labels": {"tier": "y"},
            "tolerations": [{"key": "gpu", "effect": "NoSchedule", "operator": "Exists"}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "imagePullSecrets": [{"name": "two"}],
            "affinity": {"nodeAffinity": {"a": [3]}},
            "priorityClassName": "high",
            "resources": {"limits": {"nvidia.com/gpu": "2"}},
            "securityContext": {"runAsUser": null},
        }));
        let expected = template(json!({
            "labels": {"team": "a", "tier": "y"},
            "tolerations": [
                {"key": "spot", "operator": "Exists"},
                {"key": "gpu", "effect": "NoSchedule", "operator": "Exists"},
            ],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "scratch", "emptyDir": {}},
            ],
            "imagePullSecrets": [{"name": "one"}, {"name": "two"}],
            "affinity": {"nodeAffinity": {"a": [3]}, "podAffinity": {"b": 1}},
            "priorityClassName": "high",
            "resources": {"limits": {"nvidia.com/gpu": "2"}},
            "securityContext": {"runAsUser": null, "fsGroup": 1000},
        }));
        assert_eq!(own.over(&base), expected);
    }

    #[test]
    fn a_template_over_nothing_and_nothing_over_a_template_are_the_template() {
        let some = template(json!({"labels": {"a": "b"}, "podSpec": {"nodeName": null}}));
        assert_eq!(some.over(&PodTemplate::default()), some);
        assert_eq!(PodTemplate::default().over(&some), some);
    }
}
