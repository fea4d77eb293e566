//! What a table shows of a cluster.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ClusterView, GroupView};
use crate::{
    model::{ClusterUid, Phase, Spending},
    spec::{ClusterName, Namespace, ProviderKind},
};

/// The part of a [`ClusterView`] that a table shows: its size does not grow with the cluster's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSummary {
    /// Its name.
    pub name: ClusterName,
    /// What it is for its whole life.
    pub uid: ClusterUid,
    /// Where it runs.
    pub provider: ProviderKind,
    /// The namespace that it is in, where there are namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// The context of the kubeconfig that leads there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_context: Option<String>,
    /// Its state in one word.
    pub phase: Phase,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Where a client connects.
    pub endpoint: Option<String>,
    /// The link to the dashboard.
    pub dashboard: Option<String>,
    /// Its groups of workers.
    pub groups: Vec<GroupView>,
    /// Connected clients.
    pub clients: Option<u32>,
    /// The Python that its nodes run with.
    pub python: Option<PathBuf>,
    /// What it has cost, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spending: Option<Spending>,
}

impl From<&ClusterView> for ClusterSummary {
    fn from(view: &ClusterView) -> Self {
        let kubernetes = view.context.kubernetes.as_ref();
        Self {
            name: view.name.clone(),
            uid: view.uid.clone(),
            provider: view.provider,
            namespace: kubernetes.map(|context| context.namespace.clone()),
            kubernetes_context: kubernetes.and_then(|context| context.name()).map(str::to_owned),
            phase: view.phase,
            created_at: view.created_at,
            endpoint: view.endpoint.clone(),
            dashboard: view.dashboard.clone(),
            groups: view.groups.clone(),
            clients: view.clients,
            python: view.interpreter.as_ref().map(|python| python.path.clone()),
            spending: view.spending.clone(),
        }
    }
}
