//! How many workers each group should have.
//!
//! [`desired`] says it for any group; for an adaptive one it is what the planner noted last. What it
//! notes comes from one pure rule (`rule::needs`), with growth at once and shrinking only by what
//! has been idle for a while (`adapt`).

mod adapt;
mod demand;
mod desired;
mod idle;
mod load;
mod reason;
mod rule;
#[cfg(test)]
mod rule_tests;

pub use desired::desired;
pub(super) use load::bounds;
pub(super) use rule::unsatisfiable;
