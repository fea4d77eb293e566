//! The controller over HTTP: one request is one question to the fleet, on a Unix socket of the
//! person who runs it. JSON in camel case; streams are one JSON object per line. [`Clusters`] is what can be asked
//! of it, and of an operator in the same words.

mod client;
mod clusters;
mod connection;
mod error;
#[cfg(feature = "kubernetes")]
mod gateway;
mod lines;
pub mod process;
#[cfg(feature = "kubernetes")]
mod resources;
mod routes;
mod types;
mod watch;

pub use client::ApiClient;
pub use clusters::{Answering, Clusters};
pub use error::{ApiError, ErrorCode};
#[cfg(feature = "kubernetes")]
pub use gateway::{GatewayError, serve_gateway};
#[cfg(feature = "kubernetes")]
pub use resources::Resources;
pub use types::{ControllerStatus, CreateMessage, Hello, PROTOCOL, WatchMessage};
