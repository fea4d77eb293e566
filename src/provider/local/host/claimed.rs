//! A host's cluster: its claim, its directories, and what the fork server is told of its nodes.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    super::{
        os,
        paths::{self, HostPaths},
        record::HostRecord,
        variables,
    },
    node::Admission,
    protocol::{Claim, HostFailure, NodeLaunch},
};
use crate::{
    model::{ClusterUid, NodeName, Origin, Role},
    provider::ErrorKind,
};

/// The Dask setting below which Dask spills.
const TEMPORARY_DIRECTORY: &str = "temporary-directory";

/// The cluster of a host.
pub struct Claimed {
    claim: Claim,
    state: PathBuf,
    lock_path: PathBuf,
    /// Held for life: no other host can have the cluster.
    _lock: File,
}

impl Claimed {
    /// Makes the cluster this host's. Durable on return.
    pub fn new(
        claim: Claim,
        state: PathBuf,
        record: &mut HostRecord,
        host: &HostPaths,
    ) -> Result<Self, HostFailure> {
        let lock_path = paths::claim(&state, &claim.cluster.uid);
        let lock = os::try_lock(&lock_path)
            .map_err(|error| failure("lock", &lock_path, &error))?
            .ok_or_else(|| {
                let message = format!("cluster {} has a host already", claim.cluster.name);
                HostFailure::new(ErrorKind::Conflict, message)
            })?;
        os::private_directory(&claim.logs).map_err(|error| failure("make", &claim.logs, &error))?;
        let claimed = HostRecord { claimed_by: Some(claim.cluster.clone()), ..record.clone() };
        claimed.write(host).map_err(|error| failure("write", &host.record, &error))?;
        *record = claimed;
        Ok(Self { claim, state, lock_path, _lock: lock })
    }

    /// What it is.
    pub fn uid(&self) -> &ClusterUid {
        &self.claim.cluster.uid
    }

    /// What the fork server is to be told of a node, whose nanny listens at `nanny`; makes the node's
    /// directory.
    pub fn admission(
        &self,
        launch: NodeLaunch,
        nanny: Option<&str>,
        origin: Origin,
        record: &mut HostRecord,
        host: &HostPaths,
    ) -> Result<Admission, HostFailure> {
        let (claim, name) = (&self.claim, launch.id.name());
        let environment = variables::node_environment(
            &claim.environment,
            &launch.environment,
            &launch.secret_environment,
            &variables::marks(&record.id, &self.state.to_string_lossy()),
            &claim.cluster.uid,
        )
        .map_err(|missing| HostFailure::new(ErrorKind::Invalid, missing.to_string()))?;
        let (mut arguments, mut config) = (launch.arguments.clone(), launch.config.clone());
        let scratch = self.scratch(&name, config.get(TEMPORARY_DIRECTORY), record, host)?;
        config.insert(TEMPORARY_DIRECTORY.to_owned(), json!(scratch));
        let role = match launch.id.role() {
            Role::Scheduler => "scheduler",
            Role::Worker => {
                arguments.insert("local_directory".to_owned(), json!(scratch));
                arguments.insert("nanny".to_owned(), json!(nanny));
                "worker"
            }
        };
        let command = json!({
            "command": "launch",
            "node": name,
            "role": role,
            "directory": claim.working_directory,
            "environment": environment,
            "import_path": claim.import_path,
            "umask": claim.umask,
            "log": self.log(&name),
            "tls": launch.tls,
            "config": config,
            "arguments": arguments,
        });
        let mut command = command.to_string().into_bytes();
        command.push(b'\n');
        Ok(Admission { launch, origin, command })
    }

    /// Makes the directory in which a node may spill, where its configuration or else the caller wants
    /// such things.
    fn scratch(
        &self,
        node: &NodeName,
        wanted: Option<&Value>,
        record: &mut HostRecord,
        host: &HostPaths,
    ) -> Result<PathBuf, HostFailure> {
        let temporary = match wanted.and_then(Value::as_str) {
            Some(text) => self.claim.working_directory.join(text),
            None => self.claim.temporary.clone(),
        };
        let unix_uid = rustix::process::geteuid().as_raw();
        let root = paths::scratch(&temporary, unix_uid, &self.claim.cluster.uid);
        if !record.scratch.contains(&root) {
            // Noted before it is made, so that it is removed whatever happens.
            let mut noted = record.clone();
            noted.scratch.insert(root.clone());
            noted.write(host).map_err(|error| failure("write", &host.record, &error))?;
            *record = noted;
        }
        os::private_directory(&root).map_err(|error| failure("make", &root, &error))?;
        // In a directory for everybody, somebody else may have been there first.
        os::check_private(&root).map_err(|error| failure("use", &root, &error))?;
        let scratch = root.join(node.as_str());
        os::private_directory(&scratch).map_err(|error| failure("make", &scratch, &error))?;
        Ok(scratch)
    }

    /// A node's log.
    pub fn log(&self, node: &NodeName) -> PathBuf {
        paths::node_log(&self.claim.logs, node)
    }

    /// Removes what the cluster has but its logs, and lets go of it.
    pub fn release(self, record: &HostRecord) -> io::Result<()> {
        for scratch in &record.scratch {
            if let Err(error) = os::remove_all(scratch) {
                tracing::warn!(%error, scratch = %scratch.display(), "cannot remove what nodes spilled");
            }
        }
        // While the lock is held, so that nobody can hold a lock on a removed file.
        os::remove_all(&self.lock_path)
    }
}

fn failure(doing: &str, path: &Path, error: &io::Error) -> HostFailure {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Capacity,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Invalid,
        _ => ErrorKind::Transient,
    };
    HostFailure::new(kind, format!("cannot {doing} {}: {error}", path.display()))
}
