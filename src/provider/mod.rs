//! Where clusters run: the contract of a provider, and the providers.

mod contract;
#[cfg(all(feature = "local", target_os = "linux"))]
pub mod local;

pub use contract::{
    AnchorRequest, Caller, Capabilities, Directories, ErrorKind, Follow, LogRequest, LogStream, Managed,
    NodeFailure, NodeRequest, NodesRequest, Prepared, Provider, ProviderError, Removal, Residue, Stop,
};
