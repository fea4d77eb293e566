//! From what an engine wants to run to Kubernetes objects, as JSON. Pure.

mod cluster;
mod pod;
mod template;
#[cfg(test)]
mod tests;

pub use cluster::{
    Belonging, RESOURCE, anchor, clients_policy, environment_secret, network_policy, owner, service,
    tls_secret,
};
pub use pod::pod;
