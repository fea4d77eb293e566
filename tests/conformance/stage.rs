//! What the promises need of a provider's world, and what they have in common.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use crewcall::{
    model::{AnchorState, ClusterKey, ClusterUid, NodeId, NodeName, NodeState, Slot},
    provider::{AnchorRequest, NodeRequest, NodesRequest, Provider},
};

use crate::observing::PATIENCE;
use crate::observing::until;

/// A reply that is to be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Anchor,
    Nodes,
    Removal,
}

/// A world in which a provider is tried, with one installation in it.
#[async_trait]
pub trait Stage: Send + Sync {
    /// An empty one; `None` when this machine lacks what it takes, which is then said loudly.
    fn set() -> Option<Self>
    where
        Self: Sized;

    /// Another installation, of another person.
    fn neighbour(&self) -> Box<dyn Stage>;

    /// The provider as the next controller has it: it knows nothing but what is there.
    fn provider(&self) -> Arc<dyn Provider>;

    /// How a cluster's anchor is asked for.
    fn anchor(&self, cluster: &ClusterKey) -> AnchorRequest;

    /// How its scheduler is asked for.
    fn scheduler(&self, cluster: &ClusterKey) -> NodeRequest;

    /// How a worker is asked for, given the scheduler's address.
    fn worker(&self, cluster: &ClusterKey, slot: u32, scheduler: &str) -> NodeRequest;

    /// Has the next call of a kind take effect, and its reply be lost. Nothing where that cannot be
    /// brought about: then the caller's breaking off has to do.
    fn lose(&self, _: Reply) {}

    /// Ends a worker behind the provider's back, as a crash would.
    async fn kill(&self, cluster: &ClusterKey, scheduler: &str, worker: &NodeName);

    /// How many nodes run, counted without the provider's help.
    fn running(&self) -> usize;

    /// All that is left in the world, in words, seen without the provider's help.
    fn remains(&self) -> Vec<String>;
}

pub fn cluster(name: &str, number: u64) -> ClusterKey {
    ClusterKey { uid: ClusterUid::from_random(number), name: name.parse().unwrap() }
}

/// The cluster that a promise is about, where one is enough.
pub fn demo() -> ClusterKey {
    cluster("demo", 1)
}

/// A cluster that runs.
pub struct Running {
    pub key: ClusterKey,
    pub address: String,
    pub scheduler: NodeId,
    pub workers: Vec<NodeId>,
}

impl Running {
    /// Makes one with so many workers.
    pub async fn new(stage: &dyn Stage, provider: &dyn Provider, key: ClusterKey, workers: u32) -> Self {
        provider.ensure_anchor(&stage.anchor(&key)).await.unwrap();
        let request = stage.scheduler(&key);
        let scheduler = request.id.clone();
        start(stage, provider, &key, vec![request]).await;
        let seen = until(provider, &key, "the scheduler listens", |seen| {
            seen.nodes.iter().any(|node| node.address.is_some() && node.state == NodeState::Running)
        })
        .await;
        let address = seen.nodes[0].address.clone().unwrap();
        let mut running = Self { key, address, scheduler, workers: Vec::new() };
        let requests: Vec<_> = (0..workers).map(|slot| running.worker(stage, slot)).collect();
        running.workers = requests.iter().map(|request| request.id.clone()).collect();
        start(stage, provider, &running.key, requests).await;
        running.are_seen(provider).await;
        running
    }

    pub fn worker(&self, stage: &dyn Stage, slot: u32) -> NodeRequest {
        let request = stage.worker(&self.key, slot, &self.address);
        assert_eq!(request.id.slot, Slot(slot));
        request
    }

    /// All its nodes run, and no others are there.
    pub async fn are_seen(&self, provider: &dyn Provider) {
        let mut wanted: Vec<&NodeId> = self.workers.iter().chain([&self.scheduler]).collect();
        wanted.sort_unstable();
        until(provider, &self.key, "all its nodes run", |seen| {
            let mut running: Vec<&NodeId> = seen.nodes.iter().map(|node| &node.id).collect();
            running.sort_unstable();
            running == wanted && seen.nodes.iter().all(|node| node.state == NodeState::Running)
        })
        .await;
    }
}

/// How nodes of a cluster are asked for.
pub fn nodes_of(stage: &dyn Stage, cluster: &ClusterKey, nodes: Vec<NodeRequest>) -> NodesRequest {
    NodesRequest { cluster: cluster.clone(), document: stage.anchor(cluster).document, nodes }
}

/// Starts nodes, all of which must start.
pub async fn start(
    stage: &dyn Stage,
    provider: &dyn Provider,
    cluster: &ClusterKey,
    nodes: Vec<NodeRequest>,
) {
    let failures = provider.ensure_nodes(&nodes_of(stage, cluster, nodes)).await.unwrap();
    assert!(failures.is_empty(), "{failures:?}");
}

/// Waits until something holds; panics with what was last seen.
pub async fn eventually<T: std::fmt::Debug + PartialEq>(what: &str, expected: &T, look: impl Fn() -> T) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if seen == *expected {
            return;
        }
        let late = tokio::time::Instant::now() > deadline;
        assert!(!late, "{what}: not {expected:?} within {PATIENCE:?}; last seen: {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Removes a cluster until it is gone.
pub async fn remove(provider: &dyn Provider, cluster: &ClusterKey) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !provider.remove_anchor(cluster).await.unwrap().is_gone() {
        let late = tokio::time::Instant::now() > deadline;
        assert!(!late, "cluster {} is not gone within {PATIENCE:?}", cluster.name);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seen = provider.observe(cluster).await.unwrap();
    assert_eq!((seen.anchor, seen.nodes.len()), (AnchorState::Absent, 0), "{seen:?}");
}

/// The end of each promise: all that is listed is swept, and then the world is empty.
pub async fn strike(stage: &dyn Stage) {
    let provider = stage.provider();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let listed = provider.list_managed().await.unwrap();
        if listed.is_empty() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "still listed after {PATIENCE:?}: {listed:?}");
        for managed in &listed {
            provider.sweep(managed).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eventually("what is left", &Vec::<String>::new(), || stage.remains()).await;
}
