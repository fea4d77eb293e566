//! What a process says about its own work, for whoever looks into it.
//!
//! People read what `cli` prints; this is for `-v`, and for the log of
//! the controller, whose standard error is its log file.

mod logging;

pub use logging::{Detail, LoggingError, to_stderr};
