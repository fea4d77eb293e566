//! What the provider knows of each cluster while it looks after it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::watch, task::JoinHandle};

use super::{
    client::KubernetesClient,
    outside::Outside,
    watch::{ClusterWatch, NamespaceWatch},
};
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
    /// The way to a scheduler that is open to the outside.
    outside: tokio::sync::Mutex<Outside>,
    /// Who listens to the forwarder.
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for ClusterEntry {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.listening).take() {
            task.abort();
        }
    }
}

impl ClusterEntry {
    fn new(key: ClusterKey) -> Self {
        Self {
            key,
            changed: watch::Sender::new(0),
            watching: Mutex::default(),
            made: Mutex::default(),
            keeping: Mutex::default(),
            outside: tokio::sync::Mutex::default(),
            listening: Mutex::default(),
        }
    }

    /// Host and port of the way to a scheduler that is open to the outside, if there is a route from here.
    pub async fn outside(
        &self,
        client: &KubernetesClient,
        service: &str,
        pod: &str,
        node: &str,
    ) -> Option<String> {
        let mut outside = self.outside.lock().await;
        let (known, found) = std::mem::take(&mut *outside).look(client, service, pod, node).await;
        *outside = known;
        found
    }

    /// Has somebody listen, unless somebody does. He tells by the sender that something may be new.
    pub fn listen(&self, begin: impl FnOnce(watch::Sender<u64>) -> JoinHandle<()>) {
        let mut listening = lock(&self.listening);
        if listening.as_ref().is_none_or(JoinHandle::is_finished) {
            *listening = Some(begin(self.changed.clone()));
        }
    }

    /// The watch, begun if there is none for this client.
    fn watch(
        &self,
        client: &KubernetesClient,
        number: u64,
        all: Option<&NamespaceWatch>,
    ) -> Arc<ClusterWatch> {
        let mut watching = lock(&self.watching);
        match &*watching {
            Some((known, watch)) if *known == number => watch.clone(),
            _ => {
                let (key, changed) = (self.key.clone(), self.changed.clone());
                let watch = match all {
                    Some(all) => ClusterWatch::within(all, &key, changed),
                    None => ClusterWatch::start(client.clone(), key, changed),
                };
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
pub struct Clusters {
    entries: Mutex<BTreeMap<ClusterUid, Arc<ClusterEntry>>>,
    /// What selects the objects of all clusters, where one watch is for all of them.
    together: Option<String>,
    all: Mutex<Option<(u64, Arc<NamespaceWatch>)>>,
}

impl Clusters {
    /// With one watch for all that the selector finds, instead of one for each cluster.
    pub fn together(selector: String) -> Self {
        Self { together: Some(selector), ..Self::default() }
    }

    /// The watch of a cluster, begun if there is none for this client.
    pub fn watch(&self, entry: &ClusterEntry, client: &KubernetesClient, number: u64) -> Arc<ClusterWatch> {
        let all = self.together.as_ref().map(|selector| {
            let mut all = lock(&self.all);
            match &*all {
                Some((known, watch)) if *known == number => watch.clone(),
                _ => {
                    let watch = Arc::new(NamespaceWatch::start(client.clone(), selector));
                    *all = Some((number, watch.clone()));
                    watch
                }
            }
        });
        entry.watch(client, number, all.as_deref())
    }

    /// That of a cluster.
    pub fn entry(&self, key: &ClusterKey) -> Arc<ClusterEntry> {
        let mut all = lock(&self.entries);
        all.entry(key.uid.clone()).or_insert_with(|| Arc::new(ClusterEntry::new(key.clone()))).clone()
    }

    /// Ends the watches of a cluster that is gone.
    pub fn forget(&self, uid: &ClusterUid) {
        lock(&self.entries).remove(uid);
        if let Some((_, all)) = &*lock(&self.all) {
            all.forget(uid);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
