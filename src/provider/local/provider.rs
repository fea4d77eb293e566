//! The provider: what the contract asks, in terms of hosts.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::time::Instant;
use tokio_stream::wrappers::WatchStream;

use super::{
    build,
    client::{ANSWER, HostClient},
    clusters::{Clusters, Finder},
    environment,
    host::protocol::{HostNode, Readiness, Refusal, Request},
    leftovers, logs, observe, os, paths,
    spares::{LONGEST_END, SpareKey, Spares, wait_until_free},
    variables,
};
use crate::{
    model::{
        BootId, CallerEnvironment, ClusterKey, IdError, Interpreter, MachineId, NodeName, Observed,
        SoftwareVersions,
    },
    provider::{
        AnchorRequest, Caller, Capabilities, Directories, ErrorKind, LogRequest, LogStream, Managed,
        NodeFailure, NodesRequest, Prepared, Provider, ProviderError, RecordCopies, Removal, Stop,
        Surrounding, WayIn,
    },
    spec::ComputeCluster,
};

/// How long Python may take to import Dask, from a cold disk on a busy machine.
const IMPORT: Duration = Duration::from_mins(2);

/// How long a spare that was prepared waits for its cluster.
const PREPARED: Duration = Duration::from_mins(1);

/// A cluster that has not changed for so long has started.
const REST: Duration = Duration::from_secs(1);

/// So long at most is waited for that.
const LONGEST_START: Duration = Duration::from_secs(10);

/// A worker starts within a second, so that one too few costs little.
const IDLE_PERIOD: Duration = Duration::from_secs(30);

/// Clusters as processes of this machine.
#[derive(Clone)]
pub struct LocalProvider {
    shared: Arc<Shared>,
    idle_period: Duration,
}

struct Shared {
    directories: Directories,
    machine: MachineId,
    boot: BootId,
    clusters: Clusters,
    spares: Spares,
    began: Instant,
}

impl LocalProvider {
    /// With `host_program` the path of a program that is a host when its first argument is `__host`:
    /// this one.
    pub fn new(directories: Directories, host_program: PathBuf, machine: MachineId, boot: BootId) -> Self {
        let spares = Spares::new(directories.clone(), host_program, machine.clone(), boot.clone());
        Self {
            shared: Arc::new(Shared {
                directories,
                machine,
                boot,
                began: Instant::now(),
                clusters: Clusters::default(),
                spares,
            }),
            idle_period: IDLE_PERIOD,
        }
    }

    /// With another time for which workers of adaptive groups have nothing to do before they go.
    #[must_use]
    pub fn with_idle_period(self, idle_period: Duration) -> Self {
        Self { idle_period, ..self }
    }

    async fn host(&self, cluster: &ClusterKey) -> Result<Option<HostClient>, ProviderError> {
        self.shared.clusters.entry(&cluster.uid).host(&self.shared.finder(), cluster).await
    }

    /// The host of a cluster that must have one.
    async fn existing_host(&self, cluster: &ClusterKey) -> Result<HostClient, ProviderError> {
        self.host(cluster).await?.ok_or_else(|| {
            ProviderError::new(ErrorKind::NotFound, format!("cluster {} has no host process", cluster.name))
        })
    }

    /// Tells the host of a cluster to end. It takes that, is gone already, or does not answer.
    async fn ask_to_end(&self, cluster: &ClusterKey) -> Result<(), ProviderError> {
        let Some(host) = self.host(cluster).await? else { return Ok(()) };
        Ok(host.call::<()>(Request::End, ANSWER, "to begin its end").await?)
    }

    /// Starts a spare for an interpreter and says what is installed for it.
    async fn versions_of(
        &self,
        interpreter: PathBuf,
        caller: &CallerEnvironment,
    ) -> Result<SoftwareVersions, ProviderError> {
        let environment = variables::start_environment(caller);
        let key = SpareKey { interpreter, start_environment: variables::fingerprint(&environment) };
        let client = self.shared.spares.ensure(&key, &environment, Instant::now() + PREPARED).await?;
        Shared::trim_later(&Arc::downgrade(&self.shared));
        let for_what = format!("for {} to import Dask", key.interpreter.display());
        match client.call(Request::WaitReady, IMPORT, &for_what).await {
            Ok(Readiness::Ready { versions }) => Ok(versions),
            Ok(Readiness::Unusable { error }) => {
                self.shared.spares.discard(&key).await;
                Err(environment::unusable(&key.interpreter, &error))
            }
            Err(error) => {
                self.shared.spares.discard(&key).await;
                Err(error.into())
            }
        }
    }
}

