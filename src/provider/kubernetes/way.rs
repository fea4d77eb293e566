//! How a scheduler is reached from this machine.

use super::names::COMM_PORT;
#[cfg(target_os = "linux")]
use super::names::{self, DASHBOARD_PORT, label};
#[cfg(target_os = "linux")]
use crate::provider::forwarder::{ApiTarget, Destination, PodTarget, Ports};
use crate::{
    model::{CallerEnvironment, ClusterKey, KubernetesContext},
    provider::{Forwarding, ProviderError},
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

/// The scheme of an address of Dask's.
pub(super) fn scheme(address: &str) -> &str {
    address.split_once("://").map_or("tls", |(scheme, _)| scheme)
}

/// The way through a forwarder to a scheduler of that address.
#[cfg(target_os = "linux")]
pub fn through(address: &str, ports: Ports) -> Way {
    Way {
        reach: format!("{}://127.0.0.1:{}", scheme(address), ports.comm),
        dashboard: Some(format!("http://127.0.0.1:{}/status", ports.dashboard)),
    }
}

/// The way through the cluster's forwarder, which is started if there is none.
#[cfg(target_os = "linux")]
pub async fn forwarded(
    forwarding: &Forwarding,
    cluster: &ClusterKey,
    context: &KubernetesContext,
    lent: &CallerEnvironment,
    address: &str,
) -> Result<Way, ProviderError> {
    let destination = Destination::Pod(PodTarget {
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
    });
    Ok(through(address, forwarding.ports(cluster, destination, address, lent).await?))
}

/// There is none.
#[cfg(not(target_os = "linux"))]
pub async fn forwarded(
    forwarding: &Forwarding,
    _: &ClusterKey,
    _: &KubernetesContext,
    _: &CallerEnvironment,
    _: &str,
) -> Result<Way, ProviderError> {
    match *forwarding {}
}
