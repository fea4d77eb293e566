//! Registries of container images: which image has the caller's software, pinned to its content.

mod auth;
mod client;
mod docker_config;
mod error;
mod http;
mod options;
mod resolve;
#[cfg(test)]
mod tests;

pub use client::RegistryClient;
pub use docker_config::DockerConfig;
pub use error::{RegistryError, ResolveError};
#[cfg(feature = "ec2")]
pub(in crate::provider) use http::text;
pub use options::RegistryOptions;
pub use resolve::{environment, resolve};