impl Shared {
    fn finder(&self) -> Finder<'_> {
        Finder { state: &self.directories.state, machine: &self.machine, boot: &self.boot }
    }

    /// Ends, in a while, what was prepared and not used.
    fn trim_later(shared: &Weak<Self>) {
        let shared = Weak::clone(shared);
        tokio::spawn(async move {
            tokio::time::sleep(PREPARED + Duration::from_secs(1)).await;
            if let Some(shared) = shared.upgrade() {
                shared.spares.trim(|| shared.clusters.keys()).await;
            }
        });
    }

    /// Starts the spare for the next cluster of the same key, once this one has come to rest: importing Dask
    /// would take a processor from its nodes, which somebody waits for.
    fn replenish(
        shared: &Arc<Self>,
        mut changes: BoxStream<'static, ()>,
        key: SpareKey,
        environment: BTreeMap<String, String>,
    ) {
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            let rest = async { while let Ok(Some(())) = tokio::time::timeout(REST, changes.next()).await {} };
            // Late is no failure: a cluster that never rests does not want for a spare.
            let _ = tokio::time::timeout(LONGEST_START, rest).await;
            drop(changes);
            let wanted = || shared.clusters.keys().contains(&key);
            if let Err(error) = shared.spares.replenish(&key, &environment, wanted).await {
                tracing::warn!(%error, "cannot start a spare host");
            }
        });
    }
}

#[async_trait]
impl Provider for LocalProvider {
    fn capabilities(&self) -> Capabilities {
        // Forking takes milliseconds; importing what the user preloads may take long.
        Capabilities {
            start_deadline: Duration::from_mins(1),
            visibility_delay: Duration::ZERO,
            surrounding: Surrounding::CallersEnvironment,
            idle_period: self.idle_period,
            look_interval: Duration::ZERO,
            record_copies: RecordCopies::NotKept,
            way_in: WayIn::Open,
        }
    }

