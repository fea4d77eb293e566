//! What Crewcall knows: identifiers, nodes, and what an engine says about itself.

mod engine_status;
mod ids;

pub use engine_status::{Demand, Departure, EngineStatus, WorkerState, WorkerStatus};
pub use ids::{ClusterUid, IdError, NodeName};
