//! The host: one small process per cluster, parent of its scheduler and workers.
//!
//! It outlives the controller, and nothing that it started outlives it. Everything about it happens on
//! its main thread: the kernel ends the children of a process when the *thread* that adopted them ends.

mod claimed;
mod connections;
mod ending;
mod fork_server;
mod fork_servers;
mod memory;
mod nannies;
mod node;
mod node_logs;
pub mod protocol;
mod restarts;
mod run;
mod service;
mod startup;
mod state;
mod wishes;

pub use run::{HostArguments, HostError, run_host};
