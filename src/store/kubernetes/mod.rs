//! Records in the Kubernetes API: what is wanted is a custom resource, how far that is its status.
//!
//! ```text
//! ComputeCluster ─ ObjectReader ─► record        spec: what is wanted; status.ledger: notes, progress
//! record ─ Notes ─► status.ledger                guarded by the object's version: a deposed writer fails
//! ```

mod events;
mod notes;
mod object;
mod secrets;
mod slot;
mod store;
mod words;

pub use object::{ObjectReader, Read, Refusal, cluster_uid, moment_text, note_client};
pub use slot::belonging;
pub use store::{KubernetesStore, resource};
pub use words::{words, words_of_watch};
