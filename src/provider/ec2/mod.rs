//! EC2 instances, made with the caller's own rights in one account and region.
//!
//! What goes into a call, and what a reply means, is decided here over plain types, built into every program. The
//! calls themselves are [`Ec2Api`]: the client's, which alone is to know AWS' SDK, or a fake's in tests.

mod anchor;
mod api;
pub mod build;
#[cfg(feature = "ec2")]
mod client;
mod copies;
pub mod error;
pub mod examine;
#[cfg(feature = "ec2")]
mod family;
mod fleet;
mod leftovers;
mod memory;
pub mod names;
pub mod observe;
mod parameters;
pub mod plugin;
mod prepare;
pub mod prices;
mod provider;
mod way;

pub use api::{
    Belonging, Ec2Api, Filled, GroupCall, ParameterCall, PoolRefusal, Secrecy, SeenGroup, SeenTemplate,
};
#[cfg(feature = "ec2")]
pub use client::{Ec2Client, StartedSession, resolve};
#[cfg(feature = "ec2")]
pub use family::Ec2Providers;
pub use provider::{Ec2Provider, Whose};
pub use way::Ec2Forwarding;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
