//! What an object says of its cluster: written by the operator alone.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most characters of the ledger: with a document of any size it stays below what etcd stores (1.5 MiB).
pub const MAX_LEDGER: usize = 524_288;

const TEXT: usize = 1_024;
const MESSAGE: usize = 32_768;

/// The status of a `ComputeCluster` object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The generation of the spec that the rest is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// All in one word, such as Pending, Starting, Ready, Updating, Degraded or Deleting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub phase: Option<String>,
    /// What holds and what does not, and why; one of each type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<StatusCondition>,
    /// Where clients connect: within the Kubernetes cluster, or through its load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TEXT))]
    pub endpoint: Option<String>,
    /// Where the dashboard is, by the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TEXT))]
    pub dashboard: Option<String>,
    /// The default group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkersStatus>,
    /// The other groups, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = super::super::limits::GROUPS))]
    pub groups: BTreeMap<String, GroupStatus>,
    /// The operator's own notes, as JSON in one text; at most 512 KiB. Not for others to read or to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_LEDGER))]
    pub ledger: Option<String>,
}

/// One statement about a cluster, in the form that Kubernetes' own objects have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusCondition {
    /// What the statement is about.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub kind: String,
    /// Whether it holds.
    pub status: TruthStatus,
    /// The generation of the spec for which it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Since when the status is what it is: RFC 3339.
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// Why, in one `CamelCase` word that programs can match.
    #[schemars(length(min = 1, max = TEXT), regex(pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"))]
    pub reason: String,
    /// Why, for a person.
    #[schemars(length(max = MESSAGE))]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TruthStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// The workers of the default group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkersStatus {
    /// Those that take work.
    pub ready: u32,
    /// Those that there are to be, by the spec or by the work there is.
    pub wanted: u32,
    /// Ready and wanted of all groups, for a column: `3/4`.
    #[schemars(length(max = 64))]
    pub text: String,
    /// The labels of the group's pods, for `kubectl scale` and autoscalers.
    #[schemars(length(max = TEXT))]
    pub selector: String,
}

/// The workers of another group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// Those that take work.
    pub ready: u32,
    /// Those that there are to be.
    pub wanted: u32,
}
