//! Where everything of a forwarder lies. Pure.

use std::path::{Path, PathBuf};

use crate::model::ClusterUid;

/// The files of one forwarder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Everything below.
    pub directory: PathBuf,
    /// Held for the forwarder's life: there is one for a cluster.
    pub lock: PathBuf,
    /// Who the forwarder is, and its ports.
    pub record: PathBuf,
    /// What it has to say to the controller.
    pub status: PathBuf,
    /// What it has to say to people.
    pub log: PathBuf,
}

/// The directory of all forwarders.
pub fn forwarders_directory(state: &Path) -> PathBuf {
    state.join("forwarders")
}

/// The files of a cluster's forwarder.
pub fn of_cluster(state: &Path, cluster: &ClusterUid) -> Files {
    let directory = forwarders_directory(state).join(cluster.as_str());
    Files {
        lock: directory.join("lock"),
        record: directory.join("record.json"),
        status: directory.join("status.json"),
        log: directory.join("log"),
        directory,
    }
}
