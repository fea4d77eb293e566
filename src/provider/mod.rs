//! Where clusters run: the contract of a provider, and the providers.

#[cfg(all(any(feature = "kubernetes", feature = "ec2", feature = "local"), target_os = "linux"))]
mod child;
mod contract;
pub mod ec2;
#[cfg(feature = "fake")]
pub mod fake;
#[cfg(all(any(feature = "kubernetes", feature = "ec2"), target_os = "linux"))]
pub mod forwarder;
#[cfg(all(any(feature = "kubernetes", feature = "ec2"), target_os = "linux"))]
mod forwarding;
#[cfg(not(all(any(feature = "kubernetes", feature = "ec2"), target_os = "linux")))]
#[path = "forwarding_elsewhere.rs"]
mod forwarding;
#[cfg(any(feature = "kubernetes", feature = "ec2"))]
pub mod images;
mod installation;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
#[cfg(all(feature = "local", target_os = "linux"))]
pub mod local;
mod machine;
#[cfg(all(any(feature = "kubernetes", feature = "ec2", feature = "local"), target_os = "linux"))]
#[cfg_attr(not(feature = "local"), expect(dead_code, reason = "the local provider uses all of it"))]
mod os;
mod registry;

pub use contract::{
    AnchorRequest, Caller, Capabilities, Directories, Follow, LaunchRequest, Launched, LogRequest, LogStream,
    Managed, NodeFailure, NodeRequest, NodesRequest, Prepared, Provider, ProviderError, RecordCopy, Removal,
    Surrounding, Vitality,
};
pub use forwarding::{Forwarding, TlsPathsOf};
pub use installation::installation;
pub use machine::{boot_id, machine_id};
pub use registry::{Family, NoProvider, Providers};

/// How the ids of forwarders begin, among what is managed.
const FORWARDER: &str = "forwarder:";

pub use crate::model::{ErrorKind, RecordCopies, Residue, Stop, WayIn};
