//! This machine: a host process per cluster, its nodes forked from a warm Python.

mod build;
mod client;
mod clusters;
mod environment;
mod fingerprint;
pub mod host;
mod interpreter;
mod leftovers;
mod logs;
mod observe;
mod packages;
mod paths;
mod provider;
mod record;
mod scripts;
mod spares;
mod variables;

pub use super::os::close_inherited;
pub use interpreter::{find_interpreter, probe_versions};
pub use provider::LocalProvider;

pub use super::{boot_id, machine_id};

use super::os;
