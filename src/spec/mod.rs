//! The `ComputeCluster` document: from text to validated, plain types.
//!
//! Pure: nothing here reads a file, a clock or the environment.
//!
//! ```text
//! text ─ tree (values with places) ─ reader (keys, types, units) ─ rules (values together) ─► Document
//! ```
//!
//! [`load`] goes all the way and reports every error with its place; [`validate`] applies the
//! same rules to a document that arrived in another form. [`json_schema`] and
//! [`reference_markdown`] are made from the same types.

pub mod crd;
mod defaults;
mod diagnostic;
mod ec2;
mod edit;
mod emit;
mod generated;
mod kubernetes;
mod limits;
mod load;
mod names;
mod path;
mod pods;
mod reader;
mod reference;
mod render;
mod rules;
mod scalar;
mod schema;
mod schema_parts;
mod secrets;
mod syntax;
mod text;
mod time_limit;
mod tree;
mod types;
mod units;

pub use diagnostic::{Diagnostic, Label, LoadError, Severity, Source};
pub use ec2::{
    ANYWHERE, AddressKind, Architecture, DiskSpec, Ec2Spec, InstanceProfiles, InstanceType, MachineTemplate,
    Purchase, TaskCredentials, VolumeType,
};
pub use edit::{Edit, FieldChange, carry_sizes, compare, outlives_pods};
pub use emit::{EmitError, to_yaml};
pub use generated::{GeneratedError, generated_yaml};
pub use kubernetes::{EndpointKind, IpBlock, KubernetesSpec, LabelSelector, NetworkPeer, NetworkPolicySpec};
pub use load::{Document, load};
pub use names::{ClusterName, GroupName, NameError, Namespace};
pub use path::FieldPath;
pub use pods::{
    Fragment, ImagePullPolicy, PodResources, PodTemplate, PullSecret, TaintEffect, Toleration,
    TolerationOperator,
};
#[cfg_attr(
    not(feature = "kubernetes"),
    expect(unused_imports, reason = "only the Kubernetes provider merges pods")
)]
pub(crate) use pods::{Nulls, merge};
pub use reference::reference_markdown;
pub use render::ColorChoice;
pub use rules::{Invalid, Mark, Problem, Target, problems, validate};
pub use schema::json_schema;

pub(crate) use text::{count_of, string_form};
pub use time_limit::TimeLimit;
pub use types::{
    ApiVersion, ClusterSpec, ComputeCluster, DaskSpec, EngineSpec, EnvironmentSpec, Kind, LocalSpec,
    Metadata, ProviderKind, ProviderSpec, SchedulerSpec, Size, WaitFor, WorkerGroupSpec,
};
pub use units::{Cpu, Memory, Quantity, Span, UnitError};
