//! Crewcall: compute clusters created, scaled and torn down from one YAML file.

pub mod engine;
pub mod model;
pub mod security;
pub mod spec;
