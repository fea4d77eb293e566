//! Dask: how scheduler and workers are started, and how the scheduler is asked.

mod engine;
mod launch;
pub mod python;
pub mod rpc;
mod tls;

pub use engine::DaskEngine;
pub use launch::{DaskLaunch, DaskRole, Nanny, SchedulerArguments, WorkerArguments};
