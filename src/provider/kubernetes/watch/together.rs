//! Pods and anchors of all clusters of a namespace, by two watches for all of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    core::PartialObjectMeta,
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::{sync::watch, task::JoinHandle};

use super::{ClusterWatch, Known, News, Shared, State, WATCH_SECONDS, trouble};
use crate::{
    model::{ClusterKey, ClusterUid, label},
    provider::kubernetes::client::{KubernetesClient, Resource},
};

/// Two watches, for as long as it lives.
pub struct NamespaceWatch {
    all: Arc<All>,
    tasks: [JoinHandle<()>; 2],
}

struct All {
    client: KubernetesClient,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    clusters: BTreeMap<ClusterUid, Arc<Shared>>,
    pods_listed: bool,
    anchors_listed: bool,
}

impl Drop for NamespaceWatch {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl NamespaceWatch {
    /// Begins to watch what the selector finds.
    pub fn start(client: KubernetesClient, selector: &str) -> Self {
        let config = watcher::Config::default().labels(selector).timeout(WATCH_SECONDS);
        let pods = watcher(client.api::<Pod>(), config.clone()).default_backoff().boxed();
        let anchors = watcher(client.api::<PartialObjectMeta<ConfigMap>>(), config).default_backoff().boxed();
        let all = Arc::new(All { client, seen: Mutex::default() });
        let tasks = [
            tokio::spawn(follow(all.clone(), pods, Resource::Pods, Shared::on_pod)),
            tokio::spawn(follow(all.clone(), anchors, Resource::ConfigMaps, Shared::on_anchor)),
        ];
        Self { all, tasks }
    }

    /// Stops keeping what is known of a cluster.
    pub fn forget(&self, cluster: &ClusterUid) {
        self.all.seen().clusters.remove(cluster);
    }
}

impl ClusterWatch {
    /// One cluster's part of what is watched; `changed` hears of its news.
    pub fn within(all: &NamespaceWatch, cluster: &ClusterKey, changed: watch::Sender<u64>) -> Self {
        let shared = all.all.of(cluster);
        // Whoever was first stays until the cluster is forgotten.
        let _ = shared.listener.set(changed);
        Self { shared, tasks: Vec::new() }
    }
}

impl All {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a cluster; nothing yet of one that is new.
    fn of(&self, cluster: &ClusterKey) -> Arc<Shared> {
        let mut seen = self.seen();
        let (pods_listed, anchor_listed) = (seen.pods_listed, seen.anchors_listed);
        let fresh = || {
            let state = State { pods_listed, anchor_listed, ..State::default() };
            Arc::new(Shared {
                cluster: cluster.clone(),
                client: self.client.clone(),
                state: Mutex::new(state),
                changed: watch::Sender::new(0),
                listener: OnceLock::new(),
            })
        };
        seen.clusters.entry(cluster.uid.clone()).or_insert_with(fresh).clone()
    }

    fn each(&self) -> Vec<Arc<Shared>> {
        self.seen().clusters.values().cloned().collect()
    }

    /// Takes note that all of a kind was seen. Who comes later finds it so.
    fn listed(&self, resource: Resource) -> Vec<Arc<Shared>> {
        let mut seen = self.seen();
        if resource == Resource::Pods {
            seen.pods_listed = true;
        } else {
            seen.anchors_listed = true;
        }
        seen.clusters.values().cloned().collect()
    }

    /// Forgets a cluster of which nothing is there, and that nobody looks after.
    fn tidy(&self, shared: &Shared) {
        if shared.listener.get().is_none() && shared.state().known == Known::default() {
            self.seen().clusters.remove(&shared.cluster.uid);
        }
    }
}

/// Whose an object is, by its labels.
fn owner<K: kube::Resource>(object: &K) -> Option<ClusterKey> {
    let labels = object.meta().labels.as_ref()?;
    Some(ClusterKey {
        uid: labels.get(label::CLUSTER_UID)?.parse().ok()?,
        name: labels.get(label::CLUSTER)?.parse().ok()?,
    })
}

async fn follow<K: kube::Resource>(
    all: Arc<All>,
    mut events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Unpin,
    resource: Resource,
    on_event: fn(&Shared, watcher::Event<K>),
) {
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => {
                all.each().iter().for_each(|shared| on_event(shared, watcher::Event::Init));
            }
            Ok(watcher::Event::InitDone) => {
                all.listed(resource).iter().for_each(|shared| on_event(shared, watcher::Event::InitDone));
            }
            Ok(watcher::Event::InitApply(object)) => {
                if let Some(cluster) = owner(&object) {
                    on_event(&all.of(&cluster), watcher::Event::InitApply(object));
                }
            }
            Ok(watcher::Event::Apply(object)) => {
                if let Some(cluster) = owner(&object) {
                    on_event(&all.of(&cluster), watcher::Event::Apply(object));
                }
            }
            Ok(watcher::Event::Delete(object)) => {
                if let Some(cluster) = owner(&object) {
                    let shared = all.of(&cluster);
                    on_event(&shared, watcher::Event::Delete(object));
                    all.tidy(&shared);
                }
            }
            Err(error) => {
                let trouble = trouble(error, resource, &all.client);
                tracing::debug!("a watch broke off: {trouble}");
                for shared in all.each() {
                    shared.update(|state| News::from(state.trouble.replace(trouble.clone()).is_none()));
                }
            }
        }
    }
}
