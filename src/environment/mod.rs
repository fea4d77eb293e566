//! Which software runs, and whether it is the same on both ends.

mod compare;
pub mod image;

pub use compare::{Difference, compare};
