//! What the provider knows of each cluster while it looks after it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{client::KubernetesClient, watch::ClusterWatch};
use crate::model::{ClusterKey, ClusterUid, NodeName};

/// Objects that a cluster has once, beside its anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Service,
    NetworkPolicy,
    ClientsPolicy,
    SchedulerTls,
    WorkerTls,
}

/// One cluster.
pub struct ClusterEntry {
    key: ClusterKey,
    /// Rises with whatever may be news.
    changed: watch::Sender<u64>,
    watching: Mutex<Option<(u64, Arc<ClusterWatch>)>>,
    /// Parts that are known to be there, below the anchor of that uid.
    made: Mutex<(String, BTreeSet<Part>)>,
    /// Nodes whose logs are being fetched.
    keeping: Mutex<BTreeSet<NodeName>>,
}

impl ClusterEntry {
    fn new(key: ClusterKey) -> Self {
        Self {
            key,
            changed: watch::Sender::new(0),
            watching: Mutex::default(),
            made: Mutex::default(),
            keeping: Mutex::default(),
        }
    }

    /// The watch, begun if there is none for this client.
    pub fn watch(&self, client: &KubernetesClient, number: u64) -> Arc<ClusterWatch> {
        let mut watching = lock(&self.watching);
        match &*watching {
            Some((known, watch)) if *known == number => watch.clone(),
            _ => {
                let watch = ClusterWatch::start(client.clone(), self.key.clone(), self.changed.clone());
                let watch = Arc::new(watch);
                *watching = Some((number, watch.clone()));
                watch
            }
        }
    }

    /// Yields when something may be new.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether a part is known to be there.
    pub fn has(&self, anchor: &str, part: Part) -> bool {
        let made = lock(&self.made);
        made.0 == anchor && made.1.contains(&part)
    }

    /// Takes note that a part is there.
    pub fn note(&self, anchor: &str, part: Part) {
        let mut made = lock(&self.made);
        if made.0 != anchor {
            *made = (anchor.to_owned(), BTreeSet::new());
        }
        made.1.insert(part);
    }

    /// The right to fetch a node's log, which one has at a time.
    pub fn keep(&self, node: &NodeName) -> bool {
        lock(&self.keeping).insert(node.clone())
    }

    /// Gives that back.
    pub fn kept(&self, node: &NodeName) {
        lock(&self.keeping).remove(node);
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }
}

/// All clusters of a provider.
#[derive(Default)]
pub struct Clusters(Mutex<BTreeMap<ClusterUid, Arc<ClusterEntry>>>);

impl Clusters {
    /// That of a cluster.
    pub fn entry(&self, key: &ClusterKey) -> Arc<ClusterEntry> {
        let mut all = lock(&self.0);
        all.entry(key.uid.clone()).or_insert_with(|| Arc::new(ClusterEntry::new(key.clone()))).clone()
    }

    /// Ends the watches of a cluster that is gone.
    pub fn forget(&self, uid: &ClusterUid) {
        lock(&self.0).remove(uid);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
