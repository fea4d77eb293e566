//! Kubernetes: individually named pods, seen and made through the API server.

#[cfg(target_os = "linux")]
pub mod forwarder;
