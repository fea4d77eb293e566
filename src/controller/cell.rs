//! One cluster inside the controller: its record, and who wants to know of its changes.

use std::sync::Arc;

use tokio::sync::{Mutex, Notify, broadcast, watch};

use super::view::{ClientFiles, ClusterView, ViewSource};
use crate::{
    model::{CallerEnvironment, ClusterKey, ClusterRecord, Event, Observed},
    plan::EngineView,
    store::{SecretName, Store, StoreError},
};

/// How many events a slow reader may lag behind before it misses some.
const EVENT_BACKLOG: usize = 256;

/// A cluster's record in memory and in the store, changed only through here.
pub struct ClusterCell {
    key: ClusterKey,
    store: Arc<dyn Store>,
    /// Held across the write: memory is never ahead of the store, and behind it only when an update
    /// was dropped in the middle.
    record: Mutex<ClusterRecord>,
    /// Rung when what is wanted has changed.
    pub(super) wanted_changed: Notify,
    view: watch::Sender<Arc<ClusterView>>,
    /// Whether the view shows more than the record.
    looked: watch::Sender<bool>,
    events: broadcast::Sender<Event>,
    /// Never written anywhere.
    environment: std::sync::Mutex<Option<CallerEnvironment>>,
}

impl ClusterCell {
    /// Around a record that is in the store.
    pub fn new(
        store: Arc<dyn Store>,
        record: ClusterRecord,
        environment: Option<CallerEnvironment>,
    ) -> Arc<Self> {
        let client = client_files(&*store, &record);
        let view = ClusterView::new(&ViewSource {
            record: &record,
            world: &Observed::default(),
            engine: &EngineView::NotAsked,
            client,
        });
        Arc::new(Self {
            key: record.key(),
            store,
            record: Mutex::new(record),
            wanted_changed: Notify::new(),
            view: watch::Sender::new(Arc::new(view)),
            looked: watch::Sender::new(false),
            events: broadcast::Sender::new(EVENT_BACKLOG),
            environment: std::sync::Mutex::new(environment),
        })
    }

    /// Which cluster.
    pub fn key(&self) -> &ClusterKey {
        &self.key
    }

    /// The record as it is now.
    pub async fn record(&self) -> ClusterRecord {
        self.record.lock().await.clone()
    }

    /// Changes the record, durably. `change` says what it has to tell the caller; if it fails, or
    /// the write fails, nothing has changed.
    ///
    /// To be awaited to its end: the store finishes a write that nobody waits for any more, and the
    /// record in memory is then the old one until the next update fails.
    pub async fn update<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut ClusterRecord) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut held = self.record.lock().await;
        let mut record = held.clone();
        let answer = change(&mut record)?;
        if record == *held {
            return Ok(answer);
        }
        record.revision += 1;
        if let Err(error) = self.store.replace(&record).await {
            // It may have been written all the same; what the store has is what counts.
            self.read_again(&mut held).await;
            return Err(error.into());
        }
        let wanted = record.wanted != held.wanted;
        *held = record;
        drop(held);
        if wanted {
            self.wanted_changed.notify_one();
        }
        Ok(answer)
    }

    /// Takes over what the store has, if it can be read.
    async fn read_again(&self, held: &mut ClusterRecord) {
        if let Ok(Some(stored)) = self.store.read(&self.key).await {
            self.replace_held(held, stored);
        }
    }

    /// Takes over what somebody else has written into the store, or has found there.
    pub async fn take_over(&self, stored: ClusterRecord) {
        let mut held = self.record.lock().await;
        self.replace_held(&mut held, stored);
    }

    /// What is wanted is the stored record's; how far that is, only if it is not older than what is held.
    fn replace_held(&self, held: &mut ClusterRecord, stored: ClusterRecord) {
        let wanted = stored.wanted != held.wanted;
        held.wanted = stored.wanted;
        if stored.revision > held.revision {
            held.revision = stored.revision;
            held.progress.ledger = stored.progress.ledger;
        }
        if wanted {
            self.wanted_changed.notify_one();
        }
    }

    /// Changes what is only shown, without a write.
    pub(super) async fn show(
        &self,
        change: impl FnOnce(&mut ClusterRecord),
        world: &Observed,
        engine: &EngineView,
    ) {
        let mut record = self.record.lock().await;
        change(&mut record);
        let client = client_files(&*self.store, &record);
        let view = ClusterView::new(&ViewSource { record: &record, world, engine, client });
        drop(record);
        self.view.send_if_modified(|shown| {
            let changed = **shown != view;
            if changed {
                *shown = Arc::new(view);
            }
            changed
        });
    }

    /// Notes that provider and engine were asked, whatever they answered.
    pub(super) fn note_look(&self) {
        self.looked.send_replace(true);
    }

    /// Returns once provider and engine were asked: until then the view only says what is wanted.
    pub async fn looked(&self) {
        // It fails only when the cell is gone.
        let _ = self.looked.subscribe().wait_for(|looked| *looked).await;
    }

    /// The newest view, and all that follow.
    pub fn watch(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.view.subscribe()
    }

    /// The newest view.
    pub fn view(&self) -> Arc<ClusterView> {
        self.view.borrow().clone()
    }

    /// Writes events to the history and tells those who listen. A history that cannot be written
    /// does not stop the cluster.
    pub async fn report(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        for event in &events {
            tracing::info!(cluster = %self.key.name, kind = ?event.kind, "{}", event.message);
        }
        if let Err(error) = self.store.append_events(&self.key, &events).await {
            tracing::warn!(cluster = %self.key.name, "events are not in the history: {error}");
        }
        for event in events {
            // Nobody may be listening.
            let _ = self.events.send(event);
        }
    }

    /// Events from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The caller's environment variables, if they are at hand.
    pub fn environment(&self) -> Option<CallerEnvironment> {
        self.environment.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Keeps the caller's environment variables, in memory.
    pub fn set_environment(&self, environment: CallerEnvironment) {
        *self.environment.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(environment);
        self.wanted_changed.notify_one();
    }
}

fn client_files(store: &dyn Store, record: &ClusterRecord) -> Option<ClientFiles> {
    if !record.wanted.document.spec.tls {
        return None;
    }
    let key = record.key();
    Some(ClientFiles {
        ca: store.secret_path(&key, SecretName::AuthorityCertificate)?,
        cert: store.secret_path(&key, SecretName::ClientCertificate)?,
        key: store.secret_path(&key, SecretName::ClientKey)?,
    })
}
