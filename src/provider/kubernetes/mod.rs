//! Pods of a Kubernetes cluster, made with the caller's own rights in one namespace.

mod build;
mod client;
mod clusters;
mod connection;
mod context;
mod credentials;
mod error;
mod family;
#[cfg(target_os = "linux")]
pub mod forwarder;
mod installation;
mod logs;
mod managed;
mod names;
mod objects;
mod observe;
mod outside;
mod prepare;
mod provider;
mod sight;
mod watch;
mod way;

pub use connection::{CallListener, connect};
pub use context::{ContextChoice, resolve};
pub use family::KubernetesProviders;
pub use names::service as service_name;
pub use outside::balancer_of;
pub use provider::KubernetesProvider;
pub use way::{Forwarding, TlsPathsOf};
