//! The operator on a real API server and kubelet: clusters as custom resources, with real Dask in real pods.
//!
//! `CREWCALL_TEST_KUBECONFIG` names a cluster that may be used for tests and whose pods this machine reaches;
//! `CREWCALL_TEST_IMAGE` an image with Dask and `CREWCALL_TEST_PYTHON` a Python with the same Dask. The operators are
//! processes of this machine. Every test has a namespace of its own, and ends with nothing left in it.
#![cfg(feature = "kubernetes")]
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "../shared/kubectl.rs"]
mod kubectl;

mod context;
mod edits;
mod faults;
#[path = "../kubernetes_e2e/faulty.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod faulty;
mod leading;
mod life;
mod scaling;
mod stage;
