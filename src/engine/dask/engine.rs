//! Dask as an [`Engine`]: keeps connections to schedulers, and falls back where the preload is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{FutureExt, future::BoxFuture};
use jiff::Timestamp;

use super::{
    launch,
    rpc::{self, Bounds, Credentials, DaskAddress, RetireMode, RpcError, SchedulerClient, Target},
    tls::TlsSettings,
};
use crate::{
    engine::{Belts, Endpoint, Engine, EngineError, EngineErrorKind, Launch, Ranking, StatusQuestion},
    model::{EngineStatus, NodeId, NodeName, SoftwareVersions},
    spec::{ComputeCluster, GroupName},
};

/// Idle connections kept for one scheduler.
const POOL: usize = 4;

/// Dask clusters, asked over Dask's own protocol.
#[derive(Default)]
pub struct DaskEngine {
    /// Connections that nobody uses at the moment, by the scheduler's address.
    idle: Mutex<BTreeMap<String, Vec<SchedulerClient>>>,
    tls: TlsSettings,
}

impl DaskEngine {
    async fn connection(&self, scheduler: &Endpoint) -> Result<SchedulerClient, EngineError> {
        let kept = self.pool().get_mut(&scheduler.address).and_then(Vec::pop);
        match kept {
            Some(client) => Ok(client),
            None => SchedulerClient::connect(&target(scheduler, &self.tls)?)
                .await
                .map_err(|error| from_rpc(&error)),
        }
    }

    fn give_back(&self, scheduler: &Endpoint, client: SchedulerClient) {
        let mut pool = self.pool();
        let kept = pool.entry(scheduler.address.clone()).or_default();
        if kept.len() < POOL {
            kept.push(client);
        }
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<SchedulerClient>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks on a kept connection, and once more on a new one if that turns out to be dead.
    async fn ask<T>(
        &self,
        scheduler: &Endpoint,
        question: impl Send + for<'c> Fn(&'c mut SchedulerClient) -> BoxFuture<'c, Result<T, RpcError>>,
    ) -> Result<T, EngineError> {
        let kept = self.pool().get_mut(&scheduler.address).and_then(Vec::pop);
        if let Some(mut client) = kept {
            match question(&mut client).await {
                Ok(answer) => {
                    self.give_back(scheduler, client);
                    return Ok(answer);
                }
                Err(error) if !error.is_transient() => return Err(from_rpc(&error)),
                // What was kept for this address may all be of a scheduler that is gone.
                Err(_) => drop(self.pool().remove(&scheduler.address)),
            }
        }
        let mut client = self.connection(scheduler).await?;
        let answer = question(&mut client).await.map_err(|error| from_rpc(&error))?;
        self.give_back(scheduler, client);
        Ok(answer)
    }
}

#[async_trait]
impl Engine for DaskEngine {
    fn scheduler_launch(&self, cluster: &ComputeCluster, _node: &NodeId) -> Launch {
        Launch::Dask(launch::scheduler(cluster))
    }

    fn worker_launch(
        &self,
        cluster: &ComputeCluster,
        node: &NodeId,
        group: &GroupName,
        scheduler: &str,
    ) -> Launch {
        Launch::Dask(launch::worker(cluster, node, group, scheduler))
    }

    async fn status(
        &self,
        scheduler: &Endpoint,
        question: StatusQuestion,
    ) -> Result<EngineStatus, EngineError> {
        let ranking = match question.ranking {
            Ranking::Wanted => rpc::Ranking::Wanted,
            Ranking::NotWanted => rpc::Ranking::NotWanted,
        };
        let ours = rpc::StatusQuestion { since: question.since, wait: question.wait, ranking };
        self.ask(scheduler, |client| status(client, ours).boxed()).await
    }

    async fn retire(
        &self,
        scheduler: &Endpoint,
        workers: &[NodeName],
        bound: Duration,
    ) -> Result<BTreeSet<NodeName>, EngineError> {
        let names: Arc<BTreeSet<NodeName>> = Arc::new(workers.iter().cloned().collect());
        self.ask(scheduler, |client| retire(client, names.clone(), bound).boxed()).await
    }

    async fn set_belts(&self, scheduler: &Endpoint, belts: Belts, now: Timestamp) -> Result<(), EngineError> {
        // Not the moment: the clocks of two machines may differ.
        let left = |end| Duration::try_from(now.duration_until(end)).unwrap_or_default();
        let lifetime = belts.ends_at.map(left);
        self.ask(scheduler, |client| set_belts(client, belts.idle, lifetime).boxed()).await
    }

    async fn versions(&self, scheduler: &Endpoint) -> Result<SoftwareVersions, EngineError> {
        let found = self.ask(scheduler, |client| client.versions().boxed()).await?;
        let mut versions = found.packages;
        // Dask spells a release `3.11.7.final.0`.
        let python = found.python.strip_suffix(".final.0").unwrap_or(&found.python);
        versions.insert("python".to_owned(), Some(python.to_owned()));
        Ok(SoftwareVersions(versions))
    }
}

async fn status(
    client: &mut SchedulerClient,
    question: rpc::StatusQuestion,
) -> Result<EngineStatus, RpcError> {
    match client.status(question).await {
        Err(RpcError::UnknownOp { .. }) => client.status_from_stock_operations(question.ranking).await,
        answer => answer,
    }
}

async fn set_belts(
    client: &mut SchedulerClient,
    idle: Option<Duration>,
    lifetime: Option<Duration>,
) -> Result<(), RpcError> {
    match client.set_belts(idle, lifetime).await {
        Err(RpcError::UnknownOp { .. }) => Ok(()),
        answer => answer,
    }
}

async fn retire(
    client: &mut SchedulerClient,
    names: Arc<BTreeSet<NodeName>>,
    bound: Duration,
) -> Result<BTreeSet<NodeName>, RpcError> {
    client.retire_workers(&names, RetireMode::CloseWorkers, bound).await
}

fn target(scheduler: &Endpoint, tls: &TlsSettings) -> Result<Target, EngineError> {
    let unexpected = |message: String| EngineError { kind: EngineErrorKind::Unexpected, message };
    let address: DaskAddress =
        scheduler.address.parse().map_err(|error: rpc::AddressError| unexpected(error.to_string()))?;
    let credentials = match &scheduler.identity {
        None => None,
        Some((identity, name)) => {
            let config = tls.of(identity, name).map_err(|error| unexpected(error.to_string()))?;
            let peer = name
                .clone()
                .try_into()
                .map_err(|_| unexpected(format!("{name} is no name for a certificate")))?;
            Some(Credentials { config, peer })
        }
    };
    Ok(Target { address, credentials, bounds: Bounds::default() })
}

fn from_rpc(error: &RpcError) -> EngineError {
    let kind = match error {
        RpcError::Tls { .. } | RpcError::SpeaksTls { .. } | RpcError::TransportMismatch { .. } => {
            EngineErrorKind::Refused
        }
        RpcError::UnknownOp { .. } | RpcError::Remote { .. } | RpcError::Reply { .. } => {
            EngineErrorKind::Unexpected
        }
        _ => EngineErrorKind::Unreachable,
    };
    let message = match error.hint() {
        Some(hint) => format!("{error} (hint: {hint})"),
        None => error.to_string(),
    };
    EngineError { kind, message }
}
