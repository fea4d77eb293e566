//! What runs in a cluster: the contract of an engine, and the engines.

mod belts;
mod contract;
pub mod dask;

pub use belts::Belts;
pub use contract::{Endpoint, Engine, EngineError, EngineErrorKind, Launch, Ranking, StatusQuestion};
