//! The custom resource by which Kubernetes holds documents: made from the document's own types.
//!
//! ```text
//! types ─ json_schema ─ structural (the API server's form of a schema) + rules (CEL) ─┐
//! ClusterStatus ───────────────────────────── structural ─────────────────────────────┴─► definition
//! ```
//!
//! The API server checks what its schemas and CEL can say. What only the parser can check is found by whoever
//! reads the object back, with [`document_of`].

mod definition;
mod machines;
mod object;
mod rules;
mod status;
mod structural;

pub use definition::{custom_resource_definition, manifest};
pub use object::document_of;
pub use status::{ClusterStatus, GroupStatus, MAX_LEDGER, StatusCondition, TruthStatus, WorkersStatus};
