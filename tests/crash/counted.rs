//! Provider, engine and store whose every call is a step at which a controller can end.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use crewcall::{
    engine::{Belts, Endpoint, Engine, EngineError, Launch, StatusQuestion},
    model::{
        ClusterKey, ClusterRecord, ClusterUid, EngineStatus, Event, Launching, Ledger, NodeId, NodeName,
        Observed, SoftwareVersions, Stage, Stop,
    },
    provider::{
        AnchorRequest, Caller, Capabilities, LaunchRequest, Launched, LogRequest, LogStream, Managed,
        NodeFailure, NodesRequest, Prepared, Provider, ProviderError, RecordCopy, Removal,
    },
    spec::{ClusterName, ComputeCluster, GroupName},
    store::{SecretName, Store, StoreError, Strangers, Unreadable},
};
use futures_util::stream::BoxStream;
use jiff::Timestamp;

use crate::steps::Steps;

/// A provider whose calls are counted, and which looks for the intent behind each creating call.
pub struct CountedProvider<P> {
    pub inner: P,
    pub steps: Arc<Steps>,
    pub store: Arc<dyn Store>,
    /// Creating calls without a durable intent.
    pub unintended: Arc<Mutex<Vec<String>>>,
}

impl<P: Provider> CountedProvider<P> {
    async fn look_for_intents(&self, request: &NodesRequest) {
        let records = self.store.list().await.unwrap();
        let record = records.into_iter().flatten().find(|record| record.wanted.uid == request.cluster.uid);
        for node in &request.nodes {
            let groups = record.as_ref().map(|record| &record.progress.ledger.groups);
            let entry = groups.and_then(|groups| groups.get(&node.id.group)?.slots.get(&node.id.slot));
            // A later incarnation is as good: the name is used up.
            let intended = entry.is_some_and(|entry| {
                entry.incarnation > node.id.incarnation
                    || entry.incarnation == node.id.incarnation
                        && (entry.stage != Stage::Vacant || entry.template == node.template)
            });
            if !intended {
                self.unintended.lock().unwrap().push(format!("{} has no durable intent", node.id));
            }
        }
    }
}

#[async_trait]
impl<P: Provider> Provider for CountedProvider<P> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn prepare(
        &self,
        cluster: &ComputeCluster,
        caller: &Caller,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Prepared, ProviderError> {
        self.steps.call("prepare", self.inner.prepare(cluster, caller, progress)).await
    }

    async fn observe(&self, cluster: &ClusterKey) -> Result<Observed, ProviderError> {
        self.steps.call("observe", self.inner.observe(cluster)).await
    }

    async fn ensure_anchor(&self, request: &AnchorRequest) -> Result<(), ProviderError> {
        self.steps.call("ensure_anchor", self.inner.ensure_anchor(request)).await
    }

    async fn ensure_nodes(&self, request: &NodesRequest) -> Result<Vec<NodeFailure>, ProviderError> {
        let call = async {
            self.look_for_intents(request).await;
            self.inner.ensure_nodes(request).await
        };
        self.steps.call("ensure_nodes", call).await
    }

    fn launching(&self, document: &ComputeCluster) -> Option<Launching> {
        self.inner.launching(document)
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Launched, ProviderError> {
        let call = async {
            let records = self.store.list().await.unwrap();
            let record =
                records.into_iter().flatten().find(|record| record.wanted.uid == request.cluster.uid);
            let launches = record.as_ref().map(|record| &record.progress.ledger.launches);
            let intended =
                launches.and_then(|launches| launches.get(&request.launch)).is_some_and(|intent| {
                    (&intent.group, intent.count, intent.choice, &intent.template)
                        == (&request.group, request.count, request.choice, &request.template)
                });
            if !intended {
                let missing = format!("launch {} has no durable intent", request.launch);
                self.unintended.lock().unwrap().push(missing);
            }
            self.inner.launch(request).await
        };
        self.steps.call("launch", call).await
    }

    async fn set_expiry(
        &self,
        cluster: &ClusterKey,
        nodes: &[NodeName],
        at: Option<Timestamp>,
    ) -> Result<(), ProviderError> {
        self.inner.set_expiry(cluster, nodes, at).await
    }

    async fn keep_copy(&self, cluster: &ClusterKey, copy: &RecordCopy) -> Result<(), ProviderError> {
        self.inner.keep_copy(cluster, copy).await
    }

    async fn copy_of(&self, cluster: &ClusterUid) -> Result<Option<RecordCopy>, ProviderError> {
        self.inner.copy_of(cluster).await
    }

    async fn remove_nodes(
        &self,
        cluster: &ClusterKey,
        nodes: &[NodeName],
        how: Stop,
    ) -> Result<(), ProviderError> {
        self.steps.call("remove_nodes", self.inner.remove_nodes(cluster, nodes, how)).await
    }

    async fn remove_anchor(&self, cluster: &ClusterKey) -> Result<Removal, ProviderError> {
        self.steps.call("remove_anchor", self.inner.remove_anchor(cluster)).await
    }

    async fn list_managed(&self) -> Result<Vec<Managed>, ProviderError> {
        self.steps.call("list_managed", self.inner.list_managed()).await
    }

    async fn sweep(&self, managed: &Managed) -> Result<(), ProviderError> {
        self.steps.call("sweep", self.inner.sweep(managed)).await
    }

    fn watch(&self, cluster: &ClusterKey) -> BoxStream<'static, ()> {
        self.inner.watch(cluster)
    }

    async fn logs(
        &self,
        cluster: &ClusterKey,
        node: &NodeName,
        request: LogRequest,
    ) -> Result<LogStream, ProviderError> {
        self.inner.logs(cluster, node, request).await
    }

    async fn logged_nodes(&self, cluster: &ClusterKey) -> Result<Vec<NodeName>, ProviderError> {
        self.inner.logged_nodes(cluster).await
    }
}

