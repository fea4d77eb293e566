//! Where clusters run: the contract of a provider, and the providers.

mod contract;
pub mod ec2;
#[cfg(feature = "fake")]
pub mod fake;
#[cfg(any(feature = "kubernetes", feature = "ec2"))]
pub mod images;
mod installation;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
#[cfg(all(feature = "local", target_os = "linux"))]
pub mod local;
mod machine;
#[cfg(all(any(feature = "kubernetes", feature = "local"), target_os = "linux"))]
#[cfg_attr(not(feature = "local"), expect(dead_code, reason = "the local provider uses all of it"))]
mod os;
mod registry;

pub use contract::{
    AnchorRequest, Caller, Capabilities, Directories, Follow, LaunchRequest, Launched, LogRequest, LogStream,
    Managed, NodeFailure, NodeRequest, NodesRequest, Prepared, Provider, ProviderError, Removal, Surrounding,
    Vitality,
};
pub use installation::installation;
pub use machine::{boot_id, machine_id};
pub use registry::{Family, NoProvider, Providers};

pub use crate::model::{ErrorKind, Residue, Stop};
