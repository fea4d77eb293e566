//! The forwarder's way to a scheduler in a pod: each connection travels through the API server's port-forward.
//!
//! It ends when the cluster's anchor is gone.

mod api;
mod kubeconfig;
mod pulse;
mod scheduler_pod;
mod tunnel;
mod watching;
mod way;

pub use way::{PodStream, PodWay};