/// An engine whose calls are counted.
pub struct CountedEngine<E> {
    pub inner: E,
    pub steps: Arc<Steps>,
}

#[async_trait]
impl<E: Engine> Engine for CountedEngine<E> {
    fn scheduler_launch(&self, cluster: &ComputeCluster, node: &NodeId) -> Launch {
        self.inner.scheduler_launch(cluster, node)
    }

    fn worker_launch(
        &self,
        cluster: &ComputeCluster,
        node: &NodeId,
        group: &GroupName,
        scheduler: &str,
    ) -> Launch {
        self.inner.worker_launch(cluster, node, group, scheduler)
    }

    async fn status(
        &self,
        scheduler: &Endpoint,
        question: StatusQuestion,
    ) -> Result<EngineStatus, EngineError> {
        self.steps.call("status", self.inner.status(scheduler, question)).await
    }

    async fn retire(
        &self,
        scheduler: &Endpoint,
        workers: &[NodeName],
        bound: Duration,
    ) -> Result<BTreeSet<NodeName>, EngineError> {
        self.steps.call("retire", self.inner.retire(scheduler, workers, bound)).await
    }

    async fn set_belts(&self, scheduler: &Endpoint, belts: Belts, now: Timestamp) -> Result<(), EngineError> {
        self.steps.call("set_belts", self.inner.set_belts(scheduler, belts, now)).await
    }

    async fn versions(&self, scheduler: &Endpoint) -> Result<SoftwareVersions, EngineError> {
        self.steps.call("versions", self.inner.versions(scheduler)).await
    }
}

/// Whether a store keeps what was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It does.
    Keeps,
    /// It forgets all intents, as a controller that does not write them down.
    ForgetsIntents,
}

/// A store whose calls are counted.
pub struct CountedStore {
    pub inner: Arc<dyn Store>,
    pub steps: Arc<Steps>,
    pub memory: Memory,
}

#[async_trait]
impl Store for CountedStore {
    async fn list(&self) -> Result<Vec<Result<ClusterRecord, Unreadable>>, StoreError> {
        self.steps.call("list", self.inner.list()).await
    }

    async fn age(&self) -> Result<Duration, StoreError> {
        self.inner.age().await
    }

    async fn strangers(&self, known: &BTreeSet<ClusterName>) -> Result<Strangers, StoreError> {
        self.inner.strangers(known).await
    }

    async fn create(&self, record: &ClusterRecord) -> Result<(), StoreError> {
        self.steps.call("create", self.inner.create(record)).await
    }

    async fn replace(&self, record: &ClusterRecord) -> Result<(), StoreError> {
        let mut record = record.clone();
        if self.memory == Memory::ForgetsIntents {
            record.progress.ledger = Ledger::default();
        }
        self.steps.call("replace", self.inner.replace(&record)).await
    }

    async fn remove(&self, cluster: &ClusterKey) -> Result<(), StoreError> {
        self.steps.call("remove", self.inner.remove(cluster)).await
    }

    async fn append_events(&self, cluster: &ClusterKey, events: &[Event]) -> Result<(), StoreError> {
        self.steps.call("append_events", self.inner.append_events(cluster, events)).await
    }

    async fn events(&self, cluster: &ClusterKey, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.inner.events(cluster, limit).await
    }

    async fn put_secret(
        &self,
        cluster: &ClusterKey,
        name: SecretName,
        content: &str,
    ) -> Result<(), StoreError> {
        self.steps.call("put_secret", self.inner.put_secret(cluster, name, content)).await
    }

    async fn secret(&self, cluster: &ClusterKey, name: SecretName) -> Result<Option<String>, StoreError> {
        self.steps.call("secret", self.inner.secret(cluster, name)).await
    }

    fn secret_path(&self, cluster: &ClusterKey, name: SecretName) -> Option<PathBuf> {
        self.inner.secret_path(cluster, name)
    }
}

/// The name that every cluster of these tests has.
pub fn cluster_name() -> ClusterName {
    "demo".parse().unwrap()
}
