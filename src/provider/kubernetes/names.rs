//! What Kubernetes objects are called, and by which labels they are found again. Pure.

use std::collections::BTreeMap;

use crate::{
    model::{ClusterKey, ClusterUid, Incarnation, NodeId, Role, Slot},
    spec::{ClusterName, Namespace},
};

/// Who manages the fields that we set, by server-side apply's book-keeping.
pub const FIELD_MANAGER: &str = "crewcall";

pub use crate::model::label;

/// The annotation that holds the fingerprint of a pod's template.
pub const TEMPLATE_ANNOTATION: &str = "crewcall.dev/template";

/// The annotation of a scheduler that holds the address under which workers reach it.
pub const ADDRESS_ANNOTATION: &str = "crewcall.dev/address";

/// The annotation of a scheduler whose Service is open to the outside: the Service's type.
pub const ENDPOINT_ANNOTATION: &str = "crewcall.dev/endpoint";

/// The container that runs Dask.
pub const CONTAINER: &str = "dask";

/// Where the scheduler listens for Dask's protocol.
pub const COMM_PORT: u16 = 8786;

/// Where the scheduler serves its dashboard.
pub const DASHBOARD_PORT: u16 = 8787;

/// The anchor: a `ConfigMap` with what every pod mounts. The network policy has the same name.
pub fn anchor(cluster: &ClusterName) -> String {
    format!("{cluster}-crewcall")
}

/// The Service of the scheduler.
pub fn service(cluster: &ClusterName) -> String {
    format!("{cluster}-scheduler")
}

/// The network policy that lets clients in, beside the cluster's own pods.
pub fn clients_policy(cluster: &ClusterName) -> String {
    format!("{cluster}-clients")
}

/// The Secret with the certificate of a role.
pub fn tls_secret(cluster: &ClusterName, role: Role) -> String {
    format!("{cluster}-{}-tls", role_name(role))
}

/// The Secret with the values of secret environment variables.
pub fn environment_secret(cluster: &ClusterName) -> String {
    format!("{cluster}-environment")
}

/// The Secret with what clients show, of a cluster that an operator looks after; the Role that lets read it has the
/// same name.
pub fn client_secret(cluster: &ClusterName) -> String {
    format!("{cluster}-client")
}

/// Where workers find the scheduler: `HOST:PORT`.
pub fn scheduler_host(cluster: &ClusterName, namespace: &Namespace) -> String {
    format!("{}.{namespace}.svc:{COMM_PORT}", service(cluster))
}

/// A role as labels have it.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Scheduler => "scheduler",
        Role::Worker => "worker",
    }
}

/// What selects all that belongs to a cluster, and nothing else: its uid is unique for ever.
pub fn selector(cluster: &ClusterUid) -> String {
    format!("{}={cluster}", label::CLUSTER_UID)
}

/// What selects all that an installation has made.
pub fn installation_selector(installation: &str) -> String {
    format!("{}={installation}", label::INSTALLATION)
}

/// Labels of every object of a cluster.
pub fn labels(cluster: &ClusterKey, installation: &str) -> BTreeMap<String, String> {
    [
        (label::MANAGED_BY, FIELD_MANAGER),
        (label::NAME, FIELD_MANAGER),
        (label::INSTANCE, cluster.name.as_str()),
        (label::CLUSTER, cluster.name.as_str()),
        (label::CLUSTER_UID, cluster.uid.as_str()),
        (label::INSTALLATION, installation),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Labels that a pod has beside those.
pub fn node_labels(node: &NodeId) -> BTreeMap<String, String> {
    [
        (label::ROLE, role_name(node.role()).to_owned()),
        (label::GROUP, node.group.to_string()),
        (label::SLOT, node.slot.to_string()),
        (label::INCARNATION, node.incarnation.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Who a pod is, by its labels.
pub fn node_of(cluster: &ClusterName, labels: &BTreeMap<String, String>) -> Option<NodeId> {
    Some(NodeId {
        cluster: cluster.clone(),
        group: labels.get(label::GROUP)?.parse().ok()?,
        slot: Slot(labels.get(label::SLOT)?.parse().ok()?),
        incarnation: Incarnation(labels.get(label::INCARNATION)?.parse().ok()?),
        instance: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_known_again_by_its_labels() {
        let cluster = ClusterKey { uid: ClusterUid::from_random(7), name: "demo".parse().unwrap() };
        let node = NodeId {
            cluster: cluster.name.clone(),
            group: "big-1".parse().unwrap(),
            slot: Slot(12),
            incarnation: Incarnation(3),
            instance: None,
        };
        let mut labels = labels(&cluster, "here");
        assert_eq!(node_of(&cluster.name, &labels), None);
        labels.extend(node_labels(&node));
        assert_eq!(node_of(&cluster.name, &labels), Some(node));
    }

    #[test]
    fn no_name_is_longer_than_kubernetes_allows() {
        let longest: ClusterName = "a".repeat(ClusterName::MAX_LENGTH).parse().unwrap();
        let names = [
            anchor(&longest),
            service(&longest),
            clients_policy(&longest),
            tls_secret(&longest, Role::Scheduler),
            environment_secret(&longest),
        ];
        assert!(names.iter().all(|name| name.len() <= 63), "{names:?}");
    }
}
