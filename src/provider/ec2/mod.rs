//! EC2 instances, made with the caller's own rights in one account and region.
//!
//! What goes into a call, and what a reply means, is decided here over plain types, built into every program. The
//! calls themselves are [`Ec2Api`]: the client's, which alone is to know AWS' SDK, or a fake's in tests.

mod anchor;
mod api;
pub mod build;
pub mod error;
mod memory;
pub mod names;
pub mod observe;
mod parameters;
pub mod prices;
mod provider;

pub use api::{Belonging, Ec2Api, GroupCall, ParameterCall, Secrecy, SeenGroup};
pub use provider::Ec2Provider;

#[cfg(test)]
mod tests;
