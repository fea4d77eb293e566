//! Certificates: one authority per cluster, one leaf per role.

mod identity;

pub use identity::Identity;
