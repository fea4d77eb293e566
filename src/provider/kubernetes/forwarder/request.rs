//! What a forwarder is told to do.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::status::Door;
use crate::model::ClusterKey;

/// What a forwarder connects, for its whole life. Holds no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardRequest {
    /// Which cluster.
    pub cluster: ClusterKey,
    /// Where that cluster is.
    pub api: ApiTarget,
    /// The label selector that finds the scheduler's pods, and no others.
    pub scheduler: String,
    /// The `ConfigMap` with which the forwarder ends. It carries the label `crewcall.dev/cluster-uid`.
    pub anchor: String,
    /// The port of the scheduler in its pod.
    pub comm_port: u16,
    /// The port of the dashboard in the scheduler's pod.
    pub dashboard_port: u16,
    /// How that is spoken to.
    pub dashboard: DashboardAccess,
}

/// The label of everything of a cluster that says which cluster it is.
pub const CLUSTER_UID_LABEL: &str = "crewcall.dev/cluster-uid";

/// The label of a node's pod that says how often its slot had been filled before.
pub const INCARNATION_LABEL: &str = "crewcall.dev/incarnation";

impl ForwardRequest {
    /// The port in the scheduler's pod that is behind a local port.
    pub fn remote_port(&self, door: Door) -> u16 {
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

/// How the dashboard in the pod is spoken to.
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
