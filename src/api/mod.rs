//! The controller over HTTP: one request is one question to the fleet, on a Unix socket of the
//! person who runs it. JSON in camel case; streams are one JSON object per line.

mod client;
mod connection;
mod error;
mod lines;
pub mod process;
mod routes;
mod types;
mod watch;

pub use client::ApiClient;
pub use error::{ApiError, ErrorCode};
pub use types::{ControllerStatus, CreateMessage, Hello, PROTOCOL, WatchMessage};
