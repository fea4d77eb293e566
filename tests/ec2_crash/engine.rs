//! The schedulers of an account: they see workers, rank them, and have them hand over what they hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use crewcall::{
    engine::{
        Belts, Endpoint, Engine, EngineError, EngineErrorKind, Launch, Ranking, StatusQuestion,
        dask::DaskEngine,
    },
    model::{ClusterUid, EngineStatus, NodeId, NodeName, SoftwareVersions, WorkerState, WorkerStatus},
    spec::{ComputeCluster, GroupName},
};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::account::{Account, Stock, TRANSFER, cluster_of, name_of};

/// From a question to its answer.
const LATENCY: Duration = Duration::from_millis(20);

/// Bytes of one result.
const RESULT: u64 = 1_000;

/// Asks the schedulers of an account.
pub struct AccountEngine {
    account: Arc<Account>,
    dask: DaskEngine,
}

impl AccountEngine {
    /// Over an account.
    pub fn new(account: Arc<Account>) -> Self {
        Self { account, dask: DaskEngine::default() }
    }
}

fn cluster_at(stock: &Stock, endpoint: &Endpoint) -> Result<ClusterUid, EngineError> {
    stock.cluster_at(&endpoint.address).ok_or_else(|| EngineError {
        kind: EngineErrorKind::Unreachable,
        message: format!("nothing listens at {}", endpoint.address),
    })
}

/// The workers that a scheduler sees: their names, and their instances.
fn workers(stock: &Stock, cluster: &ClusterUid) -> BTreeMap<NodeName, String> {
    let seen = stock.cloud.instances().filter(|one| {
        cluster_of(one).as_ref() == Some(cluster)
            && stock.hosts.get(&one.id).is_some_and(|host| host.registered)
    });
    seen.filter_map(|one| Some((name_of(one)?, one.id.clone()))).collect()
}

fn status(stock: &Stock, cluster: &ClusterUid, question: StatusQuestion) -> EngineStatus {
    let worker = |instance: &String| {
        let held_results = stock.held_by(instance);
        let retires = stock.hosts.get(instance).is_some_and(|host| host.retiring.is_some());
        WorkerStatus {
            address: format!("tls://{instance}:8786"),
            state: if retires { WorkerState::Retiring } else { WorkerState::Running },
            held_bytes: held_results * RESULT,
            held_results,
            processing: 0,
            actors: 0,
            memory_limit: None,
        }
    };
    let seen = workers(stock, cluster);
    let workers: BTreeMap<NodeName, WorkerStatus> =
        seen.iter().map(|(name, instance)| (name.clone(), worker(instance))).collect();
    let ranking = (question.ranking == Ranking::Wanted).then(|| {
        let mut names: Vec<NodeName> = workers.keys().cloned().collect();
        names.sort_by_key(|name| workers.get(name).map_or(0, |worker| worker.held_results));
        names
    });
    EngineStatus {
        sequence: stock.sequence,
        workers,
        ranking,
        departures: stock.departures(cluster, question.since),
        ..EngineStatus::default()
    }
}

#[async_trait]
impl Engine for AccountEngine {
    fn scheduler_launch(&self, cluster: &ComputeCluster, node: &NodeId) -> Launch {
        self.dask.scheduler_launch(cluster, node)
    }

    fn worker_launch(
        &self,
        cluster: &ComputeCluster,
        node: &NodeId,
        group: &GroupName,
        scheduler: &str,
    ) -> Launch {
        self.dask.worker_launch(cluster, node, group, scheduler)
    }

    async fn status(
        &self,
        scheduler: &Endpoint,
        question: StatusQuestion,
    ) -> Result<EngineStatus, EngineError> {
        tokio::time::sleep(LATENCY).await;
        let deadline = Instant::now() + question.wait;
        let mut changes = self.account.changes();
        loop {
            {
                let stock = self.account.stock();
                let cluster = cluster_at(&stock, scheduler)?;
                if Instant::now() >= deadline || question.since != Some(stock.sequence) {
                    return Ok(status(&stock, &cluster, question));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            self.account.change(&mut changes, left).await;
        }
    }

    async fn retire(
        &self,
        scheduler: &Endpoint,
        names: &[NodeName],
        bound: Duration,
    ) -> Result<BTreeSet<NodeName>, EngineError> {
        tokio::time::sleep(LATENCY).await;
        {
            let mut stock = self.account.stock();
            let cluster = cluster_at(&stock, scheduler)?;
            let done = stock.now() + TRANSFER;
            let seen = workers(&stock, &cluster);
            for instance in names.iter().filter_map(|name| seen.get(name)) {
                if let Some(host) = stock.hosts.get_mut(instance) {
                    host.retiring.get_or_insert(done);
                }
            }
            stock.sequence += 1;
        }
        self.account.tell();
        tokio::time::sleep(Duration::try_from(TRANSFER).unwrap_or_default().min(bound)).await;
        let retired = {
            let stock = self.account.stock();
            let cluster = cluster_at(&stock, scheduler)?;
            let left = workers(&stock, &cluster);
            names.iter().filter(|name| !left.contains_key(*name)).cloned().collect()
        };
        self.account.tell();
        Ok(retired)
    }

    async fn set_belts(&self, scheduler: &Endpoint, _: Belts, _: Timestamp) -> Result<(), EngineError> {
        cluster_at(&self.account.stock(), scheduler).map(drop)
    }

    async fn versions(&self, scheduler: &Endpoint) -> Result<SoftwareVersions, EngineError> {
        cluster_at(&self.account.stock(), scheduler).map(|_| SoftwareVersions::default())
    }
}
