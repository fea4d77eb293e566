//! The controller within Kubernetes: clusters are custom resources, and the API server is the store.
//!
//! ```text
//! watch of ComputeClusters ─► Clusters ─► one Tended each: cell, Reconciler, what is shown in the status
//!        ▲                                                      │
//!        └── led by whoever holds the Lease                     └── store::kubernetes, provider::kubernetes
//! ```
//!
//! The loop is the same as on a person's machine; only who says what is wanted, and where it lasts, differs.

mod balancer;
mod clusters;
mod error;
mod following;
mod health;
mod lease;
mod metrics;
mod options;
mod run;
mod serve;
mod shown;
mod status;
mod tended;

pub use error::OperatorError;
pub use options::OperatorArguments;
pub use run::run_operator;
