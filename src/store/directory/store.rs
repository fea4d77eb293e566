//! The store as others see it: the blocking work moved to threads that may block.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

use super::{files::io_error, folders::Folders};
use crate::{
    model::{ClusterKey, ClusterRecord, Event, MachineId},
    spec::ClusterName,
    store::{SecretName, Store, StoreError, Strangers, Unreadable},
};

/// Clusters in a directory that belongs to one person.
///
/// # Guarantees
/// - Everything but events is durable once a call has returned: files and directories are synced.
/// - Several processes, and several machines whose file system locks across them, may use one
///   directory at once. A change waits at most ten seconds for another.
/// - Records of another machine can be read and not changed: that is [`StoreError::Stale`].
/// - A call whose future is dropped still runs to its end.
///
/// # Caveats
/// - A change that failed with [`StoreError::Io`] may have come through, when only the last sync
///   failed: read the record before trying again.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    folders: Arc<Folders>,
}

impl DirectoryStore {
    /// The store in the directory `state`, as the given machine may change it. Blocks.
    ///
    /// Makes the directory (mode 0700) if need be, and deletes what crashes have left in it.
    ///
    /// # Errors
    /// [`StoreError::Io`], when the directory belongs to another user, when others may write to it,
    /// or when it cannot be used.
    pub fn new(state: PathBuf, machine: MachineId) -> Result<Self, StoreError> {
        let absolute = std::path::absolute(&state).map_err(io_error("find", state))?;
        Ok(Self { folders: Arc::new(Folders::open(&absolute, machine)?) })
    }

    /// Where the nodes of a cluster write their logs; there from its creation to its removal.
    pub fn logs_directory(&self, cluster: &ClusterName) -> PathBuf {
        self.folders.logs(cluster)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folders) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folders = Arc::clone(&self.folders);
        let finished = tokio::task::spawn_blocking(move || work(&folders)).await;
        finished.unwrap_or_else(|error| Err(unfinished(self.folders.root(), &error)))
    }
}

fn unfinished(path: &Path, error: &tokio::task::JoinError) -> StoreError {
    let cause = if error.is_cancelled() {
        "the program is ending".to_owned()
    } else {
        format!("this is a fault of crewcall: {error}")
    };
    StoreError::Io { doing: "finish the work in", path: path.to_owned(), cause }
}

#[async_trait]
impl Store for DirectoryStore {
    async fn list(&self) -> Result<Vec<Result<ClusterRecord, Unreadable>>, StoreError> {
        self.blocking(Folders::list).await
    }

    async fn age(&self) -> Result<Duration, StoreError> {
        self.blocking(Folders::age).await
    }

    async fn strangers(&self, known: &BTreeSet<ClusterName>) -> Result<Strangers, StoreError> {
        let known = known.clone();
        self.blocking(move |folders| folders.strangers(&known)).await
    }

    async fn create(&self, record: &ClusterRecord) -> Result<(), StoreError> {
        let record = record.clone();
        self.blocking(move |folders| folders.create(&record, &[])).await
    }

    async fn create_with_secrets(
        &self,
        record: &ClusterRecord,
        secrets: &[(SecretName, &str)],
    ) -> Result<(), StoreError> {
        let record = record.clone();
        let secrets: Vec<_> = secrets.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        self.blocking(move |folders| folders.create(&record, &secrets)).await
    }

    async fn replace(&self, record: &ClusterRecord) -> Result<(), StoreError> {
        let record = record.clone();
        self.blocking(move |folders| folders.replace(&record)).await
    }

    async fn remove(&self, cluster: &ClusterKey) -> Result<(), StoreError> {
        let cluster = cluster.clone();
        self.blocking(move |folders| folders.remove(&cluster)).await
    }

    async fn append_events(&self, cluster: &ClusterKey, events: &[Event]) -> Result<(), StoreError> {
        let (cluster, events) = (cluster.clone(), events.to_vec());
        self.blocking(move |folders| folders.append_events(&cluster, &events)).await
    }

    async fn events(&self, cluster: &ClusterKey, limit: usize) -> Result<Vec<Event>, StoreError> {
        let cluster = cluster.clone();
        self.blocking(move |folders| folders.events(&cluster, limit)).await
    }

    async fn put_secret(
        &self,
        cluster: &ClusterKey,
        name: SecretName,
        content: &str,
    ) -> Result<(), StoreError> {
        let (cluster, content) = (cluster.clone(), content.to_owned());
        self.blocking(move |folders| folders.put_secret(&cluster, name, &content)).await
    }

    async fn secret(&self, cluster: &ClusterKey, name: SecretName) -> Result<Option<String>, StoreError> {
        let cluster = cluster.clone();
        self.blocking(move |folders| folders.secret(&cluster, name)).await
    }

    fn secret_path(&self, cluster: &ClusterKey, name: SecretName) -> Option<PathBuf> {
        Some(self.folders.secret_path(&cluster.name, name))
    }
}
