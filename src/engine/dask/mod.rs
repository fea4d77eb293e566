//! Dask: how scheduler and workers are started, and how the scheduler is asked.

mod command;
mod engine;
mod launch;
pub mod python;
pub mod rpc;
mod tls;

pub use command::{DaskCommand, Surface, TlsPaths, Transport, command, configuration};
pub use engine::DaskEngine;
pub use launch::{DaskLaunch, DaskRole, Nanny, SchedulerArguments, WorkerArguments};
