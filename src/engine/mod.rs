//! What runs in a cluster: the contract of an engine, and the engines.

mod contract;
pub mod dask;

pub use contract::{Endpoint, Engine, EngineError, EngineErrorKind, Launch, Ranking, StatusQuestion};
