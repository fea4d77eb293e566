//! What is known of a cluster's pods and its anchor, kept up to date by watches.

mod age;
mod together;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    core::{ObjectMeta, PartialObjectMeta},
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use self::age::{Age, Ages};
use super::{
    build::RESOURCE,
    client::{Call, KubernetesClient, Resource, Verb, version},
    error,
    names::{anchor, selector},
    observe::SeenPod,
};
use crate::{
    model::{ClusterKey, NodeName, ObjectUid},
    provider::ProviderError,
};

pub use together::NamespaceWatch;

/// How long a new watch may take until it has seen all there is.
const SYNC: Duration = Duration::from_secs(20);

/// How long one watching call lasts, in seconds; a connection that died in silence is noticed then.
const WATCH_SECONDS: u32 = 120;

/// The anchor as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenAnchor {
    /// Kubernetes' own id of it.
    pub uid: String,
    /// Whether it is being removed.
    pub ending: bool,
    /// The custom resource that owns it, if one does.
    pub resource: Option<ObjectUid>,
}

/// All that is known of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its pods by name.
    pub pods: BTreeMap<NodeName, SeenPod>,
    /// Its anchor.
    pub anchor: Option<SeenAnchor>,
}

#[derive(Default)]
struct State {
    known: Known,
    pods_listed: bool,
    anchor_listed: bool,
    /// What a new list has brought so far.
    listing: BTreeMap<NodeName, SeenPod>,
    listing_anchor: Option<SeenAnchor>,
    /// Why what is known may be old.
    trouble: Option<ProviderError>,
    /// How new what was seen is.
    ages: Ages,
}

struct Shared {
    cluster: ClusterKey,
    client: KubernetesClient,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    /// Who hears of changes beside those who wait here.
    listener: OnceLock<watch::Sender<u64>>,
}

/// Two watches of its own or a part of others', for as long as it lives.
pub struct ClusterWatch {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for ClusterWatch {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl ClusterWatch {
    /// Begins to watch.
    pub fn start(client: KubernetesClient, cluster: ClusterKey, changed: watch::Sender<u64>) -> Self {
        let by_uid = watcher::Config::default().labels(&selector(&cluster.uid)).timeout(WATCH_SECONDS);
        let pods = watcher(client.api::<Pod>(), by_uid.clone()).default_backoff().boxed();
        let anchors = watcher(client.api::<PartialObjectMeta<ConfigMap>>(), by_uid).default_backoff().boxed();
        let shared =
            Arc::new(Shared { cluster, client, state: Mutex::default(), changed, listener: OnceLock::new() });
        let tasks = vec![
            tokio::spawn(follow(shared.clone(), pods, Resource::Pods, Shared::on_pod)),
            tokio::spawn(follow(shared.clone(), anchors, Resource::ConfigMaps, Shared::on_anchor)),
        ];
        Self { shared, tasks }
    }

