//! x
pub mod spec;
