//! The store: records read from objects, notes written into their status.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, ListParams, Preconditions},
    core::{DynamicObject, GroupVersionKind},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    events::EventSink,
    notes::Notes,
    object::{ObjectReader, Refusal},
    slot::{Place, Slot, State, revision_in},
    words::words,
};
use crate::{
    model::{ClusterKey, ClusterRecord, ClusterUid, Event, label},
    spec::{ClusterName, crd::MAX_LEDGER},
    store::{SecretName, Store, StoreError, Strangers, Unreadable},
};

/// How long a call may take.
const ANSWER: Duration = Duration::from_secs(30);

/// Tries to be the writer of an object that others change at the same time.
const CLAIMS: usize = 5;

/// Records as custom resources.
///
/// # Guarantees
/// - A write names the version that it replaces, and fails with [`StoreError::Stale`] when there is another one.
/// - A cluster that was [claimed](Self::claim) can be written by nobody who has read it before.
#[derive(Clone)]
pub struct KubernetesStore {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    reader: ObjectReader,
    /// Who writes: a leader, and which of its terms.
    writer: String,
    slots: Mutex<BTreeMap<ClusterUid, Arc<Slot>>>,
    events: EventSink,
}

/// The custom resource.
pub fn resource() -> ApiResource {
    let kind = GroupVersionKind::gvk("crewcall.dev", "v1alpha1", "ComputeCluster");
    ApiResource::from_gvk_with_plural(&kind, "computeclusters")
}

#[derive(serde::Deserialize)]
struct MetadataOnly {
    metadata: kube::core::ObjectMeta,
}

/// A call that failed.
pub(super) enum Failed {
    /// There is no such object.
    Absent,
    /// There is another version of it, or another object of its name.
    Conflict(String),
    /// Something else.
    Other(String),
}

impl Failed {
    pub(super) fn into_error(self, doing: &'static str, object: String) -> StoreError {
        let cause = match self {
            Self::Absent => "it does not exist".to_owned(),
            Self::Conflict(cause) | Self::Other(cause) => cause,
        };
        StoreError::Server { doing, object, cause }
    }
}

impl KubernetesStore {
    /// Writes as `writer`: another one for each term of a leader. Events are told by `instance`.
    pub fn new(client: Client, reader: ObjectReader, writer: String, instance: String) -> Self {
        let events = EventSink::start(client.clone(), instance);
        Self { shared: Arc::new(Shared { client, reader, writer, slots: Mutex::default(), events }) }
    }

    /// How objects are read.
    pub fn reader(&self) -> &ObjectReader {
        &self.shared.reader
    }

