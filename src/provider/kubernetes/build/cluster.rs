//! The objects that a cluster has once: anchor, Service, Secrets, network policies.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::names::{self, COMM_PORT, DASHBOARD_PORT, label};
use crate::{
    engine::dask::{TlsPaths, configuration, python},
    model::{ClusterKey, ObjectUid, Role},
    security::Identity,
    spec::{ComputeCluster, EndpointKind, EngineSpec, KubernetesSpec, Namespace, NetworkPeer},
};

/// Where pods see what the anchor and their Secret hold.
pub const FILES: &str = "/etc/crewcall";

/// To whom an object belongs.
#[derive(Debug, Clone, Copy)]
pub struct Belonging<'a> {
    /// Which cluster.
    pub cluster: &'a ClusterKey,
    /// Whose cluster.
    pub installation: &'a str,
    /// What is wanted.
    pub document: &'a ComputeCluster,
    /// In which namespace.
    pub namespace: &'a Namespace,
    /// The anchor's uid; `None` for the anchor itself, and for what comes before it.
    pub anchor: Option<&'a str>,
    /// The custom resource that wants the cluster, if one does: it owns all of it, the anchor too.
    pub resource: Option<&'a ObjectUid>,
}

impl Belonging<'_> {
    /// The metadata of an object: the document's labels, ours over them, and the owner.
    pub(super) fn metadata(&self, name: &str, more: BTreeMap<String, String>) -> Value {
        let mut labels = self.document.metadata.labels.clone();
        labels.extend(more);
        labels.extend(names::labels(self.cluster, self.installation));
        let mut metadata = json!({ "name": name, "labels": labels });
        if let (Some(owner), Some(fields)) = (self.owner(), metadata.as_object_mut()) {
            fields.insert("ownerReferences".to_owned(), json!([owner]));
        }
        metadata
    }

    fn owner(&self) -> Option<Value> {
        match self.resource {
            Some(uid) => Some(reference(RESOURCE, self.cluster.name.as_str(), uid.as_str())),
            None => self.anchor.map(|uid| owner(self.cluster, uid)),
        }
    }

    fn plain(&self, name: &str) -> Value {
        self.metadata(name, BTreeMap::new())
    }
}

/// A reference to the anchor, with which Kubernetes removes what refers to it.
pub fn owner(cluster: &ClusterKey, anchor: &str) -> Value {
    reference(("v1", "ConfigMap"), &names::anchor(&cluster.name), anchor)
}

/// Version and kind of the custom resource.
pub const RESOURCE: (&str, &str) = ("crewcall.dev/v1alpha1", "ComputeCluster");

fn reference((version, kind): (&str, &str), name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": version,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": true,
        "blockOwnerDeletion": false,
    })
}

/// Where a pod's TLS files are.
pub fn tls_paths() -> TlsPaths {
    let path = |name| format!("{FILES}/tls/{name}");
    TlsPaths { ca: path("ca.crt"), cert: path("tls.crt"), key: path("tls.key") }
}

/// The anchor: the files that all pods mount.
pub fn anchor(of: Belonging<'_>) -> Value {
    let EngineSpec::Dask(dask) = &of.document.spec.engine;
    let paths = of.document.spec.tls.then(tls_paths);
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": of.plain(&names::anchor(&of.cluster.name)),
        "immutable": true,
        "data": {
            "dask.yaml": configuration(&dask.config, paths.as_ref()),
            python::PRELOAD: python::PRELOAD_TEXT,
        },
    })
}

fn settings(of: Belonging<'_>) -> KubernetesSpec {
    of.document.spec.kubernetes().cloned().unwrap_or_default()
}

fn scheduler_labels(of: Belonging<'_>) -> Value {
    json!({
        label::CLUSTER_UID: of.cluster.uid,
        label::ROLE: names::role_name(Role::Scheduler),
    })
}

