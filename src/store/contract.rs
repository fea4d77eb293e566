//! What every store must be able to do.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use async_trait::async_trait;

use crate::{
    model::{ClusterKey, ClusterRecord, Event},
    spec::ClusterName,
};

/// Where wanted state and intents last.
///
/// # Guarantees asked of an implementation
/// - A write that returned is durable; one that did not is either whole or not there at all.
/// - A record that cannot be read is reported and never overwritten.
#[async_trait]
pub trait Store: Send + Sync {
    /// All records, and those that cannot be read.
    async fn list(&self) -> Result<Vec<Result<ClusterRecord, Unreadable>>, StoreError>;

    /// How long the store has been there. What is older may have its record elsewhere.
    async fn age(&self) -> Result<Duration, StoreError>;

    /// What is there beside `known` names. Records of those names are not read: whoever has them in memory
    /// knows what they say.
    async fn strangers(&self, known: &BTreeSet<ClusterName>) -> Result<Strangers, StoreError>;

    /// The record of a cluster as it is stored now; `None` when there is none, or none that can be used.
    async fn read(&self, cluster: &ClusterKey) -> Result<Option<ClusterRecord>, StoreError> {
        let records = self.list().await?;
        Ok(records.into_iter().filter_map(Result::ok).find(|record| record.key() == *cluster))
    }

    /// Adds a record, unless one of its name is there.
    async fn create(&self, record: &ClusterRecord) -> Result<(), StoreError>;

    /// The same, with secrets beside it from the beginning.
    async fn create_with_secrets(
        &self,
        record: &ClusterRecord,
        secrets: &[(SecretName, &str)],
    ) -> Result<(), StoreError> {
        self.create(record).await?;
        if let Err(error) = self.put_secrets(&record.key(), secrets).await {
            self.remove(&record.key()).await?;
            return Err(error);
        }
        Ok(())
    }

    /// Replaces the record of the same uid whose revision is one less.
    async fn replace(&self, record: &ClusterRecord) -> Result<(), StoreError>;

    /// Removes a record and all that was stored beside it. Nothing to remove is a success.
    async fn remove(&self, cluster: &ClusterKey) -> Result<(), StoreError>;

    /// Adds events to a cluster's history.
    async fn append_events(&self, cluster: &ClusterKey, events: &[Event]) -> Result<(), StoreError>;

    /// The newest events, oldest first, at most `limit`.
    async fn events(&self, cluster: &ClusterKey, limit: usize) -> Result<Vec<Event>, StoreError>;

    /// Keeps a secret beside the record, readable by its owner only.
    async fn put_secret(
        &self,
        cluster: &ClusterKey,
        name: SecretName,
        content: &str,
    ) -> Result<(), StoreError>;

    /// Keeps secrets beside the record, in this order; a failure may leave the first of them.
    async fn put_secrets(
        &self,
        cluster: &ClusterKey,
        secrets: &[(SecretName, &str)],
    ) -> Result<(), StoreError> {
        for (name, content) in secrets {
            self.put_secret(cluster, *name, content).await?;
        }
        Ok(())
    }

    /// A secret kept beside the record.
    async fn secret(&self, cluster: &ClusterKey, name: SecretName) -> Result<Option<String>, StoreError>;

    /// Where a secret is to be found by a process of the same person, where that is possible.
    fn secret_path(&self, cluster: &ClusterKey, name: SecretName) -> Option<PathBuf>;
}

/// Secrets of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretName {
    /// The authority's certificate.
    AuthorityCertificate,
    /// The authority's key.
    AuthorityKey,
    /// The clients' certificate.
    ClientCertificate,
    /// The clients' key.
    ClientKey,
    /// The scheduler's certificate.
    SchedulerCertificate,
    /// The scheduler's key.
    SchedulerKey,
    /// The workers' certificate.
    WorkerCertificate,
    /// The workers' key.
    WorkerKey,
    /// The controller's certificate.
    ControllerCertificate,
    /// The controller's key.
    ControllerKey,
}

impl SecretName {
    /// Each of them.
    pub const ALL: [Self; 10] = [
        Self::AuthorityCertificate,
        Self::AuthorityKey,
        Self::ClientCertificate,
        Self::ClientKey,
        Self::SchedulerCertificate,
        Self::SchedulerKey,
        Self::WorkerCertificate,
        Self::WorkerKey,
        Self::ControllerCertificate,
        Self::ControllerKey,
    ];
}

/// What a store has beside the names that were known.
#[derive(Debug)]
pub struct Strangers {
    /// The records of other names, and those of them that cannot be read.
    pub found: Vec<Result<ClusterRecord, Unreadable>>,
    /// The known names of which nothing is there any more.
    pub gone: BTreeSet<ClusterName>,
}

/// A record that is there and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record of cluster {name} at {} cannot be used: {problem}", path.display())]
pub struct Unreadable {
    /// The cluster's name, from the record's place.
    pub name: String,
    /// Where the record is.
    pub path: PathBuf,
    /// Why it cannot be used.
    pub problem: String,
    /// The next step.
    pub hint: String,
}

/// A store that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A record of that name is there.
    #[error("a cluster named {0} exists already")]
    Exists(ClusterName),
    /// Somebody else has written the record.
    #[error("the record of cluster {name} is not the one that was read: {found}")]
    Stale {
        /// Which.
        name: ClusterName,
        /// What is there instead.
        found: String,
    },
    /// A record is there and cannot be used.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The medium failed.
    #[error("cannot {doing} {}: {cause}", path.display())]
    Io {
        /// What was tried: `write`, `read`, …
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the operating system said.
        cause: String,
    },
    /// The server that holds the records failed, or refused.
    #[error("cannot {doing} {object}: {cause}")]
    Server {
        /// What was tried: `write`, `read`, …
        doing: &'static str,
        /// What it was done to: a kind, its namespace and name.
        object: String,
        /// What the server, or the way to it, said.
        cause: String,
    },
}
