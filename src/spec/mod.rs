//! The `ComputeCluster` document: from text to validated, plain types.
//!
//! Pure: nothing here reads a file, a clock or the environment.

mod names;
mod types;
mod units;

pub use names::{ClusterName, GroupName, NameError, Namespace};
pub use types::{
    ApiVersion, ClusterSpec, ComputeCluster, DaskSpec, Ec2Spec, EngineSpec, EnvironmentSpec, Kind,
    KubernetesSpec, LocalSpec, Metadata, ProviderKind, ProviderSpec, SchedulerSpec, Size, TimeLimit, WaitFor,
    WorkerGroupSpec,
};
pub use units::{Cpu, Memory, Span, UnitError};
