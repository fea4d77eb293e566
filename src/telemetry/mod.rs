//! What a process says about its own work, for whoever looks into it.
//!
//! People read what `cli` prints; this is for `-v`, and for the log of
//! the controller, whose standard error is its log file.

mod logging;
mod measure;

pub use logging::{Detail, LogFormat, LoggingError, to_stderr, to_stderr_as};
pub use measure::{Measure, Unmeasured};
