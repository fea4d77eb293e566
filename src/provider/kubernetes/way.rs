//! How a scheduler is reached from this machine.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{sync::watch, task::JoinHandle};

use super::names::COMM_PORT;
#[cfg(target_os = "linux")]
use super::{
    forwarder::{
        ApiTarget, DashboardAccess, Door, ForwardRequest, Forwarders, Held, TlsFiles, board_changes,
    },
    names::{self, DASHBOARD_PORT, label},
};
use crate::{
    model::{
        BootId, CallerEnvironment, ClusterKey, ClusterUid, Cut, ErrorKind, KubernetesContext, MachineId,
        Passage,
    },
    provider::{Managed, ProviderError, Vitality},
};

/// How the ids of forwarders begin, among what is managed.
pub(super) const FORWARDER: &str = "forwarder:";

/// Where the controller and clients on its machine find a scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The address for Dask's protocol.
    pub reach: String,
    /// The link to the dashboard.
    pub dashboard: Option<String>,
}

impl Way {
    /// For whoever has a route to pods.
    pub fn direct(address: &str, ip: Option<&str>) -> Option<Self> {
        Some(Self { reach: format!("{}://{}:{COMM_PORT}", scheme(address), ip?), dashboard: None })
    }
}

/// The scheme of an address of Dask's.
pub(super) fn scheme(address: &str) -> &str {
    address.split_once("://").map_or("tls", |(scheme, _)| scheme)
}

/// The way through a forwarder to a scheduler of that address.
#[cfg(target_os = "linux")]
pub fn through(address: &str, ports: super::forwarder::Ports) -> Way {
    Way {
        reach: format!("{}://127.0.0.1:{}", scheme(address), ports.comm),
        dashboard: Some(format!("http://127.0.0.1:{}/status", ports.dashboard)),
    }
}

/// The files of the client's identity in a cluster: authority, certificate, key.
pub type TlsPathsOf = Arc<dyn Fn(&ClusterKey) -> Option<[PathBuf; 3]> + Send + Sync>;

/// How forwarders are made.
#[derive(Clone)]
#[cfg(target_os = "linux")]
pub struct Forwarding {
    forwarders: Forwarders,
    environment: Arc<BTreeMap<String, String>>,
    files: TlsPathsOf,
}

/// Forwarders are made on Linux only, so far.
#[cfg(not(target_os = "linux"))]
#[derive(Clone)]
pub enum Forwarding {}

#[cfg(not(target_os = "linux"))]
impl Forwarding {
    pub(super) async fn way(
        &self,
        _: &ClusterKey,
        _: &KubernetesContext,
        _: &CallerEnvironment,
        _: &str,
    ) -> Result<Way, ProviderError> {
        match *self {}
    }

    pub(super) async fn end(&self, _: &ClusterUid) -> Result<(), ProviderError> {
        match *self {}
    }

    pub(super) fn passage(&self, _: &ClusterUid) -> Passage {
        match *self {}
    }

    pub(super) fn listen(&self, _: &ClusterUid, _: watch::Sender<u64>) -> JoinHandle<()> {
        match *self {}
    }

    pub(super) fn managed(&self, _: &KubernetesContext, _: Timestamp) -> Result<Vec<Managed>, ProviderError> {
        match *self {}
    }
}

#[cfg(target_os = "linux")]
impl Forwarding {
    /// With this program, to be run as one; `environment` is all that those have.
    pub fn new(
        state: PathBuf,
        program: PathBuf,
        (machine, boot): (MachineId, BootId),
        environment: BTreeMap<String, String>,
        files: TlsPathsOf,
    ) -> Self {
        let forwarders = Forwarders::new(state, program, machine, boot);
        Self { forwarders, environment: Arc::new(environment), files }
    }

