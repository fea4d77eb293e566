//! How a scheduler is reached from this machine.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::names::COMM_PORT;
#[cfg(target_os = "linux")]
use super::{
    forwarder::{ApiTarget, DashboardAccess, ForwardRequest, Forwarders, TlsFiles},
    names::{self, DASHBOARD_PORT, label},
};
use crate::{
    model::{BootId, ClusterKey, ClusterUid, ErrorKind, KubernetesContext, MachineId},
    provider::ProviderError,
};

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

fn scheme(address: &str) -> &str {
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
        _: &str,
    ) -> Result<Way, ProviderError> {
        match *self {}
    }

    pub(super) async fn end(&self, _: &ClusterUid) -> Result<(), ProviderError> {
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
        let ports = self.forwarders.ensure(&request, &self.environment).await?;
        Ok(through(address, ports))
    }

    /// Ends the cluster's forwarder.
    pub(super) async fn end(&self, cluster: &ClusterUid) -> Result<(), ProviderError> {
        self.forwarders.end(cluster).await
    }
}