    pub(super) fn client(&self) -> &Client {
        &self.shared.client
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<ClusterUid, Arc<Slot>>> {
        self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn slot(&self, cluster: &ClusterUid) -> Result<Arc<Slot>, StoreError> {
        self.slots().get(cluster).cloned().ok_or_else(|| StoreError::Server {
            doing: "find",
            object: format!("computecluster of uid {cluster}"),
            cause: "nobody looks after it any more".to_owned(),
        })
    }

    /// Takes note of an object as a watch has shown it.
    pub async fn note(&self, object: &Value) {
        let place = Place::of(object);
        let slot = {
            let mut slots = self.slots();
            let fresh = || Arc::new(Slot { place: place.clone(), state: tokio::sync::Mutex::default() });
            slots.entry(place.cluster.clone()).or_insert_with(fresh).clone()
        };
        slot.state.lock().await.note(object);
    }

    /// Takes note that an object is no more: nothing is written any longer.
    pub async fn note_gone(&self, cluster: &ClusterUid) {
        if let Ok(slot) = self.slot(cluster) {
            slot.state.lock().await.gone = true;
        }
    }

    /// Forgets what is known of a cluster.
    pub fn forget(&self, cluster: &ClusterUid) {
        self.slots().remove(cluster);
    }

    /// Becomes the one who writes an object: whoever has read it before cannot write it any more. `None` when it is
    /// gone, or no cluster any more.
    pub async fn claim(&self, cluster: &ClusterKey) -> Result<Option<ClusterRecord>, StoreError> {
        let slot = self.slot(&cluster.uid)?;
        let mut last = None;
        for _ in 0..CLAIMS {
            let mut state = slot.state.lock().await;
            let Some(object) = self.get(&slot.place, &mut state).await? else { return Ok(None) };
            let Ok(read) = self.shared.reader.read(&object) else { return Ok(None) };
            let mut record = read.record;
            record.revision += 1;
            match self.write(&slot.place, &mut state, &record).await {
                Ok(()) => return Ok(Some(record)),
                Err(StoreError::Stale { name, found }) => last = Some(StoreError::Stale { name, found }),
                Err(error) => return Err(error),
            }
        }
        last.map_or(Ok(None), Err)
    }

    /// The object as it is now, which the next write replaces.
    async fn get(&self, place: &Place, state: &mut State) -> Result<Option<Value>, StoreError> {
        let request = hyper::http::Request::get(path(place)).body(Vec::new());
        match self.call::<Value>(request).await {
            Ok(object) if Place::of(&object).uid == place.uid => {
                let version = super::object::text(&object, "/metadata/resourceVersion");
                version.unwrap_or_default().clone_into(&mut state.version);
                state.revision = revision_in(&object);
                Ok(Some(object))
            }
            Ok(_) | Err(Failed::Absent) => {
                state.gone = true;
                Ok(None)
            }
            Err(failed) => Err(failed.into_error("read", place.described())),
        }
    }

    async fn write(
        &self,
        place: &Place,
        state: &mut State,
        record: &ClusterRecord,
    ) -> Result<(), StoreError> {
        if state.gone {
            return Ok(());
        }
        let unfit = |cause: String| StoreError::Server { doing: "write", object: place.described(), cause };
        let text =
            Notes::of(record, &self.shared.writer).to_text().map_err(|error| unfit(error.to_string()))?;
        if text.len() > MAX_LEDGER {
            let cause = format!("its notes have {} bytes; the API server takes {MAX_LEDGER}", text.len());
            return Err(unfit(cause));
        }
        let mut status = state.pending.clone().unwrap_or_else(|| json!({}));
        if let Some(status) = status.as_object_mut() {
            status.insert("ledger".to_owned(), json!(text));
        }
        self.patch(place, state, &status).await?;
        state.revision = record.revision;
        if let Some(pending) = state.pending.take() {
            state.shown = Some(pending);
        }
        Ok(())
    }

    /// Writes into the status of the version that is known, and of no other.
    async fn patch(&self, place: &Place, state: &mut State, status: &Value) -> Result<(), StoreError> {
        let body = json!({
            "metadata": { "uid": place.uid, "resourceVersion": state.version },
            "status": status,
        });
        let uri = format!("{}/status?fieldManager={}", path(place), label::CREWCALL);
        let request = hyper::http::Request::patch(uri)
            .header(hyper::http::header::CONTENT_TYPE, "application/merge-patch+json")
            .body(body.to_string().into_bytes());
        match self.call::<MetadataOnly>(request).await {
            Ok(written) => {
                state.version = written.metadata.resource_version.unwrap_or_default();
                Ok(())
            }
            Err(Failed::Absent) => {
                state.gone = true;
                Ok(())
            }
            Err(Failed::Conflict(found)) => match place.name.parse() {
                Ok(name) => Err(StoreError::Stale { name, found }),
                Err(_) => Err(Failed::Conflict(found).into_error("write", place.described())),
            },
            Err(failed) => Err(failed.into_error("write", place.described())),
        }
    }

    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        request: Result<hyper::http::Request<Vec<u8>>, hyper::http::Error>,
    ) -> Result<T, Failed> {
        let request = request.map_err(|error| Failed::Other(error.to_string()))?;
        match tokio::time::timeout(ANSWER, self.shared.client.request::<T>(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(Failed::Absent),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => {
                Err(Failed::Conflict(status.message.clone()))
            }
            Ok(Err(error)) => Err(Failed::Other(words(&error))),
            Err(_) => Err(Failed::Other(format!("no answer within {} s", ANSWER.as_secs()))),
        }
    }

    /// Shows people how a cluster is: `status` less the notes, with null for what is not to be there.
    pub async fn show(&self, cluster: &ClusterUid, status: Value) -> Result<(), StoreError> {
        let Ok(slot) = self.slot(cluster) else { return Ok(()) };
        let mut state = slot.state.lock().await;
        if state.gone || state.shown.as_ref() == Some(&status) {
            return Ok(());
        }
        state.pending = Some(status.clone());
        let written = match self.patch(&slot.place, &mut state, &status).await {
            Err(StoreError::Stale { .. }) => {
                // Somebody else has changed the object; unless that is another writer, it is only newer.
                let known = state.revision;
                self.get(&slot.place, &mut state).await?;
                if state.revision != known {
                    state.version.clear();
                    state.revision = known;
                    return Ok(());
                }
                self.patch(&slot.place, &mut state, &status).await
            }
            written => written,
        };
        written?;
        state.shown = state.pending.take();
        Ok(())
    }

    /// Says of an object that is no cluster why not.
    pub async fn refuse(
        &self,
        object: &Value,
        refusal: &Refusal,
        now: jiff::Timestamp,
    ) -> Result<(), StoreError> {
        let place = Place::of(object);
        let status = super::object::refused_status(object, refusal, now);
        if object.get("status").is_some_and(|shown| super::object::says(shown, &status)) {
            return Ok(());
        }
        let version = super::object::text(object, "/metadata/resourceVersion").unwrap_or_default();
        let mut state = State { version: version.to_owned(), ..State::default() };
        self.patch(&place, &mut state, &status).await
    }

    /// Waits until all events were told, at most for `bound`.
    pub async fn drain_events(&self, bound: Duration) {
        self.shared.events.drain(bound).await;
    }
}

fn path(place: &Place) -> String {
    format!("/apis/crewcall.dev/v1alpha1/namespaces/{}/computeclusters/{}", place.namespace, place.name)
}

#[async_trait]
impl Store for KubernetesStore {
    async fn list(&self) -> Result<Vec<Result<ClusterRecord, Unreadable>>, StoreError> {
        let api: Api<DynamicObject> = Api::all_with(self.shared.client.clone(), &resource());
        let listed = api
            .list(&ListParams::default())
            .await
            .map_err(|error| Failed::Other(words(&error)).into_error("list", "computeclusters".to_owned()))?;
        let records = listed.items.iter().filter_map(|object| {
            let object = serde_json::to_value(object).ok()?;
            let read = self.shared.reader.read(&object);
            Some(read.map(|read| read.record).map_err(|refusal| Unreadable {
                name: super::object::text(&object, "/metadata/name").unwrap_or_default().to_owned(),
                path: PathBuf::from(path(&Place::of(&object))),
                problem: refusal.message,
                hint: "its conditions say more: `kubectl describe computecluster` shows them".to_owned(),
            }))
        });
        Ok(records.collect())
    }

    async fn age(&self) -> Result<Duration, StoreError> {
        // What has no object here has none anywhere.
        Ok(Duration::MAX)
    }

    async fn strangers(&self, known: &BTreeSet<ClusterName>) -> Result<Strangers, StoreError> {
        let found = self.list().await?.into_iter().filter(|found| match found {
            Ok(record) => !known.contains(record.name()),
            Err(_) => true,
        });
        Ok(Strangers { found: found.collect(), gone: BTreeSet::new() })
    }

    async fn read(&self, cluster: &ClusterKey) -> Result<Option<ClusterRecord>, StoreError> {
        let slot = self.slot(&cluster.uid)?;
        let mut state = slot.state.lock().await;
        let Some(object) = self.get(&slot.place, &mut state).await? else { return Ok(None) };
        Ok(self.shared.reader.read(&object).ok().map(|read| read.record))
    }

    async fn create(&self, record: &ClusterRecord) -> Result<(), StoreError> {
        let cause = "objects are made by people, who have rights of their own".to_owned();
        Err(StoreError::Server {
            doing: "create",
            object: format!("computecluster {}", record.name()),
            cause,
        })
    }

    async fn replace(&self, record: &ClusterRecord) -> Result<(), StoreError> {
        let slot = self.slot(&record.wanted.uid)?;
        let mut state = slot.state.lock().await;
        self.write(&slot.place, &mut state, record).await
    }

    async fn remove(&self, cluster: &ClusterKey) -> Result<(), StoreError> {
        let slot = self.slot(&cluster.uid)?;
        if !slot.state.lock().await.gone {
            let preconditions =
                Preconditions { uid: Some(slot.place.uid.to_string()), ..Preconditions::default() };
            let parameters = DeleteParams::background().preconditions(preconditions);
            let body = serde_json::to_vec(&parameters).unwrap_or_default();
            let request = hyper::http::Request::delete(path(&slot.place))
                .header(hyper::http::header::CONTENT_TYPE, "application/json")
                .body(body);
            match self.call::<Value>(request).await {
                // Of that uid there is nothing, which is what was asked for.
                Ok(_) | Err(Failed::Absent | Failed::Conflict(_)) => {}
                Err(failed) => return Err(failed.into_error("delete", slot.place.described())),
            }
        }
        self.forget(&cluster.uid);
        Ok(())
    }

    async fn append_events(&self, cluster: &ClusterKey, events: &[Event]) -> Result<(), StoreError> {
        let slot = self.slot(&cluster.uid)?;
        for event in events {
            self.shared.events.tell(&slot.place, event);
        }
        Ok(())
    }

    async fn events(&self, _: &ClusterKey, _: usize) -> Result<Vec<Event>, StoreError> {
        // Kubernetes keeps them, for whoever may read them.
        Ok(Vec::new())
    }

    async fn put_secret(
        &self,
        cluster: &ClusterKey,
        name: SecretName,
        content: &str,
    ) -> Result<(), StoreError> {
        self.put_secrets(cluster, &[(name, content)]).await
    }

    async fn put_secrets(
        &self,
        cluster: &ClusterKey,
        secrets: &[(SecretName, &str)],
    ) -> Result<(), StoreError> {
        let slot = self.slot(&cluster.uid)?;
        self.keep_secrets(&slot.place, secrets).await
    }

    async fn secret(&self, cluster: &ClusterKey, name: SecretName) -> Result<Option<String>, StoreError> {
        let slot = self.slot(&cluster.uid)?;
        let mut state = slot.state.lock().await;
        if state.secrets.is_none() {
            state.secrets = self.read_secrets(&slot.place).await?;
        }
        Ok(state.secrets.as_ref().and_then(|secrets| secrets.get(&name).cloned()))
    }

    fn secret_path(&self, _: &ClusterKey, _: SecretName) -> Option<PathBuf> {
        None
    }
}