/// The Service through which the scheduler is reached, whichever pod it is.
pub fn service(of: Belonging<'_>) -> Value {
    let settings = settings(of);
    let mut metadata = of.plain(&names::service(&of.cluster.name));
    if let (false, Some(fields)) = (settings.service_annotations.is_empty(), metadata.as_object_mut()) {
        fields.insert("annotations".to_owned(), json!(settings.service_annotations));
    }
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": settings.endpoint.as_str(),
            "selector": scheduler_labels(of),
            // Workers and the controller know by themselves whether the scheduler answers, and sooner.
            "publishNotReadyAddresses": true,
            "ports": [
                { "name": "comm", "protocol": "TCP", "port": COMM_PORT, "targetPort": COMM_PORT },
                {
                    "name": "dashboard",
                    "protocol": "TCP",
                    "port": DASHBOARD_PORT,
                    "targetPort": DASHBOARD_PORT,
                },
            ],
        },
    })
}

/// The Secret with what the pods of a role show each other. The authority's key is in none.
pub fn tls_secret(of: Belonging<'_>, role: Role, identity: &Identity) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": of.plain(&names::tls_secret(&of.cluster.name, role)),
        "type": "kubernetes.io/tls",
        "immutable": true,
        "stringData": {
            "ca.crt": identity.ca,
            "tls.crt": identity.cert,
            "tls.key": identity.key.expose(),
        },
    })
}

/// The Secret with values of secret environment variables, by the names that the caller has for them.
pub fn environment_secret(of: Belonging<'_>, values: &BTreeMap<String, String>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": of.plain(&names::environment_secret(&of.cluster.name)),
        "type": "Opaque",
        "immutable": true,
        "stringData": values,
    })
}

/// Lets the cluster's pods reach each other, the operator those of a custom resource, and nobody else.
pub fn network_policy(of: Belonging<'_>) -> Option<Value> {
    settings(of).network_policy.enabled.then(|| {
        let own = json!({ "matchLabels": { label::CLUSTER_UID: of.cluster.uid } });
        let mut ingress = vec![json!({ "from": [{ "podSelector": own }] })];
        if of.resource.is_some() {
            let [part, component] = [label::OPERATOR_PART, label::OPERATOR_COMPONENT];
            // In which namespace it is, only its installation knows; who it is, TLS says.
            ingress.push(json!({
                "from": [{
                    "namespaceSelector": {},
                    "podSelector": { "matchLabels": { part.0: part.1, component.0: component.1 } },
                }],
                "ports": [{ "protocol": "TCP", "port": COMM_PORT }],
            }));
        }
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": of.plain(&names::anchor(&of.cluster.name)),
            "spec": {
                "podSelector": own,
                "policyTypes": ["Ingress"],
                "ingress": ingress,
            },
        })
    })
}

/// Lets clients reach the scheduler: those of the document, or everybody where the Service is open to the
/// outside; who they are is for TLS to say.
pub fn clients_policy(of: Belonging<'_>) -> Option<Value> {
    let KubernetesSpec { endpoint, network_policy, .. } = settings(of);
    let open = endpoint != EndpointKind::ClusterIP;
    if !network_policy.enabled || (network_policy.clients.is_empty() && !open) {
        return None;
    }
    let mut rule = json!({
        "ports": [{ "protocol": "TCP", "port": COMM_PORT }, { "protocol": "TCP", "port": DASHBOARD_PORT }],
    });
    if let (false, Some(rule)) = (network_policy.clients.is_empty(), rule.as_object_mut()) {
        let peers: Vec<Value> = network_policy.clients.iter().map(peer).collect();
        rule.insert("from".to_owned(), json!(peers));
    }
    Some(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": of.plain(&names::clients_policy(&of.cluster.name)),
        "spec": {
            "podSelector": { "matchLabels": scheduler_labels(of) },
            "policyTypes": ["Ingress"],
            "ingress": [rule],
        },
    }))
}

fn peer(peer: &NetworkPeer) -> Value {
    json!(peer)
}
