//! Which host a cluster has, and the connection to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::Signal;
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::Instant,
};

use super::{
    client::{CallError, HostClient},
    os,
    paths::{self, HostId, HostPaths},
    record::HostRecord,
    spares::SpareKey,
};
use crate::{
    model::{BootId, ClusterKey, ClusterUid, MachineId},
    provider::{ErrorKind, ProviderError},
};

/// How long a host whose socket is gone may take to listen anew.
const LISTEN_ANEW: Duration = Duration::from_secs(5);

/// What is known of every cluster that was asked about.
#[derive(Default)]
pub struct Clusters {
    entries: Mutex<BTreeMap<ClusterUid, Arc<Cluster>>>,
}

/// One cluster.
pub struct Cluster {
    /// The connection to its host; `None`: not connected, or no host.
    client: AsyncMutex<Option<HostClient>>,
    changes: watch::Sender<u64>,
    /// What its spare had to have.
    key: Mutex<Option<SpareKey>>,
}

impl Clusters {
    /// The entry of a cluster.
    pub fn entry(&self, uid: &ClusterUid) -> Arc<Cluster> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Cluster {
                client: AsyncMutex::new(None),
                changes: watch::Sender::new(0),
                key: Mutex::new(None),
            })
        };
        Arc::clone(entries.entry(uid.clone()).or_insert_with(new))
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, uid: &ClusterUid) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// What spares are needed for.
    pub fn keys(&self) -> BTreeSet<SpareKey> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.values().filter_map(|cluster| cluster.key()).collect()
    }
}

impl Cluster {
    /// Connects the cluster to the host that it now has.
    pub async fn connected(&self, client: HostClient, key: SpareKey) {
        self.set_key(key);
        self.follow(&client);
        *self.client.lock().await = Some(client);
    }

    /// The connection to the cluster's host, found again if there was none; `None`: it has no host.
    pub async fn host(
        &self,
        finder: &Finder<'_>,
        cluster: &ClusterKey,
    ) -> Result<Option<HostClient>, ProviderError> {
        let mut connection = self.client.lock().await;
        if let Some(client) = connection.as_ref().filter(|client| !client.is_closed()) {
            return Ok(Some(client.clone()));
        }
        *connection = None;
        let Some((client, key)) = finder.connect(cluster).await? else { return Ok(None) };
        self.set_key(key);
        self.follow(&client);
        *connection = Some(client.clone());
        Ok(Some(client))
    }

    /// Yields with every hint, and when the connection is lost.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn key(&self) -> Option<SpareKey> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_key(&self, key: SpareKey) {
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    fn follow(&self, client: &HostClient) {
        let (changes, mut from) = (self.changes.clone(), client.changes());
        tokio::spawn(async move {
            loop {
                let open = from.changed().await.is_ok();
                changes.send_modify(|count| *count += 1);
                if !open {
                    return;
                }
            }
        });
    }
}

/// Finds hosts by what they have written down.
pub struct Finder<'a> {
    /// The directory of durable state.
    pub state: &'a Path,
    /// This machine.
    pub machine: &'a MachineId,
    /// This boot of it.
    pub boot: &'a BootId,
}

/// A host's directory.
pub struct FoundHost {
    /// Its files.
    pub paths: HostPaths,
    /// What it has written; `None`: nothing yet, or nothing that can be read.
    pub record: Option<HostRecord>,
    /// Whether the host lives.
    pub alive: bool,
}

impl Finder<'_> {
    /// All hosts of this machine, dead and alive.
    pub fn hosts(&self) -> Result<Vec<FoundHost>, ProviderError> {
        let directory = paths::hosts_directory(self.state);
        let failed = |error: &io::Error| cannot_read(&directory, error);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| failed(&error))?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<HostId>().ok()) else { continue };
            let paths = paths::host(self.state, &id);
            // The lock first: a host that ends between the two is then seen as gone with its record.
            let alive = os::is_locked(&paths.lock).map_err(|error| cannot_read(&paths.lock, &error))?;
            let record = match HostRecord::read(&paths) {
                Ok(record) => record,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(cannot_read(&paths.record, &error));
                }
                Err(error) => {
                    tracing::warn!(%error, path = %paths.record.display(), "cannot use a host's record");
                    None
                }
            };
            if record.as_ref().is_none_or(|record| record.machine == *self.machine) {
                found.push(FoundHost { paths, record, alive });
            }
        }
        Ok(found)
    }

    /// The host of a cluster, if one lives.
    pub fn host_of(&self, cluster: &ClusterUid) -> Result<Option<(HostPaths, HostRecord)>, ProviderError> {
        Ok(self.hosts()?.into_iter().find_map(|host| {
            let record = host.record.filter(|_| host.alive)?;
            let owner = record.claimed_by.as_ref()?;
            (owner.uid == *cluster).then_some((host.paths, record))
        }))
    }

    async fn connect(&self, cluster: &ClusterKey) -> Result<Option<(HostClient, SpareKey)>, ProviderError> {
        let deadline = Instant::now() + LISTEN_ANEW;
        let mut asked = false;
        loop {
            let Some((_, record)) = self.host_of(&cluster.uid)? else { return Ok(None) };
            let lost = match HostClient::connect(&record.socket).await {
                Ok((client, _)) => {
                    let key = SpareKey {
                        interpreter: record.interpreter,
                        start_environment: record.start_environment,
                    };
                    return Ok(Some((client, key)));
                }
                Err(error @ CallError::Lost { .. }) => error,
                Err(error) => return Err(error.into()),
            };
            if Instant::now() >= deadline {
                return Err(lost.into());
            }
            // Somebody has cleaned the runtime directory.
            if !asked && record.boot == *self.boot && !record.socket.exists() {
                asked = record.process.signal(Signal::HUP).unwrap_or(false);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn cannot_read(path: &Path, error: &io::Error) -> ProviderError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Invalid,
        _ => ErrorKind::Transient,
    };
    ProviderError::new(kind, format!("cannot read {}: {error}", path.display()))
}
