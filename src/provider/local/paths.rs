//! Where everything of the local provider lies. Pure.

use std::path::{Path, PathBuf};

use crate::{
    model::{ClusterUid, NodeName, hexadecimal},
    provider::Directories,
    spec::ClusterName,
};

/// Most bytes of a socket's path, its closing zero not counted (`sun_path` of `struct sockaddr_un`).
pub const LONGEST_SOCKET_PATH: usize = 107;

hexadecimal!(
    /// A host: 32 lowercase hexadecimal digits, random.
    HostId, u128, 32, "host id"
);

impl HostId {
    fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

/// The files of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPaths {
    /// Everything below.
    pub directory: PathBuf,
    /// Held for the host's life.
    pub lock: PathBuf,
    /// Who the host is.
    pub record: PathBuf,
    /// What the host and its fork server have to say.
    pub log: PathBuf,
}

/// The directory of all hosts.
pub fn hosts_directory(state: &Path) -> PathBuf {
    state.join("hosts")
}

/// The files of one host.
pub fn host(state: &Path, id: &HostId) -> HostPaths {
    let directory = hosts_directory(state).join(id.as_str());
    HostPaths {
        lock: directory.join("lock"),
        record: directory.join("host.json"),
        log: directory.join("host.log"),
        directory,
    }
}

/// Held by the one host that a cluster may have.
pub fn claim(state: &Path, cluster: &ClusterUid) -> PathBuf {
    hosts_directory(state).join(format!("{cluster}.claim"))
}

/// Where a host listens.
pub fn socket(runtime: &Path, id: &HostId) -> PathBuf {
    runtime.join(format!("h-{}.sock", id.short()))
}

/// The directory of the logs of a cluster's nodes.
pub fn logs(state: &Path, cluster: &ClusterName) -> PathBuf {
    state.join("clusters").join(cluster.as_str()).join("logs")
}

/// A node's log.
pub fn node_log(logs: &Path, node: &NodeName) -> PathBuf {
    logs.join(format!("{node}.log"))
}

/// The older part of a node's log.
pub fn rotated_log(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// Where a cluster's workers may spill, under the caller's directory for such things.
pub fn scratch(temporary: &Path, unix_uid: u32, cluster: &ClusterUid) -> PathBuf {
    temporary.join(format!("crewcall-{unix_uid}-{cluster}"))
}

/// Environments that were built from packages.
pub fn environments(directories: &Directories) -> PathBuf {
    directories.cache.join("environments")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_id_cannot_lead_out_of_its_directory() {
        assert!("../../etc/passwd".parse::<HostId>().is_err());
        assert!(HostId::from_random(7).to_string().parse::<HostId>().is_ok());
    }

    #[test]
    fn a_log_is_named_after_its_node() {
        let name = "demo".parse().unwrap();
        let log = node_log(&logs(Path::new("/s"), &name), &NodeName::new("demo-workers-0-0"));
        assert_eq!(log, Path::new("/s/clusters/demo/logs/demo-workers-0-0.log"));
        assert_eq!(rotated_log(&log), Path::new("/s/clusters/demo/logs/demo-workers-0-0.log.1"));
    }
}
