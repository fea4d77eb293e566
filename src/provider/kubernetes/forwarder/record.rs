//! What a forwarder has written down of itself.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{files::Files, ports::Ports, request::ForwardRequest, status::ForwarderStatus};
use crate::{
    model::{BootId, MachineId},
    provider::os::{self, ProcessId},
};

/// The version of what controller and forwarder have in common: this record, the status file, and that SIGTERM ends
/// it. A controller keeps a forwarder of any version from [`OLDEST_PROTOCOL`] on, later ones included.
pub const PROTOCOL: u32 = 1;

/// The oldest forwarder that is left to run.
pub const OLDEST_PROTOCOL: u32 = 1;

/// A forwarder's `record.json`. Believed to be of a living one only while the forwarder's lock is held.
///
/// Unknown fields are ignored: a controller must be able to end forwarders of a later release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwarderRecord {
    /// The version of this record and of how the forwarder behaves.
    pub protocol: u32,
    /// The release that it is of.
    pub version: String,
    /// Its process.
    pub process: ProcessId,
    /// The boot in which that process has its number.
    pub boot: BootId,
    /// The machine that it runs on.
    pub machine: MachineId,
    /// Where it listens, on 127.0.0.1.
    pub ports: Ports,
    /// What it is for.
    pub request: ForwardRequest,
}

impl ForwarderRecord {
    /// Reads it; `None` when there is none (yet).
    pub fn read(files: &Files) -> io::Result<Option<Self>> {
        read_json(&files.record)
    }

    /// Writes it; on return it is on the disk.
    pub fn write(&self, files: &Files) -> io::Result<()> {
        os::write_durably(&files.record, &serde_json::to_vec_pretty(self).map_err(io::Error::other)?)
    }
}

impl ForwarderStatus {
    /// Reads it; `None` when there is none (yet).
    pub(super) fn read(files: &Files) -> io::Result<Option<Self>> {
        read_json(&files.status)
    }

    /// Writes it.
    pub(super) fn write(&self, files: &Files) -> io::Result<()> {
        os::write_durably(&files.status, &serde_json::to_vec_pretty(self).map_err(io::Error::other)?)
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
