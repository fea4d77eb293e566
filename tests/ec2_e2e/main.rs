//! Clusters on EC2, end to end: the real program, the double of EC2 with hosts that boot, real Dask in real containers.
//!
//! `CREWCALL_TEST_EC2` is the double's address, as `tests/ec2/run env` prints it; `CREWCALL_TEST_PYTHON` a Python with
//! the Dask of the double's image. Every test ends with nothing left in the account.
#![cfg(feature = "ec2")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

#[path = "../local_e2e/harness.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod harness;
mod world;

mod computing;
mod dashboard;
mod doctor;
mod fleets;
mod lost_store;
mod refusals;
mod sessions;
mod surprises;
