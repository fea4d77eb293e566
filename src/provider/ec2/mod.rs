//! EC2 instances, made with the caller's own rights in one account and region.
//!
//! What goes into a call, and what a reply means, is decided here over plain types, built into every program. The
//! calls themselves are [`Ec2Api`]: the client's, which alone is to know AWS' SDK, or a fake's in tests.

mod anchor;
mod api;
pub mod build;
#[cfg(feature = "ec2")]
mod client;
pub mod error;
pub mod examine;
#[cfg(feature = "ec2")]
mod family;
mod memory;
pub mod names;
pub mod observe;
mod parameters;
mod prepare;
pub mod prices;
mod provider;

pub use api::{Belonging, Ec2Api, GroupCall, ParameterCall, Secrecy, SeenGroup};
#[cfg(feature = "ec2")]
pub use client::{Ec2Client, resolve};
#[cfg(feature = "ec2")]
pub use family::Ec2Providers;
pub use provider::{Ec2Provider, Whose};

#[cfg(test)]
mod tests;
