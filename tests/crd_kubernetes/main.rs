//! The custom resource on a real API server: `CREWCALL_TEST_KUBECONFIG` names it, `CREWCALL_TEST_KUBECTL` the
//! `kubectl` to use,
//! and `CREWCALL_TEST_HELM` the `helm`.

#![expect(clippy::unwrap_used, reason = "a test ends by them")]

#[path = "../shared/kubectl.rs"]
mod kubectl;

mod chart;
mod corpus;
mod life;
mod stage;
