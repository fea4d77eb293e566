//! What a forwarder is told to do.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::status::Door;
use crate::model::{ClusterKey, Ec2Context, InstanceId};

/// What a forwarder connects, for its whole life. Holds no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardRequest {
    /// Which cluster.
    pub cluster: ClusterKey,
    /// Where its scheduler is.
    #[serde(flatten)]
    pub destination: Destination,
    /// How the dashboard is spoken to.
    pub dashboard: DashboardAccess,
}

impl ForwardRequest {
    /// What the record of its forwarder says of where that leads: the API server, or the service and the place in it.
    pub fn server(&self) -> &str {
        match &self.destination {
            Destination::Pod(target) => &target.api.server,
            Destination::Machine(target) => &target.place,
        }
    }

    /// The one scheduler that its forwarder leads to; `None`: to any that the cluster has.
    pub fn scheduler(&self) -> Option<String> {
        match &self.destination {
            Destination::Pod(_) => None,
            // Another machine may get the address of one that is gone.
            Destination::Machine(MachineTarget { address, session: Some(session), .. }) => {
                Some(format!("{address} on {}", session.instance))
            }
            Destination::Machine(MachineTarget { address, session: None, .. }) => Some(address.clone()),
        }
    }
}

/// Where a scheduler is. On the wire the fields of either, of which a pod's are those of the first release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Destination {
    /// In a pod.
    Pod(PodTarget),
    /// On a machine of its own.
    Machine(MachineTarget),
}

/// The newest pod of a scheduler, behind an API server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTarget {
    /// Where the cluster is.
    pub api: ApiTarget,
    /// The label selector that finds the scheduler's pods, and no others.
    pub scheduler: String,
    /// The `ConfigMap` with which the forwarder ends. It carries the label `crewcall.dev/cluster-uid`.
    pub anchor: String,
    /// The port of the scheduler in its pod.
    pub comm_port: u16,
    /// The port of the dashboard in the scheduler's pod.
    pub dashboard_port: u16,
}

/// A machine that is reached at one port. A forwarder for another scheduler is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineTarget {
    /// The scheduler's address, as Dask writes it.
    pub address: String,
    /// The service and the place in it where the machine is, to tell by whom it is looked after.
    pub place: String,
    /// The session through which it is reached; `None`: by its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionTarget>,
}

/// What sessions of AWS Systems Manager lead to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionTarget {
    /// The machine.
    pub instance: InstanceId,
    /// Its port.
    pub port: u16,
    /// Where it is, and whose credentials start sessions.
    pub context: Ec2Context,
}

impl PodTarget {
    /// The port in the scheduler's pod that is behind a local port.
    pub fn port(&self, door: Door) -> u16 {
        match door {
            Door::Comm => self.comm_port,
            Door::Dashboard => self.dashboard_port,
        }
    }
}

/// A namespace behind an API server, as kubectl finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiTarget {
    /// The files that are merged, the first of them having the last word. Absolute. None: this is a pod, and its
    /// service account is used.
    pub kubeconfig: Vec<PathBuf>,
    /// The context in them.
    pub context: String,
    /// The API server's address that this context must have, or nothing is said to it.
    pub server: String,
    /// The namespace.
    pub namespace: String,
}

/// How the dashboard is spoken to, whatever the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DashboardAccess {
    /// Over TLS with the client's certificate; the other side must be the cluster's scheduler.
    Tls(TlsFiles),
    /// Plainly: the cluster runs without TLS.
    Plain,
}

/// The files of an identity. Read anew for each connection, so that a renewed certificate is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsFiles {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_first_release_asks_for_is_understood() {
        let told = serde_json::json!({
            "cluster": {"uid": "0000000000000007", "name": "demo"},
            "api": {"kubeconfig": ["/home/ada/.kube/config"], "context": "lab", "server": "https://192.0.2.1:6443",
                    "namespace": "default"},
            "scheduler": "crewcall.dev/role=scheduler",
            "anchor": "demo-crewcall",
            "commPort": 8786,
            "dashboardPort": 8787,
            "dashboard": {"tls": {"ca": "/ca", "cert": "/cert", "key": "/key"}},
        });
        let request: ForwardRequest = serde_json::from_value(told.clone()).unwrap();
        assert!(matches!(request.destination, Destination::Pod(_)));
        assert_eq!((request.server(), request.scheduler()), ("https://192.0.2.1:6443", None));
        assert_eq!(serde_json::to_value(&request).unwrap(), told, "and it understands us");
    }

    #[test]
    fn a_machine_is_told_from_a_pod() {
        let address = "tls://203.0.113.9:8786".to_owned();
        let target =
            MachineTarget { address, place: "ec2://123456789012/us-east-1".to_owned(), session: None };
        let request = ForwardRequest {
            cluster: ClusterKey {
                uid: crate::model::ClusterUid::from_random(7),
                name: "demo".parse().unwrap(),
            },
            destination: Destination::Machine(target),
            dashboard: DashboardAccess::Plain,
        };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<ForwardRequest>(&text).unwrap(), request);
    }
}
