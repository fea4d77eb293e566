//! Crewcall.
pub mod api;
pub mod cli;
pub mod controller;
pub mod engine;
pub mod environment;
pub mod model;
pub mod plan;
pub mod provider;
pub mod security;
pub mod spec;
pub mod store;
pub mod telemetry;