    /// The way through the cluster's forwarder, which is started if there is none.
    pub(super) async fn way(
        &self,
        cluster: &ClusterKey,
        context: &KubernetesContext,
        lent: &CallerEnvironment,
        address: &str,
    ) -> Result<Way, ProviderError> {
        let dashboard = if scheme(address) == "tls" {
            let Some([ca, cert, key]) = (self.files)(cluster) else {
                let message = format!("the certificates of cluster {} are not kept as files", cluster.name);
                return Err(ProviderError::new(ErrorKind::Invalid, message));
            };
            DashboardAccess::Tls(TlsFiles { ca, cert, key })
        } else {
            DashboardAccess::Plain
        };
        let request = ForwardRequest {
            cluster: cluster.clone(),
            api: ApiTarget {
                kubeconfig: context.kubeconfig.clone(),
                context: context.context.clone(),
                server: context.server.clone(),
                namespace: context.namespace.to_string(),
            },
            scheduler: format!("{},{}=scheduler", names::selector(&cluster.uid), label::ROLE),
            anchor: names::anchor(&cluster.name),
            comm_port: COMM_PORT,
            dashboard_port: DASHBOARD_PORT,
            dashboard,
        };
        let ports = self.forwarders.ensure(&request, &self.environment, lent).await?;
        Ok(through(address, ports))
    }

    /// What the cluster's forwarder has to say.
    pub(super) fn passage(&self, cluster: &ClusterUid) -> Passage {
        let status = match self.forwarders.status(cluster) {
            Ok(status) => status.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%cluster, "nobody knows what its forwarder says: {error}");
                return Passage::default();
            }
        };
        let cuts = status.cuts.into_iter().filter(|cut| cut.door == Door::Comm).map(|cut| Cut {
            at: cut.at,
            message: format!("a connection to the scheduler was cut: {}", cut.reason),
        });
        Passage { problem: status.problem.map(|problem| problem.message), cuts: cuts.collect() }
    }

    /// Tells whenever the cluster's forwarder has something new to say, for as long as there is one.
    pub(super) fn listen(&self, cluster: &ClusterUid, changed: watch::Sender<u64>) -> JoinHandle<()> {
        let (forwarding, cluster) = (self.clone(), cluster.clone());
        tokio::spawn(async move {
            let mut said = forwarding.passage(&cluster);
            let mut tell = || {
                let now = forwarding.passage(&cluster);
                if now != said {
                    said = now;
                    changed.send_modify(|n| *n = n.wrapping_add(1));
                }
            };
            if let Err(error) = board_changes(&forwarding.forwarders, &cluster, &mut tell).await {
                tracing::warn!(%cluster, "what its forwarder says is heard of late: {error}");
            }
        })
    }

    /// Forwarders to this API server, for garbage collection.
    pub(super) fn managed(
        &self,
        context: &KubernetesContext,
        now: Timestamp,
    ) -> Result<Vec<Managed>, ProviderError> {
        let held = self.forwarders.list()?;
        let here = |held: &Held| held.record.as_ref().is_none_or(|record| record.server == context.server);
        Ok(held.iter().filter(|held| here(held)).map(|held| self.one(held, now)).collect())
    }

    fn one(&self, held: &Held, now: Timestamp) -> Managed {
        let since = self.forwarders.since(&held.cluster).unwrap_or(now);
        let name = held.record.as_ref().map(|record| record.cluster.name.clone());
        let called = name.as_ref().map_or_else(|| held.cluster.to_string(), ToString::to_string);
        let (what, vitality) = if held.alive {
            ("the forwarder", Vitality::Alive)
        } else {
            ("what a forwarder left", Vitality::Dead)
        };
        Managed {
            cluster: held.cluster.clone(),
            name,
            id: format!("{FORWARDER}{}", held.cluster),
            description: format!("{what} of cluster {called} ({}) on this machine", held.cluster),
            age: Duration::try_from(now.duration_since(since)).unwrap_or_default(),
            vitality,
        }
    }

    /// Ends the cluster's forwarder.
    pub(super) async fn end(&self, cluster: &ClusterUid) -> Result<(), ProviderError> {
        self.forwarders.end(cluster).await
    }
}
