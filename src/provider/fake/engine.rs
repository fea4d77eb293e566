//! The engine over a world: workers register, compute, and hand over what they hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    people::Place,
    world::{State, World, after},
};
use crate::{
    engine::{
        Belts, Endpoint, Engine, EngineError, EngineErrorKind, Launch, Ranking, StatusQuestion,
        dask::DaskEngine,
    },
    model::{ClusterUid, EngineStatus, NodeId, NodeName, SoftwareVersions, WorkerState, WorkerStatus},
    spec::{ComputeCluster, GroupName},
};

/// Bytes of one result.
const RESULT: u64 = 1_000;

/// Asks the schedulers of a [`World`].
pub struct FakeEngine {
    world: Arc<World>,
    dask: DaskEngine,
}

impl FakeEngine {
    /// Over `world`.
    pub fn new(world: Arc<World>) -> Self {
        Self { world, dask: DaskEngine::default() }
    }

    /// The cluster whose scheduler listens there.
    fn place(state: &State, endpoint: &Endpoint) -> Result<ClusterUid, EngineError> {
        let now = state.now();
        let listens = |place: &Place| {
            let scheduler = place.nodes.values().find(|node| node.address() == endpoint.address);
            scheduler.is_some_and(|node| node.runs(now))
        };
        let place = state.places.iter().find(|(_, place)| listens(place));
        place.map(|(uid, _)| uid.clone()).ok_or_else(|| EngineError {
            kind: EngineErrorKind::Unreachable,
            message: format!("nothing listens at {}", endpoint.address),
        })
    }

    async fn travel(&self) {
        let latency = self.world.state().habits.latency;
        tokio::time::sleep(latency).await;
    }
}

fn status(place: &Place, question: StatusQuestion, now: Timestamp) -> EngineStatus {
    let mut held: BTreeMap<&NodeName, u64> = BTreeMap::new();
    for holder in place.results.values() {
        *held.entry(holder).or_default() += 1;
    }
    let registered = place.nodes.iter().filter(|(_, node)| node.registered && !node.has_ended(now));
    let workers: BTreeMap<NodeName, WorkerStatus> = registered
        .map(|(name, node)| {
            let held_results = held.get(name).copied().unwrap_or_default();
            let state = if node.retiring.is_some() { WorkerState::Retiring } else { WorkerState::Running };
            let worker = WorkerStatus {
                address: node.address(),
                state,
                held_bytes: held_results * RESULT,
                held_results,
                processing: 0,
                actors: 0,
                memory_limit: None,
            };
            (name.clone(), worker)
        })
        .collect();
    let ranking = (question.ranking == Ranking::Wanted).then(|| {
        let mut names: Vec<NodeName> = workers.keys().cloned().collect();
        names.sort_by_key(|name| held.get(name).copied().unwrap_or_default());
        names
    });
    let news =
        place.departures.iter().filter(|(sequence, _)| question.since.is_some_and(|seen| *sequence > seen));
    EngineStatus {
        sequence: place.sequence,
        workers,
        ranking,
        departures: news.map(|(_, departure)| departure.clone()).collect(),
        ..EngineStatus::default()
    }
}

#[async_trait]
impl Engine for FakeEngine {
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
        self.travel().await;
        let deadline = Instant::now() + question.wait;
        let mut changes = self.world.changes();
        loop {
            let uid = {
                let state = self.world.advanced();
                let uid = Self::place(&state, scheduler)?;
                if let Some(place) = state.places.get(&uid) {
                    let late = Instant::now() >= deadline;
                    if late || question.since != Some(place.sequence) {
                        return Ok(status(place, question, state.now()));
                    }
                }
                uid
            };
            let left = deadline.saturating_duration_since(Instant::now());
            self.world.change(&uid, &mut changes, left).await;
        }
    }

    async fn retire(
        &self,
        scheduler: &Endpoint,
        workers: &[NodeName],
        bound: Duration,
    ) -> Result<BTreeSet<NodeName>, EngineError> {
        self.travel().await;
        let wait = {
            let mut state = self.world.advanced();
            let uid = Self::place(&state, scheduler)?;
            let (now, transfer) = (state.now(), state.habits.transfer);
            let done = after(now, transfer);
            if let Some(place) = state.places.get_mut(&uid) {
                for worker in workers {
                    if let Some(node) = place.nodes.get_mut(worker).filter(|node| node.registered) {
                        node.retiring.get_or_insert(done);
                    }
                }
                place.sequence += 1;
            }
            transfer.min(bound)
        };
        self.world.tell();
        tokio::time::sleep(wait).await;
        let retired = {
            let state = self.world.advanced();
            let uid = Self::place(&state, scheduler)?;
            let kept = |worker: &NodeName| {
                let place = state.places.get(&uid);
                place.and_then(|place| place.nodes.get(worker)).is_some_and(|node| node.registered)
            };
            workers.iter().filter(|worker| !kept(worker)).cloned().collect()
        };
        self.world.tell();
        Ok(retired)
    }

    async fn set_belts(
        &self,
        scheduler: &Endpoint,
        _belts: Belts,
        _now: Timestamp,
    ) -> Result<(), EngineError> {
        self.travel().await;
        Self::place(&self.world.advanced(), scheduler).map(drop)
    }

    async fn versions(&self, scheduler: &Endpoint) -> Result<SoftwareVersions, EngineError> {
        self.travel().await;
        Self::place(&self.world.advanced(), scheduler)?;
        Ok(SoftwareVersions::default())
    }
}
