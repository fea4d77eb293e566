//! Dask: how scheduler and workers are started, and how the scheduler is asked.

mod launch;
pub mod rpc;

pub use launch::{DaskLaunch, DaskRole, SchedulerArguments, WorkerArguments};
