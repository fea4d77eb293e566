//! The document as plain types: what is stored, sent, and turned into JSON Schema.
//!
//! Defaults that depend on the provider are functions of [`ClusterSpec`], not fields, so that a
//! stored document says what its author said.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterName, Cpu, GroupName, Memory, Namespace, Span};

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
    #[schemars(extend("maxProperties" = 64))]
    pub labels: BTreeMap<String, String>,
}

/// What is wanted of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// Where the cluster runs. Fixed for its life.
    pub provider: ProviderSpec,
    /// What runs in it. Fixed for its life.
    #[serde(default)]
    pub engine: EngineSpec,
    /// The software of scheduler and workers; without it, the caller's own. Fixed for its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentSpec>,
    /// Whether every connection is mutually authenticated (the default). Fixed for its life.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub tls: bool,
    /// Environment variables of scheduler and workers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 256))]
    pub env: BTreeMap<String, String>,
    /// Environment variables whose values are secret, by the name of the caller's variable that
    /// holds the value. Never written to disk.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 256))]
    pub secret_env: BTreeMap<String, String>,
    /// The scheduler. Fixed for the cluster's life.
    #[serde(default)]
    pub scheduler: SchedulerSpec,
    /// The default group of workers.
    #[serde(default)]
    pub workers: WorkerGroupSpec,
    /// More groups, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub worker_groups: BTreeMap<GroupName, WorkerGroupSpec>,
    /// What `create` waits for.
    #[serde(default, skip_serializing_if = "WaitFor::is_default")]
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
    Kubernetes(KubernetesSpec),
    /// EC2 instances.
    Ec2(Ec2Spec),
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

/// Settings of the Kubernetes provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesSpec {}

/// Settings of the EC2 provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ec2Spec {
    /// The AWS region; default: the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 32))]
    pub region: Option<String>,
}

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
    /// Dask configuration by dotted key (`distributed.scheduler.work-stealing`), for scheduler and
    /// workers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 256))]
    pub config: BTreeMap<String, serde_json::Value>,
    /// Modules or files that every worker loads before it starts (Dask's `--preload`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 32))]
    pub worker_preload: Vec<String>,
    /// Modules or files that the scheduler loads before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 32))]
    pub scheduler_preload: Vec<String>,
}

/// Which software scheduler and workers run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EnvironmentSpec {
    /// Local: requirements as pip has them; installed once into an environment kept by their hash.
    #[schemars(extend("minItems" = 1, "maxItems" = 256))]
    Packages(Vec<String>),
    /// Local: a Python interpreter that has Dask; a relative path is the document's folder's.
    Interpreter(PathBuf),
    /// Kubernetes and EC2: a container image.
    Image(String),
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
    #[schemars(extend("maxProperties" = 256))]
    pub env: BTreeMap<String, String>,
}

/// A group of workers made from one template.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkerGroupSpec {
    /// A fixed number of workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10000))]
    pub replicas: Option<u32>,
    /// Adaptive: at least this many workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10000))]
    pub min: Option<u32>,
    /// Adaptive: at most this many workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10000))]
    pub max: Option<u32>,
    /// Threads that run tasks, per worker. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<u32>,
    /// Processors per worker. Default: its threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Memory per worker; the worker spills and pauses by it, and is ended near it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Abstract resources that tasks may ask for, per worker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub resources: BTreeMap<String, f64>,
    /// Environment variables, over those of the cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 256))]
    pub env: BTreeMap<String, String>,
    /// Secret environment variables, over those of the cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 256))]
    pub secret_env: BTreeMap<String, String>,
}

/// What `create` waits for before it reports success.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaitFor {
    /// Ready workers. Default: all of the fixed ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10000))]
    pub workers: Option<u32>,
    /// How long. Default: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// A limit in time, or the word that there is none. Written `20m` or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TimeLimit {
    /// No limit.
    Never,
    /// This long.
    After(Span),
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

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

impl WaitFor {
    /// The default bound of a wait.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// How long to wait.
    pub fn timeout(&self) -> Duration {
        self.timeout.map_or(Self::DEFAULT_TIMEOUT, Span::duration)
    }
}

impl Default for EngineSpec {
    fn default() -> Self {
        Self::Dask(DaskSpec::default())
    }
}

