//! The controller as a process of this machine: where its files are, who it is, how it is reached.

mod locations;
mod log;
mod machine;
mod runtime;
mod socket;

pub use locations::{LocationError, Locations};
pub use log::{LOG_LIMIT, last_lines, open_log};
pub use machine::{ProcessIdentity, boot_id, existing_machine_id, machine_id};
pub use socket::{BoundSocket, bind};
