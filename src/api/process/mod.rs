//! The controller as a process: how it serves, ends and is replaced; how its clients find it.

mod activity;
mod announcement;
mod error;
mod find;
mod launch;
mod listen;
mod providers;
mod run;
mod serve;
mod version;

pub use error::{ConnectError, ControllerError};
pub use launch::Launcher;
pub use run::{ControllerArguments, run_controller};

pub(super) use activity::Activity;
pub(super) use find::stop;
pub use find::{connect, connect_or_start};
use run::ControllerOptions;