    async fn prepare(
        &self,
        cluster: &ComputeCluster,
        caller: &Caller,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Prepared, ProviderError> {
        environment::check_secrets(cluster, &caller.environment)?;
        let resolved = environment::resolve(cluster, caller, &self.shared.directories, progress).await?;
        progress(format!("starting {}", resolved.interpreter.display()));
        let versions = self.versions_of(resolved.interpreter.clone(), &caller.environment).await?;
        Ok(Prepared {
            cluster_environment: resolved.environment,
            interpreter: Some(Interpreter { path: resolved.interpreter, versions }),
        })
    }

    async fn observe(&self, cluster: &ClusterKey) -> Result<Observed, ProviderError> {
        let Some(host) = self.host(cluster).await? else { return Ok(observe::absent()) };
        match host.call::<Vec<HostNode>>(Request::Observe, ANSWER, "for the state of its nodes").await {
            Ok(nodes) => Ok(observe::present(nodes)),
            // It may have ended just now; then that is the answer.
            Err(_) if self.shared.finder().host_of(&cluster.uid)?.is_none() => Ok(observe::absent()),
            Err(error) => Err(error.into()),
        }
    }

    async fn ensure_anchor(&self, request: &AnchorRequest) -> Result<(), ProviderError> {
        let cluster = &request.cluster;
        if self.host(cluster).await?.is_some() {
            return Ok(());
        }
        let Some(interpreter) = &request.interpreter else {
            let message = format!("cluster {} has no interpreter", cluster.name);
            return Err(ProviderError::new(ErrorKind::Invalid, message));
        };
        // A host that died left processes and spilled data; nobody needs them from here on.
        if let Err(error) = leftovers::remove_dead(&self.shared.finder(), Some(cluster)).await {
            tracing::warn!(cluster = %cluster.name, "cannot remove what an earlier host left: {error}");
        }
        let environment = variables::start_environment(&request.environment);
        let key = SpareKey {
            interpreter: interpreter.path.clone(),
            start_environment: variables::fingerprint(&environment),
        };
        let claim = build::claim(&self.shared.directories, request);
        let spare = self.shared.spares.take(&key, &environment).await?;
        let claimed =
            spare.client.call::<()>(Request::Claim(Box::new(claim)), ANSWER, "to become a cluster's").await;
        if let Err(error) = claimed {
            self.shared.spares.end(spare).await;
            // Somebody else may have been first; the cluster then has a host, and that is what counts.
            return match self.host(cluster).await? {
                Some(_) => Ok(()),
                None => Err(error.into()),
            };
        }
        self.shared.clusters.entry(&cluster.uid).connected(spare.client, key.clone()).await;
        Shared::replenish(&self.shared, self.watch(cluster), key, environment);
        Ok(())
    }

    async fn ensure_nodes(&self, request: &NodesRequest) -> Result<Vec<NodeFailure>, ProviderError> {
        let host = self.existing_host(&request.cluster).await?;
        let nodes = request.nodes.iter().map(build::launch).collect();
        let refusals: Vec<Refusal> = host.call(Request::Launch { nodes }, ANSWER, "to take nodes in").await?;
        Ok(refusals
            .into_iter()
            .map(|Refusal { node, failure }| NodeFailure {
                node,
                error: ProviderError::new(failure.kind, failure.message),
            })
            .collect())
    }

    async fn remove_nodes(
        &self,
        cluster: &ClusterKey,
        nodes: &[NodeName],
        how: Stop,
    ) -> Result<(), ProviderError> {
        // Without a host there are no nodes.
        let Some(host) = self.host(cluster).await? else { return Ok(()) };
        let request = Request::Remove { nodes: nodes.to_vec(), how: how.into() };
        host.call::<()>(request, ANSWER, "to end nodes").await.map_err(ProviderError::from)
    }

    async fn remove_anchor(&self, cluster: &ClusterKey) -> Result<Removal, ProviderError> {
        let finder = self.shared.finder();
        if let Some((host_paths, record)) = finder.host_of(&cluster.uid)? {
            let asked = Instant::now();
            let taken = self.ask_to_end(cluster).await;
            let rest = LONGEST_END.saturating_sub(asked.elapsed());
            if !wait_until_free(&host_paths.lock, rest).await {
                if taken.is_ok() {
                    return Ok(Removal::Ending);
                }
                leftovers::kill_host(&record, &host_paths).await?;
            }
        }
        leftovers::remove_dead(&finder, Some(cluster)).await?;
        let logs = paths::logs(&self.shared.directories.state, &cluster.name);
        os::remove_all(&logs)
            .map_err(|error| ProviderError::unsure(format!("cannot remove {}: {error}", logs.display())))?;
        self.shared.clusters.forget(&cluster.uid);
        self.shared.spares.trim(|| self.shared.clusters.keys()).await;
        Ok(Removal::Gone)
    }

    async fn list_managed(&self) -> Result<Vec<Managed>, ProviderError> {
        let finder = self.shared.finder();
        // Spares of a controller that is gone were nobody's; there is nothing to decide about them.
        leftovers::end_old_spares(&finder, self.shared.began.elapsed()).await?;
        leftovers::remove_dead(&finder, None).await?;
        leftovers::list(&finder)
    }

    async fn sweep(&self, managed: &Managed) -> Result<(), ProviderError> {
        let invalid =
            |error: &dyn std::fmt::Display| ProviderError::new(ErrorKind::Invalid, error.to_string());
        let id = managed.id.parse().map_err(|error: IdError| invalid(&error))?;
        let host_paths = paths::host(&self.shared.directories.state, &id);
        let finder = self.shared.finder();
        if let Some((found, record)) = finder.host_of(&managed.cluster)?
            && record.id == id
        {
            leftovers::end_host(&record, &found).await?;
        }
        leftovers::remove_remains(&self.shared.directories.state, &id, &host_paths).await?;
        self.shared.clusters.forget(&managed.cluster);
        Ok(())
    }

    fn watch(&self, cluster: &ClusterKey) -> BoxStream<'static, ()> {
        let changes = self.shared.clusters.entry(&cluster.uid).changes();
        WatchStream::from_changes(changes).map(|_| ()).boxed()
    }

    async fn logs(
        &self,
        cluster: &ClusterKey,
        node: &NodeName,
        request: LogRequest,
    ) -> Result<LogStream, ProviderError> {
        let directory = paths::logs(&self.shared.directories.state, &cluster.name);
        let (provider, of, name) = (self.clone(), cluster.clone(), node.clone());
        let is_alive = move || {
            let (provider, of, name) = (provider.clone(), of.clone(), name.clone());
            async move {
                let observed = provider.observe(&of).await;
                // While nobody can tell, the log goes on.
                observed.map_or(true, |seen| {
                    seen.nodes.iter().any(|node| node.id.name() == name && node.is_alive())
                })
            }
        };
        logs::read(&directory, node, request, self.watch(cluster), is_alive)
    }

    async fn logged_nodes(&self, cluster: &ClusterKey) -> Result<Vec<NodeName>, ProviderError> {
        logs::nodes(&paths::logs(&self.shared.directories.state, &cluster.name))
    }
}
