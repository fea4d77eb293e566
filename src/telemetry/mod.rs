//! What a process says about its own work, for whoever looks into it.
//!
//! People read what `cli` prints; this is for `-v`, and for the log files of controller and host.

mod logging;

pub use logging::{Detail, LoggingError, to_file, to_stderr};