impl ProviderSpec {
    /// Which provider.
    pub fn kind(&self) -> ProviderKind {
        match self {
            Self::Local(_) => ProviderKind::Local,
            Self::Kubernetes(_) => ProviderKind::Kubernetes,
            Self::Ec2(_) => ProviderKind::Ec2,
        }
    }
}

impl ProviderKind {
    /// The key that the document uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Kubernetes => "kubernetes",
            Self::Ec2 => "ec2",
        }
    }
}

impl WorkerGroupSpec {
    /// Most workers a group may have.
    pub const MAX_WORKERS: u32 = 10_000;

    /// The size the document asks for; `None` when it says nothing.
    pub fn size(&self) -> Option<Size> {
        match (self.replicas, self.min, self.max) {
            (Some(replicas), _, _) => Some(Size::Fixed(replicas)),
            (None, None, None) => None,
            (None, min, max) => {
                let min = min.unwrap_or(0);
                Some(Size::Adaptive { min, max: max.unwrap_or(min) })
            }
        }
    }

    /// Threads per worker.
    pub fn threads(&self) -> u32 {
        self.threads.unwrap_or(1)
    }
}

impl ClusterSpec {
    /// How long a worker may take to hand its data over, unless the document says.
    pub const DEFAULT_DRAIN_GRACE: Duration = Duration::from_secs(25);
    /// How long a scale-down waits for a recipient, unless the document says.
    pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(600);

    /// All worker groups, the default one first.
    pub fn groups(&self) -> impl Iterator<Item = (GroupName, &WorkerGroupSpec)> {
        std::iter::once((GroupName::workers(), &self.workers))
            .chain(self.worker_groups.iter().map(|(name, group)| (name.clone(), group)))
    }

    /// The group of that name.
    pub fn group(&self, name: &GroupName) -> Option<&WorkerGroupSpec> {
        if *name == GroupName::workers() { Some(&self.workers) } else { self.worker_groups.get(name) }
    }

    /// The same, to be changed.
    pub fn group_mut(&mut self, name: &GroupName) -> Option<&mut WorkerGroupSpec> {
        if *name == GroupName::workers() { Some(&mut self.workers) } else { self.worker_groups.get_mut(name) }
    }

    /// After how much idleness the cluster ends; `None`: never.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout.map_or_else(
            || match self.provider.kind() {
                ProviderKind::Local => None,
                ProviderKind::Kubernetes => Some(Duration::from_secs(3_600)),
                ProviderKind::Ec2 => Some(Duration::from_secs(1_200)),
            },
            TimeLimit::duration,
        )
    }

    /// How long after its creation the cluster ends; `None`: never.
    pub fn max_lifetime(&self) -> Option<Duration> {
        self.max_lifetime.map_or_else(
            || match self.provider.kind() {
                ProviderKind::Local | ProviderKind::Kubernetes => None,
                ProviderKind::Ec2 => Some(Duration::from_secs(86_400)),
            },
            TimeLimit::duration,
        )
    }

    /// How long a worker may take to hand its data over when it is told to stop.
    pub fn drain_grace(&self) -> Duration {
        self.drain_grace.map_or(Self::DEFAULT_DRAIN_GRACE, Span::duration)
    }

    /// How long a scale-down waits for a recipient.
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout.map_or(Self::DEFAULT_DRAIN_TIMEOUT, Span::duration)
    }
}

impl TimeLimit {
    /// `None`: no limit.
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::After(span) => Some(span.duration()),
        }
    }
}

impl TryFrom<String> for TimeLimit {
    type Error = super::UnitError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "never" { Ok(Self::Never) } else { text.parse().map(Self::After) }
    }
}

impl From<TimeLimit> for String {
    fn from(limit: TimeLimit) -> Self {
        match limit {
            TimeLimit::Never => "never".to_owned(),
            TimeLimit::After(span) => span.to_string(),
        }
    }
}

impl JsonSchema for TimeLimit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeLimit".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "maxLength": 32,
            "pattern": r"^(never|\s*([0-9]+d)?\s*([0-9]+h)?\s*([0-9]+m)?\s*([0-9]+s)?\s*)$",
            "examples": ["20m", "never"],
        })
    }
}
