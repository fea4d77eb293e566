//! One cluster: from its object to its loop, and back into its status.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{balancer::Balancer, shown::show, status::Acceptance};
use crate::{
    controller::{self, Clock, ClusterCell, Reconciler, Tools},
    model::{
        CallerEnvironment, ClusterKey, ClusterRecord, EndReason, Ending, Event, EventKind, Presence, Severity,
    },
    spec,
    store::kubernetes::{KubernetesStore, Read, Refusal},
};

/// What is heard of an object.
#[derive(Debug)]
pub enum News {
    /// It is like this now.
    Seen(Box<Value>),
    /// It is no more.
    Gone,
}

/// A cluster that is looked after.
pub struct Tended {
    /// Which.
    pub key: ClusterKey,
    news: mpsc::UnboundedSender<News>,
    cell: Arc<OnceLock<Arc<ClusterCell>>>,
    over: Arc<AtomicBool>,
    _task: Ended,
}

/// A task that ends with its holder.
struct Ended(JoinHandle<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What looking after a cluster takes.
#[derive(Clone)]
pub struct Means {
    pub tools: Tools,
    pub store: KubernetesStore,
    pub services: Api<Service>,
}

impl Tended {
    /// Begins to look after the cluster of an object; `ended` is called when nothing is left of it.
    pub fn begin(
        means: Means,
        key: ClusterKey,
        object: Value,
        ended: impl FnOnce() + Send + 'static,
    ) -> Self {
        let (news, heard) = mpsc::unbounded_channel();
        let cell = Arc::new(OnceLock::new());
        let work = tend(means, key.clone(), object, heard, cell.clone());
        let over = Arc::new(AtomicBool::new(false));
        let noted = over.clone();
        let task = Ended(tokio::spawn(async move {
            work.await;
            noted.store(true, Ordering::SeqCst);
            ended();
        }));
        Self { key, news, cell, over, _task: task }
    }

    /// Tells what was heard of the object.
    pub fn hear(&self, news: News) {
        // It fails only once nothing is left of the cluster.
        let _ = self.news.send(news);
    }

    /// The cluster, once its record is this process' own.
    pub fn cell(&self) -> Option<&Arc<ClusterCell>> {
        self.cell.get()
    }

    /// Whether it is looked after no more.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

async fn tend(
    means: Means,
    key: ClusterKey,
    object: Value,
    heard: mpsc::UnboundedReceiver<News>,
    kept: Arc<OnceLock<Arc<ClusterCell>>>,
) {
    let Means { tools, store, services } = means;
    store.note(&object).await;
    let Some(record) = claim(&store, &key).await else {
        store.forget(&key.uid);
        return;
    };
    let clock = tools.clock.clone();
    let cell = ClusterCell::new(Arc::new(store.clone()), record.clone(), Some(CallerEnvironment::default()));
    // Nobody else sets it.
    let _ = kept.set(cell.clone());
    greet(&cell, &record, clock.now()).await;
    let named = object.pointer("/status/groups").and_then(Value::as_object);
    let groups: BTreeSet<String> = named.into_iter().flatten().map(|(name, _)| name.clone()).collect();
    let first = Acceptance {
        generation: record.wanted.generation,
        reason: "Accepted",
        refusal: None,
        since: record.wanted.created_at,
    };
    let (accepting, acceptance) = watch::channel(first);
    let shown =
        Ended(tokio::spawn(show(store.clone(), cell.clone(), acceptance, groups, Balancer::new(services))));
    let mut loop_ = Ended(tokio::spawn(Reconciler::new(tools, cell.clone()).run()));
    let follower = Follower { store: store.clone(), cell, clock, accepting };
    let mut heard = heard;
    follower.hear(News::Seen(Box::new(object))).await;
    loop {
        tokio::select! {
            _ = &mut loop_.0 => break,
            Some(news) = heard.recv() => follower.hear(news).await,
        }
    }
    drop(shown);
    store.forget(&key.uid);
}

/// The record, once nobody else can write it; `None` when the object is gone, or no cluster any more.
async fn claim(store: &KubernetesStore, key: &ClusterKey) -> Option<ClusterRecord> {
    let mut tries = 0;
    loop {
        match store.claim(key).await {
            Ok(record) => return record,
            Err(error) => {
                tries = u32::min(tries + 1, 5);
                tracing::warn!(cluster = %key.name, "it cannot be looked after yet: {error}");
                tokio::time::sleep(Duration::from_secs(1 << tries)).await;
            }
        }
    }
}

async fn greet(cell: &ClusterCell, record: &ClusterRecord, at: jiff::Timestamp) {
    let (kind, message) = if record.revision <= 1 {
        (EventKind::Created, format!("cluster {} was asked for, uid {}", record.name(), record.wanted.uid))
    } else {
        (EventKind::Adopted, "a new controller looks after the cluster".to_owned())
    };
    cell.report(vec![Event { at, severity: Severity::Normal, kind, node: None, message }]).await;
}

/// Follows what people do to the object.
struct Follower {
    store: KubernetesStore,
    cell: Arc<ClusterCell>,
    clock: Arc<dyn Clock>,
    accepting: watch::Sender<Acceptance>,
}

impl Follower {
    async fn hear(&self, news: News) {
        match news {
            News::Gone => self.end().await,
            News::Seen(object) => {
                self.store.note(&object).await;
                let generation = object.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or(0);
                match self.store.reader().read(&object) {
                    Ok(read) => self.follow(read).await,
                    Err(refusal) => self.refuse(&refusal, generation).await,
                }
            }
        }
    }

    /// The object is no more: all of the cluster goes, as Kubernetes' own garbage collection would have it.
    async fn end(&self) {
        self.store.note_gone(&self.cell.key().uid).await;
        let mut record = self.cell.record().await;
        if record.wanted.presence == Presence::Present {
            let ending = Ending { at: self.clock.now(), reason: EndReason::Deleted };
            record.wanted.presence = Presence::Absent(ending);
            self.cell.take_over(record).await;
        }
    }

    async fn follow(&self, read: Read) {
        let Read { mut record, refused } = read;
        let held = self.cell.record().await;
        if record.wanted.generation < held.wanted.generation {
            return;
        }
        let now = self.clock.now();
        let mut events = Vec::new();
        let edited = record.wanted.generation != held.wanted.generation;
        record.wanted.asked_at = if edited { Some(now) } else { held.wanted.asked_at };
        match (&held.wanted.presence, &record.wanted.presence) {
            (Presence::Absent(_), Presence::Present) => {
                record.wanted.presence = held.wanted.presence.clone();
            }
            (Presence::Present, Presence::Absent(_)) => {
                let message = "being torn down: it was deleted".to_owned();
                events.push((Severity::Normal, EventKind::Deleting, message));
            }
            _ => {}
        }
        let changes = controller::summary(&spec::compare(&held.wanted.document, &record.wanted.document));
        if !changes.is_empty() {
            let message = format!("the document was changed: {}", changes.join("; "));
            events.push((Severity::Normal, EventKind::Updated, message));
        }
        let refusal = (!refused.is_empty()).then(|| {
            let each: Vec<String> = refused.iter().map(controller::described).collect();
            format!(
                "fixed for a cluster's life, and left as it was: {}; to change it, delete the cluster and create \
                 it again",
                each.join("; ")
            )
        });
        let generation = record.wanted.generation;
        self.cell.take_over(record).await;
        self.report(events).await;
        match refusal {
            Some(message) => self.accept("FixedPartChanged", Some(message), generation).await,
            None => self.accept("Accepted", None, generation).await,
        }
    }

    /// The object is one that the cluster cannot follow: it goes on as it was.
    async fn refuse(&self, refusal: &Refusal, generation: u64) {
        let message = format!("{}; the cluster goes on as it was", refusal.message);
        self.accept(refusal.reason, Some(message), generation).await;
    }

    async fn accept(&self, reason: &'static str, refusal: Option<String>, generation: u64) {
        let now = self.clock.now();
        let mut news = None;
        self.accepting.send_if_modified(|known| {
            let same_status = known.refusal.is_none() == refusal.is_none();
            let since = if same_status { known.since } else { now };
            let next = Acceptance { generation, reason, refusal: refusal.clone(), since };
            let changed = *known != next;
            if changed && known.refusal != next.refusal {
                news.clone_from(&next.refusal);
            }
            *known = next;
            changed
        });
        if let Some(message) = news {
            self.report(vec![(Severity::Warning, EventKind::EditRefused, message)]).await;
        }
    }

    async fn report(&self, events: Vec<(Severity, EventKind, String)>) {
        let at = self.clock.now();
        let event = |(severity, kind, message)| Event { at, severity, kind, node: None, message };
        self.cell.report(events.into_iter().map(event).collect()).await;
    }
}
