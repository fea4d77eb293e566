//! The document as plain types: what is stored, sent, and turned into JSON Schema.
//!
//! Defaults that depend on the provider are functions of [`ClusterSpec`], not fields, so that a
//! stored document says what its author said.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ClusterName, Cpu, Ec2Spec, GroupName, KubernetesSpec, MachineTemplate, Memory, Namespace, PodTemplate,
    Span, TimeLimit, limits, schema_parts as parts,
};

/// A compute cluster: one scheduler and its groups of workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComputeCluster {
    /// The version of this format.
    pub api_version: ApiVersion,
    /// The kind of document.
    pub kind: Kind,
    /// Name, namespace and labels.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: ClusterSpec,
}

/// The version of the document's format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first, still open to change.
    #[default]
    #[serde(rename = "crewcall.dev/v1alpha1")]
    V1Alpha1,
}

/// The kind of document; there is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// A compute cluster.
    #[default]
    ComputeCluster,
}

/// Who the cluster is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Unique per namespace; the first part of every node's name.
    pub name: ClusterName,
    /// Kubernetes only: the namespace of the cluster's objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Free labels, for people and for selection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::labels")]
    pub labels: BTreeMap<String, String>,
}

/// What is wanted of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// Where the cluster runs. Fixed for its life.
    pub provider: ProviderSpec,
    /// What runs in it. Fixed for its life.
    #[serde(default, skip_serializing_if = "is_default")]
    pub engine: EngineSpec,
    /// The software of scheduler and workers; without it, the caller's own. Fixed for its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentSpec>,
    /// Whether every connection is mutually authenticated. Fixed for its life. Default: true.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub tls: bool,
    /// Environment variables of scheduler and workers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::env")]
    pub env: BTreeMap<String, String>,
    /// Environment variables whose values are secret, by the name of the caller's variable that
    /// holds the value. Never written to disk.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::secret_env")]
    pub secret_env: BTreeMap<String, String>,
    /// The scheduler. Fixed for the cluster's life.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scheduler: SchedulerSpec,
    /// The default group of workers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub workers: WorkerGroupSpec,
    /// More groups, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::worker_groups")]
    pub worker_groups: BTreeMap<GroupName, WorkerGroupSpec>,
    /// What `create` waits for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub wait_for: WaitFor,
    /// No work for this long, and the cluster is torn down. Default: 20m on ec2, 1h on kubernetes,
    /// never on local. A connected client alone is not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<TimeLimit>,
    /// Torn down this long after its creation, whatever happens. Default: 24h on ec2, never
    /// elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<TimeLimit>,
    /// How long a worker that is told to stop may take to hand its data over. Default: 25s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_grace: Option<Span>,
    /// How long a scale-down waits for somebody who can take a worker's data before it gives up
    /// and keeps the worker. Default: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_timeout: Option<Span>,
}

/// Where a cluster runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProviderSpec {
    /// Processes on this machine.
    Local(LocalSpec),
    /// Pods.
    Kubernetes(Box<KubernetesSpec>),
    /// EC2 instances.
    Ec2(Box<Ec2Spec>),
}

/// A provider, without its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProviderKind {
    /// Processes on this machine.
    Local,
    /// Pods.
    Kubernetes,
    /// EC2 instances.
    Ec2,
}

/// Settings of the local provider: none yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalSpec {}

/// What runs in a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EngineSpec {
    /// Dask.
    Dask(DaskSpec),
}

/// Settings of Dask.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DaskSpec {
    /// Dask configuration for scheduler and workers, by dotted key (`distributed.scheduler.work-stealing`)
    /// or nested as in a `dask.yaml`. Goes over Dask's own files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::config")]
    pub config: BTreeMap<String, serde_json::Value>,
    /// Modules or files that every worker loads before it starts (Dask's `--preload`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "parts::preloads")]
    pub worker_preload: Vec<String>,
    /// Modules or files that the scheduler loads before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "parts::preloads")]
    pub scheduler_preload: Vec<String>,
}

/// Which software scheduler and workers run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EnvironmentSpec {
    /// Local: requirements as pip has them; installed once into an environment kept by their hash.
    Packages(#[schemars(schema_with = "parts::packages")] Vec<String>),
    /// Local: a Python interpreter that has Dask; a relative path is the document's folder's.
    Interpreter(#[schemars(schema_with = "parts::path")] PathBuf),
    /// Kubernetes and EC2: a container image. `{dask}` and `{python}` in it stand for the caller's versions
    /// (`2026.8.0`, `3.13`).
    Image(#[schemars(schema_with = "parts::image")] String),
}

/// The scheduler's own settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SchedulerSpec {
    /// Processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Environment variables, over those of the cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::env")]
    pub env: BTreeMap<String, String>,
    /// Kubernetes only: the scheduler's pod, over `spec.provider.kubernetes.pods`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kubernetes: Box<PodTemplate>,
    /// EC2 only: the scheduler's machine, over `spec.provider.ec2.machines`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ec2: MachineTemplate,
}

/// A group of workers made from one template.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkerGroupSpec {
    /// A fixed number of workers. Default, without `min` and `max`: 1 in a new cluster, and what there is
    /// in one that is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = limits::WORKERS))]
    pub replicas: Option<u32>,
    /// Adaptive: at least this many workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = limits::WORKERS))]
    pub min: Option<u32>,
    /// Adaptive: at most this many workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = limits::WORKERS))]
    pub max: Option<u32>,
    /// Threads that run tasks, per worker. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = limits::THREADS))]
    pub threads: Option<u32>,
    /// Processors per worker. Default: its threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Memory per worker; the worker spills and pauses by it, and is killed at 95 % of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Abstract resources that tasks may ask for, per worker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::resources")]
    pub resources: BTreeMap<String, f64>,
    /// Whether each worker is the child of a Nanny process of Dask's own, as plugins of nannies need it.
    /// Costs a second Python process per worker, and a start from nothing. Default: false.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nanny: bool,
    /// Environment variables, over those of the cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::env")]
    pub env: BTreeMap<String, String>,
    /// Secret environment variables, over those of the cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::secret_env")]
    pub secret_env: BTreeMap<String, String>,
    /// Kubernetes only: the group's pods, over `spec.provider.kubernetes.pods`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kubernetes: Box<PodTemplate>,
    /// EC2 only: the group's machines, over `spec.provider.ec2.machines`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ec2: MachineTemplate,
}

/// What `create` waits for before it reports success.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaitFor {
    /// Ready workers. Default: all of the fixed ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = limits::WORKERS))]
    pub workers: Option<u32>,
    /// How long. Default: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// How many workers a group should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Size {
    /// Always so many.
    Fixed(u32),
    /// As many as the work needs, within bounds.
    Adaptive {
        /// At least.
        min: u32,
        /// At most.
        max: u32,
    },
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(super) fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_yes(value: &bool) -> bool {
    *value
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(replicas) => write!(f, "{replicas}"),
            Self::Adaptive { min, max } => write!(f, "{min} to {max}"),
        }
    }
}
