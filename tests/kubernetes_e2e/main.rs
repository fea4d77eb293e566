//! Clusters on Kubernetes, end to end: the real program, a real API server and kubelet, real Dask in real pods.
//!
//! `CREWCALL_TEST_KUBECONFIG` names a cluster that may be used for tests; `CREWCALL_TEST_IMAGE` an image with
//! Dask and `CREWCALL_TEST_PYTHON` a Python with the same Dask, which reaches the pods. Every test has a
//! namespace of its own, and ends with nothing left in it.
#![cfg(feature = "kubernetes")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod faulty;
#[path = "../local_e2e/harness.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod harness;
mod world;

mod computing;
#[cfg(feature = "failpoints")]
mod failpoints;
mod faults;
mod refusals;
mod surprises;
mod ways;
