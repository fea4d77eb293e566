//! Local clusters, end to end: the real program, real processes, real Dask.
//!
//! Every test has directories of its own, and ends with nothing left: no process, no socket, no
//! record, no scratch. `CREWCALL_TEST_PYTHON` names a Python with Dask, `bokeh` and `NumPy`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are tests")]

mod harness;

mod clients;
mod computing;
mod context;
mod crashes;
mod crowd;
mod disk;
mod editing;
#[cfg(feature = "failpoints")]
mod failpoints;
mod packages;
mod permissions;
mod reading;
mod refusals;
mod scaling;
mod security;
mod stopping;
mod stubborn;
mod versions;
