//! What every engine must be able to do.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    model::{EngineStatus, NodeId, NodeName, SoftwareVersions},
    security::Identity,
    spec::{ComputeCluster, GroupName},
};

use super::{Belts, dask};

/// What runs in a cluster: how its nodes are started, and what its scheduler can be asked.
#[async_trait]
pub trait Engine: Send + Sync {
    /// What to run as the scheduler.
    fn scheduler_launch(&self, cluster: &ComputeCluster, node: &NodeId) -> Launch;

    /// What to run as a worker of `group`, which exists, with the scheduler at `scheduler`.
    fn worker_launch(
        &self,
        cluster: &ComputeCluster,
        node: &NodeId,
        group: &GroupName,
        scheduler: &str,
    ) -> Launch;

    /// Asks the scheduler for its view. Waits for a change up to the question's bound.
    async fn status(
        &self,
        scheduler: &Endpoint,
        question: StatusQuestion,
    ) -> Result<EngineStatus, EngineError>;

    /// Has workers hand their data over and end. Returns those that have; the others could not,
    /// because nobody can take what they hold. Takes as long as the data needs, at most `bound`.
    async fn retire(
        &self,
        scheduler: &Endpoint,
        workers: &[NodeName],
        bound: Duration,
    ) -> Result<BTreeSet<NodeName>, EngineError>;

    /// Tells the scheduler when to end by itself; what it was told before no longer holds. An engine whose
    /// scheduler cannot be told leaves it at what it was started with.
    async fn set_belts(&self, scheduler: &Endpoint, belts: Belts, now: Timestamp) -> Result<(), EngineError>;

    /// What is installed where the scheduler runs.
    async fn versions(&self, scheduler: &Endpoint) -> Result<SoftwareVersions, EngineError>;
}

/// What a node runs, in the terms of its engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Launch {
    /// A Dask scheduler or worker.
    Dask(dask::DaskLaunch),
}

/// Where a scheduler is reached, and as whom.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// As the engine writes it: `tls://127.0.0.1:40123`.
    pub address: String,
    /// The controller's certificate and the name that the scheduler must prove; `None` without TLS.
    pub identity: Option<(Arc<Identity>, String)>,
}

/// What to ask a scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusQuestion {
    /// The newest sequence number already seen; the answer waits for a newer one.
    pub since: Option<u64>,
    /// How long it may wait for that.
    pub wait: Duration,
    /// Whether workers are to be ranked.
    pub ranking: Ranking,
}

/// Whether workers are to be ranked from the first to go to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranking {
    /// They are.
    Wanted,
    /// It would be work for nothing.
    NotWanted,
}

/// A question to an engine that was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// Whether anybody is there.
    pub kind: EngineErrorKind,
    /// What went wrong: what was waited for, and what was last seen.
    pub message: String,
}

/// Kinds of failure that policy tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineErrorKind {
    /// Nothing listens, or it does not answer.
    Unreachable,
    /// It answers, and refuses us.
    Refused,
    /// It answers something else than was asked.
    Unexpected,
}
