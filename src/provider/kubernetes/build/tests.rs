//! Rendered objects.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod, Secret, Service},
    networking::v1::NetworkPolicy,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    engine::{Engine as _, dask::DaskEngine},
    model::{ClusterKey, ClusterUid, Incarnation, NodeId, ObjectUid, Role, Slot, TemplateHash},
    provider::NodeRequest,
    security::{Identity, PrivateKeyPem},
    spec::{ComputeCluster, GroupName, load},
};

fn document(rest: &str) -> ComputeCluster {
    let text = format!(
        "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: demo, labels: {{team: blue}}}}\n\
         spec:\n  environment: {{image: 'ghcr.io/dask/dask:1'}}\n{rest}"
    );
    load("test", &text).unwrap().cluster
}

const PLAIN: &str = "  provider: {kubernetes: {}}\n";

struct Scene {
    cluster: ClusterKey,
    document: ComputeCluster,
}

impl Scene {
    fn new(rest: &str) -> Self {
        let cluster = ClusterKey { uid: ClusterUid::from_random(7), name: "demo".parse().unwrap() };
        Self { cluster, document: document(rest) }
    }

    fn of<'a>(&'a self, namespace: &'a crate::spec::Namespace) -> Belonging<'a> {
        Belonging {
            cluster: &self.cluster,
            installation: "0-1-2",
            document: &self.document,
            namespace,
            anchor: Some("a-b-c"),
            resource: None,
        }
    }

    fn node(&self, group: &GroupName) -> NodeRequest {
        let id = NodeId {
            cluster: self.cluster.name.clone(),
            group: group.clone(),
            slot: Slot(3),
            incarnation: Incarnation(1),
            instance: None,
        };
        let engine = DaskEngine::default();
        let launch = match id.role() {
            Role::Scheduler => engine.scheduler_launch(&self.document, &id),
            Role::Worker => {
                engine.worker_launch(&self.document, &id, group, "tls://demo-scheduler.ns.svc:8786")
            }
        };
        NodeRequest { id, template: TemplateHash::new("0123"), launch: Arc::new(launch), identity: None }
    }
}

fn yaml(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap()
}

/// What we write is what Kubernetes knows, no field more.
fn is_known<T: serde::de::DeserializeOwned + serde::Serialize>(value: &Value) {
    let known: T = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(known).unwrap(), *value);
}

#[test]
fn pods_of_a_plain_document() {
    let (scene, namespace) = (Scene::new(PLAIN), "ns".parse().unwrap());
    let scheduler = pod(scene.of(&namespace), &scene.node(&GroupName::scheduler()));
    let worker = pod(scene.of(&namespace), &scene.node(&GroupName::workers()));
    is_known::<Pod>(&scheduler);
    is_known::<Pod>(&worker);
    insta::assert_snapshot!("scheduler", yaml(&scheduler));
    insta::assert_snapshot!("worker", yaml(&worker));
}

#[test]
fn a_pod_has_the_limits_the_secrets_and_the_deadline_of_its_document() {
    let scene = Scene::new(
        "  provider: {kubernetes: {}}\n  maxLifetime: 2h\n  drainGrace: 40s\n  tls: false\n  \
         secretEnv: {TOKEN: MY_TOKEN}\n  workers: {cpu: 500m, memory: 1GiB, env: {A: 'x$(y)'}}\n",
    );
    let namespace = "ns".parse().unwrap();
    let pod = pod(scene.of(&namespace), &scene.node(&GroupName::workers()));
    is_known::<Pod>(&pod);
    let at = |path: &str| pod.pointer(path).unwrap().clone();
    assert_eq!(at("/spec/activeDeadlineSeconds"), 7200);
    assert_eq!(at("/spec/terminationGracePeriodSeconds"), 45);
    let resources = at("/spec/containers/0/resources").to_string();
    assert_eq!(
        resources,
        r#"{"limits":{"memory":"1073741824"},"requests":{"cpu":"500m","memory":"1073741824"}}"#
    );
    let environment = at("/spec/containers/0/env").to_string();
    assert!(environment.contains(r#"{"name":"A","value":"x$$(y)"}"#), "{environment}");
    assert!(
        environment.contains(r#""secretKeyRef":{"key":"MY_TOKEN","name":"demo-environment"}"#),
        "{environment}"
    );
    assert!(!pod.to_string().contains("-tls"), "without TLS there is no such Secret");
}

#[test]
fn objects_of_a_cluster() {
    let scene = Scene::new(
        "  provider: {kubernetes: {endpoint: LoadBalancer, serviceAnnotations: {a/b: c}, \
         networkPolicy: {clients: [{ipBlock: {cidr: 10.0.0.0/8}}]}}}\n",
    );
    let namespace = "ns".parse().unwrap();
    let of = scene.of(&namespace);
    let (service, policy, clients) = (service(of), network_policy(of).unwrap(), clients_policy(of).unwrap());
    is_known::<Service>(&service);
    is_known::<NetworkPolicy>(&policy);
    is_known::<NetworkPolicy>(&clients);
    is_known::<ConfigMap>(&anchor(of));
    insta::assert_snapshot!("objects", [&service, &policy, &clients].map(yaml).join("---\n"));
}

#[test]
fn the_operator_alone_reaches_a_cluster_from_another_namespace() {
    let (scene, namespace, resource) = (Scene::new(PLAIN), "ns".parse().unwrap(), ObjectUid::new("u"));
    assert_eq!(network_policy(scene.of(&namespace)).unwrap()["spec"]["ingress"][1], Value::Null);
    let of = Belonging { resource: Some(&resource), ..scene.of(&namespace) };
    let policy = network_policy(of).unwrap();
    is_known::<NetworkPolicy>(&policy);
    let operator = json!({
        "from": [{
            "namespaceSelector": {},
            "podSelector": { "matchLabels": {
                "app.kubernetes.io/part-of": "crewcall",
                "app.kubernetes.io/component": "operator",
            } },
        }],
        "ports": [{ "protocol": "TCP", "port": 8786 }],
    });
    assert_eq!(policy["spec"]["ingress"][1], operator);
}

#[test]
fn a_cluster_for_its_namespace_alone_lets_nobody_else_in() {
    let (scene, namespace) = (Scene::new(PLAIN), "ns".parse().unwrap());
    assert!(clients_policy(scene.of(&namespace)).is_none());
    let open = Scene::new("  provider: {kubernetes: {networkPolicy: {enabled: false}}}\n");
    assert!(network_policy(open.of(&namespace)).is_none() && clients_policy(open.of(&namespace)).is_none());
}

#[test]
fn a_secret_holds_the_role_s_own_key_and_nobody_else_s() {
    let (scene, namespace) = (Scene::new(PLAIN), "ns".parse().unwrap());
    let identity = Identity { ca: "CA".into(), cert: "CERT".into(), key: PrivateKeyPem::new("KEY".into()) };
    let secret = tls_secret(scene.of(&namespace), Role::Worker, &identity);
    is_known::<Secret>(&secret);
    assert_eq!(secret["metadata"]["name"], "demo-worker-tls");
    assert_eq!(secret["stringData"].to_string(), r#"{"ca.crt":"CA","tls.crt":"CERT","tls.key":"KEY"}"#);
}
