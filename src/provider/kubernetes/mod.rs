//! Pods of a Kubernetes cluster, made with the caller's own rights in one namespace.

mod build;
mod client;
mod clusters;
mod connection;
mod context;
mod credentials;
mod custom;
mod error;
mod family;
#[cfg(target_os = "linux")]
pub(in crate::provider) mod forwarder;
#[cfg(target_os = "linux")]
mod guest;
#[cfg(not(target_os = "linux"))]
#[path = "guest_elsewhere.rs"]
mod guest;
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
pub use custom::{CustomResources, Rehearsal, Sighting, Told, secret_values, secret_variables_name};
pub use family::KubernetesProviders;
pub use guest::{ClientPaths, Guest};
pub use names::service as service_name;
pub use outside::balancer_of;
pub use provider::KubernetesProvider;
pub use way::Way;
