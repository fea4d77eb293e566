//! All clusters that are custom resources, each with its loop.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    metrics::Metrics,
    tended::{Means, News, Tended},
};
use crate::{
    controller::{Clock as _, SystemClock, Tools},
    engine::dask::DaskEngine,
    model::{ClusterKey, KubernetesContext, ObjectUid, Phase},
    provider::{Provider, kubernetes::KubernetesProvider},
    spec::{ClusterName, Namespace},
    store::kubernetes::{KubernetesStore, cluster_uid},
};

/// Where a cluster is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub namespace: Namespace,
    pub name: ClusterName,
}

/// A name, and what is done about it.
struct Member {
    tended: Tended,
    /// The object that has the name now, while what is left of the one before it goes.
    next: Option<Value>,
}

/// All of them.
pub struct Clusters {
    client: Client,
    context: KubernetesContext,
    store: KubernetesStore,
    engine: Arc<DaskEngine>,
    metrics: Arc<Metrics>,
    state: PathBuf,
    providers: Mutex<BTreeMap<Namespace, Arc<KubernetesProvider>>>,
    members: Mutex<BTreeMap<Place, Member>>,
    /// Objects that are no clusters.
    refused: Mutex<BTreeMap<Place, ObjectUid>>,
    ended: mpsc::UnboundedSender<Place>,
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

impl Place {
    /// That of an object; `None` where no cluster can have such a name.
    pub fn of(object: &Value) -> Option<Self> {
        let namespace = text(object, "/metadata/namespace").parse().ok()?;
        Some(Self { namespace, name: text(object, "/metadata/name").parse().ok()? })
    }
}

/// Which object it is.
pub fn uid_of(object: &Value) -> ObjectUid {
    ObjectUid::new(text(object, "/metadata/uid"))
}

impl Clusters {
    /// None yet. Whose loops have ended is told to `ended`, to be handed to [`Self::note_ended`].
    pub fn new(
        client: Client,
        context: KubernetesContext,
        store: KubernetesStore,
        metrics: Arc<Metrics>,
        state: PathBuf,
        ended: mpsc::UnboundedSender<Place>,
    ) -> Self {
        Self {
            client,
            context,
            store,
            engine: Arc::new(DaskEngine::default()),
            metrics,
            state,
            providers: Mutex::default(),
            members: Mutex::default(),
            refused: Mutex::default(),
            ended,
        }
    }

    /// An object is like this now.
    pub fn seen(self: &Arc<Self>, object: Value) {
        let Some(place) = Place::of(&object) else {
            self.refuse(object);
            return;
        };
        let key = ClusterKey { uid: cluster_uid(&uid_of(&object)), name: place.name.clone() };
        let mut members = lock(&self.members);
        if let Some(member) = members.get_mut(&place).filter(|member| !member.tended.is_over()) {
            if member.tended.key == key {
                member.tended.hear(News::Seen(Box::new(object)));
            } else {
                member.tended.hear(News::Gone);
                member.next = Some(object);
            }
            return;
        }
        if let Err(refusal) = self.store.reader().read(&object) {
            drop(members);
            tracing::debug!(name = %place.name, namespace = %place.namespace, "no cluster: {}", refusal.message);
            self.refuse(object);
            return;
        }
        lock(&self.refused).remove(&place);
        let ended = self.ended.clone();
        let told = place.clone();
        let tended = Tended::begin(self.means(&place.namespace), key, object, move || {
            // It fails only when nobody looks after clusters any more.
            let _ = ended.send(told);
        });
        members.insert(place, Member { tended, next: None });
    }

    /// Says of an object why it is no cluster.
    fn refuse(self: &Arc<Self>, object: Value) {
        let Err(refusal) = self.store.reader().read(&object) else { return };
        if let Some(place) = Place::of(&object) {
            lock(&self.refused).insert(place, uid_of(&object));
        }
        let clusters = self.clone();
        tokio::spawn(async move {
            if let Err(error) = clusters.store.refuse(&object, &refusal, now()).await {
                tracing::warn!("{error}");
            }
        });
    }

    /// An object is no more.
    pub fn gone(&self, place: &Place, uid: &ObjectUid) {
        lock(&self.refused).remove(place);
        let mut members = lock(&self.members);
        let Some(member) = members.get_mut(place) else { return };
        if member.tended.key.uid == cluster_uid(uid) {
            member.tended.hear(News::Gone);
        }
        if member.next.as_ref().is_some_and(|next| uid_of(next) == *uid) {
            member.next = None;
        }
    }

    /// Of these namespaces (`None`: of all) there are only these objects.
    pub fn only(&self, namespace: Option<&Namespace>, found: &BTreeMap<Place, ObjectUid>) {
        let within = |place: &Place| namespace.is_none_or(|namespace| place.namespace == *namespace);
        lock(&self.refused).retain(|place, _| !within(place) || found.contains_key(place));
        let mut members = lock(&self.members);
        for (place, member) in members.iter_mut().filter(|(place, _)| within(place)) {
            let uid = found.get(place);
            if uid.map(cluster_uid).as_ref() != Some(&member.tended.key.uid) {
                member.tended.hear(News::Gone);
            }
            if member.next.as_ref().is_some_and(|next| Some(&uid_of(next)) != uid) {
                member.next = None;
            }
        }
    }

    /// Nothing is left of the cluster that was there; the next one of its name may begin.
    pub fn note_ended(self: &Arc<Self>, place: &Place) {
        let next = {
            let mut members = lock(&self.members);
            // A successor may be at work already.
            if members.get(place).is_some_and(|member| !member.tended.is_over()) {
                return;
            }
            members.remove(place).and_then(|member| member.next)
        };
        if let Some(object) = next {
            self.seen(object);
        }
    }

    fn means(&self, namespace: &Namespace) -> Means {
        let tools = Tools {
            provider: self.provider(namespace),
            engine: self.engine.clone(),
            store: Arc::new(self.store.clone()),
            clock: Arc::new(SystemClock),
            measure: self.metrics.clone(),
        };
        Means {
            tools,
            store: self.store.clone(),
            services: Api::namespaced(self.client.clone(), namespace.as_str()),
        }
    }

    fn provider(&self, namespace: &Namespace) -> Arc<dyn Provider> {
        let make = || {
            let context = KubernetesContext { namespace: namespace.clone(), ..self.context.clone() };
            let state = self.state.join(namespace.as_str());
            Arc::new(KubernetesProvider::of_operator(context, self.client.clone(), state, now))
        };
        lock(&self.providers).entry(namespace.clone()).or_insert_with(make).clone()
    }

    /// How many clusters are in which phase.
    pub fn phases(&self) -> BTreeMap<Phase, u64> {
        let mut counts = BTreeMap::new();
        for member in lock(&self.members).values() {
            let phase = member.tended.cell().map_or(Phase::Pending, |cell| cell.view().phase);
            *counts.entry(phase).or_default() += 1;
        }
        *counts.entry(Phase::Pending).or_default() += lock(&self.refused).len() as u64;
        counts
    }

    /// Stops looking after them; they go on, and whoever leads next takes them over.
    pub fn stop(&self) {
        lock(&self.members).clear();
    }
}
