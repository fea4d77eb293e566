//! The controller as a process of this machine: where its files are, who it is, how it is reached.

mod identity;
mod locations;
mod log;
mod runtime;
mod socket;

pub use identity::ProcessIdentity;
pub use locations::{LocationError, Locations};
pub use log::{LOG_LIMIT, last_lines, open_log};
pub use socket::{BoundSocket, bind};
