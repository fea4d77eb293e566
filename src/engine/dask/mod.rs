//! Dask: how scheduler and workers are started, and how the scheduler is asked.

mod launch;
pub mod python;

pub use launch::{DaskLaunch, DaskRole, SchedulerArguments, WorkerArguments};