    /// What is known, once all has been seen. Where the watch is in trouble, the API server is asked.
    pub async fn known(&self) -> Result<Known, ProviderError> {
        let mut changes = self.shared.changed.subscribe();
        let listed = async {
            loop {
                changes.borrow_and_update();
                {
                    let state = self.shared.state();
                    if state.trouble.is_some() || (state.pods_listed && state.anchor_listed) {
                        return;
                    }
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(SYNC, listed).await.is_ok();
        {
            let state = self.shared.state();
            if in_time && state.trouble.is_none() {
                return Ok(state.known.clone());
            }
        }
        self.shared.list().await
    }

    /// What is known now, which may be nothing yet.
    pub fn at_hand(&self) -> Known {
        self.shared.state().known.clone()
    }

    /// Takes note of a pod that a call of ours has made or changed.
    pub fn note(&self, pod: &Pod) {
        if let Some(seen) = SeenPod::new(&self.shared.cluster.name, pod) {
            self.shared.update(|state| state.put(seen));
        }
    }

    /// Takes note that a pod is gone, as a call of ours was told.
    pub fn note_gone(&self, node: &NodeName, uid: &str) {
        self.shared.update(|state| state.remove(node, uid));
    }

    /// Takes note of an anchor that a call of ours has made.
    pub fn note_anchor(&self, uid: &str, resource: Option<ObjectUid>) {
        let seen = SeenAnchor { uid: uid.to_owned(), ending: false, resource };
        self.shared.update(|state| state.anchored(Some(seen)));
    }
}

/// Whether what is known has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Yes,
    No,
}

impl From<bool> for News {
    fn from(news: bool) -> Self {
        if news { Self::Yes } else { Self::No }
    }
}

impl State {
    fn put(&mut self, seen: SeenPod) -> News {
        self.ages.pods.saw(seen.version);
        let name = seen.id.name();
        let known = self.known.pods.get(&name);
        if known.is_some_and(|known| known.uid == seen.uid && known.version > seen.version) {
            return News::No;
        }
        let same = known.is_some_and(|known| SeenPod { version: seen.version, ..known.clone() } == seen);
        self.known.pods.insert(name, seen);
        News::from(!same)
    }

    fn remove(&mut self, node: &NodeName, uid: &str) -> News {
        let same = self.known.pods.get(node).is_some_and(|known| known.uid == uid);
        if same {
            self.known.pods.remove(node);
        }
        News::from(same)
    }

    fn anchored(&mut self, anchor: Option<SeenAnchor>) -> News {
        let news = self.known.anchor != anchor;
        self.known.anchor = anchor;
        News::from(news)
    }

    /// Takes a new list of pods. One without pods that nobody has told to end may be an old one: that is asked.
    fn pods_listed(&mut self) -> News {
        let listing = std::mem::take(&mut self.listing);
        let missing = |(name, pod): (&NodeName, &SeenPod)| !pod.ending && !listing.contains_key(name);
        if self.known.pods.iter().any(missing) {
            return self.doubt();
        }
        self.known.pods = listing;
        self.pods_listed = true;
        self.recovered(News::Yes)
    }

    /// The same of the anchor.
    fn anchor_listed(&mut self) -> News {
        let anchor = self.listing_anchor.take();
        if anchor.is_none() && self.known.anchor.as_ref().is_some_and(|known| !known.ending) {
            return self.doubt();
        }
        self.known.anchor = anchor;
        self.anchor_listed = true;
        self.recovered(News::Yes)
    }

    fn doubt(&mut self) -> News {
        let doubt = || ProviderError::unsure("what was there is not in a new list");
        self.trouble.get_or_insert_with(doubt);
        News::Yes
    }

    /// Takes back that what is known may be old.
    fn recovered(&mut self, news: News) -> News {
        self.ages.behind = None;
        if self.trouble.take().is_some() { News::Yes } else { news }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and tells those who wait if that is news.
    fn update(&self, change: impl FnOnce(&mut State) -> News) {
        if change(&mut self.state()) == News::Yes {
            self.changed.send_modify(|n| *n = n.wrapping_add(1));
            if let Some(listener) = self.listener.get() {
                listener.send_modify(|n| *n = n.wrapping_add(1));
            }
        }
    }

    fn on_pod(&self, event: watcher::Event<Pod>) {
        let seen = |pod: &Pod| SeenPod::new(&self.cluster.name, pod);
        self.update(|state| match event {
            watcher::Event::Init => {
                state.listing.clear();
                News::No
            }
            watcher::Event::InitApply(pod) => {
                if let Some(seen) = seen(&pod) {
                    state.listing.insert(seen.id.name(), seen);
                }
                News::No
            }
            watcher::Event::InitDone => state.pods_listed(),
            watcher::Event::Apply(pod) => {
                let news = seen(&pod).map_or(News::No, |seen| state.put(seen));
                state.recovered(news)
            }
            watcher::Event::Delete(pod) => {
                let news = seen(&pod).map_or(News::No, |seen| state.remove(&seen.id.name(), &seen.uid));
                state.recovered(news)
            }
        });
    }

    fn on_anchor(&self, event: watcher::Event<PartialObjectMeta<ConfigMap>>) {
        let seen = |object: &PartialObjectMeta<ConfigMap>| seen_anchor(&self.cluster, &object.metadata);
        self.update(|state| match event {
            watcher::Event::Init => {
                state.listing_anchor = None;
                News::No
            }
            watcher::Event::InitApply(object) => {
                state.listing_anchor = seen(&object).or_else(|| state.listing_anchor.take());
                News::No
            }
            watcher::Event::InitDone => state.anchor_listed(),
            watcher::Event::Apply(object) => {
                state.ages.anchors.saw(version(object.metadata.resource_version.as_deref()));
                let news = seen(&object).map_or(News::No, |seen| state.anchored(Some(seen)));
                state.recovered(news)
            }
            watcher::Event::Delete(object) => {
                let known = state.known.anchor.as_ref();
                let same = seen(&object).is_some_and(|gone| known.is_some_and(|known| known.uid == gone.uid));
                let news = if same { state.anchored(None) } else { News::No };
                state.recovered(news)
            }
        });
    }

    /// Asks instead of waiting to be told.
    async fn list(&self) -> Result<Known, ProviderError> {
        let by_uid = selector(&self.cluster.uid);
        let (pods, anchors) =
            tokio::join!(self.client.pods(&by_uid), self.client.list(Resource::ConfigMaps, &by_uid));
        let (pods, anchors) = (pods?, anchors?);
        let (newest_pods, newest_anchors) = (Age::of(pods.version), Age::of(anchors.version));
        if !self.state().ages.take(newest_pods, newest_anchors, Instant::now()) {
            let whom = error::whom(self.client.context());
            return Err(ProviderError::unsure(format!(
                "{whom} shows what was there before, not what is there"
            )));
        }
        let pods = pods.items.iter().filter_map(|pod| SeenPod::new(&self.cluster.name, pod));
        let known = Known {
            pods: pods.map(|seen| (seen.id.name(), seen)).collect(),
            anchor: anchors.items.iter().find_map(|metadata| seen_anchor(&self.cluster, metadata)),
        };
        self.update(|state| {
            state.known = known.clone();
            (state.pods_listed, state.anchor_listed) = (true, true);
            state.trouble = None;
            News::Yes
        });
        Ok(known)
    }
}

fn seen_anchor(cluster: &ClusterKey, metadata: &ObjectMeta) -> Option<SeenAnchor> {
    if metadata.name.as_deref() != Some(anchor(&cluster.name).as_str()) {
        return None;
    }
    let owners = metadata.owner_references.iter().flatten();
    let resource =
        owners.filter(|owner| owner.kind == RESOURCE.1).map(|owner| ObjectUid::new(&*owner.uid)).next();
    Some(SeenAnchor { uid: metadata.uid.clone()?, ending: metadata.deletion_timestamp.is_some(), resource })
}

async fn follow<K>(
    shared: Arc<Shared>,
    mut events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Unpin,
    resource: Resource,
    on_event: fn(&Shared, watcher::Event<K>),
) {
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => on_event(&shared, event),
            Err(error) => {
                let trouble = trouble(error, resource, &shared.client);
                tracing::debug!(cluster = %shared.cluster.name, "a watch broke off: {trouble}");
                shared.update(|state| News::from(state.trouble.replace(trouble).is_none()));
            }
        }
    }
}

fn trouble(error: watcher::Error, resource: Resource, client: &KubernetesClient) -> ProviderError {
    let context = client.context();
    let call = |verb| Call { verb, resource, name: None, namespace: context.namespace.as_str() };
    match error {
        watcher::Error::InitialListFailed(cause) => error::failure(cause, call(Verb::List), context),
        watcher::Error::WatchStartFailed(cause) | watcher::Error::WatchFailed(cause) => {
            error::failure(cause, call(Verb::Watch), context)
        }
        watcher::Error::WatchError(status) => {
            error::failure(kube::Error::Api(status), call(Verb::Watch), context)
        }
        watcher::Error::NoResourceVersion => {
            ProviderError::unsure(format!("{} cannot be watched", error::whom(context)))
        }
    }
}
