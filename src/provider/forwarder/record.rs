//! What a forwarder has written down of itself.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{files::Files, ports::Ports, status::ForwarderStatus};
use crate::{
    model::{BootId, ClusterKey, MachineId},
    provider::os::{self, ProcessId},
};

/// The version of what controller and forwarder have in common: this record, the status file, and that SIGTERM ends
/// it. A controller keeps a forwarder of any version from [`OLDEST_PROTOCOL`] on, later ones included.
pub const PROTOCOL: u32 = 1;

/// The oldest forwarder that is left to run.
pub const OLDEST_PROTOCOL: u32 = 1;

/// A forwarder's `record.json`. Believed to be of a living one only while the forwarder's lock is held.
///
/// Unknown fields are ignored, and new ones must have a default: a controller keeps and ends forwarders of later and of
/// earlier releases. What exactly it was told is therefore not in here.
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
    /// The cluster that it is for.
    pub cluster: ClusterKey,
    /// What it goes through: the API server; or, of a machine that is reached without one, where that is.
    pub server: String,
    /// The address of the one scheduler that it leads to; `None`: it follows the cluster from one to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_the_first_release_is_read() {
        let told = serde_json::json!({
            "protocol": 1, "version": "0.1.0", "process": {"pid": 4711, "startTime": 1}, "boot": "b", "machine": "m",
            "ports": {"comm": 20_000, "dashboard": 20_001},
            "cluster": {"uid": "0000000000000007", "name": "demo"},
            "server": "https://192.0.2.1:6443",
        });
        let record: ForwarderRecord = serde_json::from_value(told.clone()).unwrap();
        assert_eq!(record.scheduler, None);
        assert_eq!(serde_json::to_value(&record).unwrap(), told, "and it reads ours");
    }
}
