//! What a host has written down of itself.

use std::{collections::BTreeSet, fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    os::{self, ProcessId},
    paths::{HostId, HostPaths},
};
use crate::model::{BootId, ClusterKey, MachineId};

/// A host's `host.json`. Believed only while the host's lock is held.
///
/// Unknown fields are ignored: a controller must be able to end hosts of a later release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostRecord {
    /// The newest protocol that the host speaks.
    pub protocol: u32,
    /// Which host.
    pub id: HostId,
    /// Its process.
    pub process: ProcessId,
    /// The boot in which that process has its number.
    pub boot: BootId,
    /// The machine that it runs on.
    pub machine: MachineId,
    /// Where it listens.
    pub socket: PathBuf,
    /// What its nodes run with.
    pub interpreter: PathBuf,
    /// Fingerprint of what its fork server was started with, beside the interpreter.
    pub start_environment: String,
    /// The cluster that it is for; `None`: a spare.
    pub claimed_by: Option<ClusterKey>,
    /// Where that cluster's nodes may spill.
    #[serde(default)]
    pub scratch: BTreeSet<PathBuf>,
}

impl HostRecord {
    /// Reads it; `None` when there is none (yet).
    pub fn read(paths: &HostPaths) -> io::Result<Option<Self>> {
        match fs::read(&paths.record) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it; on return it is on the disk.
    pub fn write(&self, paths: &HostPaths) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        os::write_durably(&paths.record, &bytes)
    }
}
