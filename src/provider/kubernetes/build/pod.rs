//! The pod of one node.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{
    super::names::{
        self, ADDRESS_ANNOTATION, COMM_PORT, CONTAINER, DASHBOARD_PORT, ENDPOINT_ANNOTATION,
        TEMPLATE_ANNOTATION,
    },
    Belonging,
    cluster::FILES,
    template,
};
use crate::{
    engine::{
        Launch,
        dask::{DaskCommand, Surface, Transport, command, python},
    },
    model::Role,
    provider::NodeRequest,
    spec::{ComputeCluster, Cpu, EndpointKind, EnvironmentSpec, Memory},
};

/// The user that pods run as, unless the document says otherwise: `restricted` wants any but root.
const USER: u32 = 1000;

/// A pod may take so much longer than its drain before it is killed.
const BEYOND_DRAIN: Duration = Duration::from_secs(5);

/// How long a scheduler may take to close its connections.
const SCHEDULER_GRACE: Duration = Duration::from_secs(10);

/// How often a scheduler is asked whether it serves; one with much to do may be late a few times.
const PROBE_PERIOD: Duration = Duration::from_secs(5);
const PROBE_TRIES: u32 = 6;

/// How long it may take to answer.
const PROBE_ANSWER: Duration = Duration::from_secs(5);

/// Keeps autoscalers from taking the scheduler's Kubernetes node away: all results would be lost.
const STAY: [(&str, &str); 2] =
    [("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true")];

/// A node as a pod.
pub fn pod(of: Belonging<'_>, request: &NodeRequest) -> Value {
    let Launch::Dask(launch) = &*request.launch;
    let started = command(launch, &surface(of.document));
    let mut metadata = of.metadata(request.id.name().as_str(), names::node_labels(&request.id));
    if let Some(fields) = metadata.as_object_mut() {
        fields.insert("annotations".to_owned(), json!(annotations(of, request)));
    }
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": pod_spec(of, request, &started),
    });
    template::apply(&of.document.spec.pod_template(&request.id.group), &mut pod);
    pod
}

fn annotations(of: Belonging<'_>, request: &NodeRequest) -> BTreeMap<&'static str, String> {
    let mut annotations = BTreeMap::from([(TEMPLATE_ANNOTATION, request.template.as_str().to_owned())]);
    if request.role() == Role::Scheduler {
        let host = names::scheduler_host(&of.cluster.name, of.namespace);
        let address = format!("{}://{host}", transport(of.document).scheme());
        annotations.insert(ADDRESS_ANNOTATION, address);
        let endpoint = of.document.spec.kubernetes().map_or_else(EndpointKind::default, |spec| spec.endpoint);
        if endpoint != EndpointKind::ClusterIP {
            annotations.insert(ENDPOINT_ANNOTATION, endpoint.as_str().to_owned());
        }
        annotations.extend(STAY.map(|(key, value)| (key, value.to_owned())));
    }
    annotations
}

fn transport(document: &ComputeCluster) -> Transport {
    if document.spec.tls { Transport::Tls } else { Transport::Plain }
}

/// Where a pod has what it needs.
fn surface(document: &ComputeCluster) -> Surface {
    Surface {
        python: "python".to_owned(),
        preload: format!("{FILES}/{}", python::PRELOAD),
        configuration: format!("{FILES}/dask.yaml"),
        port: COMM_PORT,
        dashboard: format!("0.0.0.0:{DASHBOARD_PORT}"),
        transport: transport(document),
    }
}

fn pod_spec(of: Belonging<'_>, request: &NodeRequest, started: &DaskCommand) -> Value {
    let role = request.role();
    let spec = &of.document.spec;
    let grace = match role {
        Role::Scheduler => SCHEDULER_GRACE,
        Role::Worker => spec.drain_grace() + BEYOND_DRAIN,
    };
    let mut pod = json!({
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": grace.as_secs(),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        // The first process of a container gets no signal that it has no handler for, as Python before
        // Dask has set its own.
        "shareProcessNamespace": true,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [container(of, request, started)],
        "volumes": [files(of, role), { "name": "crewcall-work", "emptyDir": {} }],
    });
    if let (Some(limit), Some(fields)) = (spec.max_lifetime(), pod.as_object_mut()) {
        fields.insert("activeDeadlineSeconds".to_owned(), json!(limit.as_secs().max(1)));
    }
    pod
}

fn container(of: Belonging<'_>, request: &NodeRequest, started: &DaskCommand) -> Value {
    let mut container = json!({
        "name": CONTAINER,
        "image": image(of.document),
        "imagePullPolicy": "IfNotPresent",
        "command": started.argv,
        "env": environment(of, started),
        "resources": resources(of.document, request),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            { "name": "crewcall-files", "mountPath": FILES, "readOnly": true },
            { "name": "crewcall-work", "mountPath": "/tmp" },
        ],
    });
    if let (Role::Scheduler, Some(fields)) = (request.role(), container.as_object_mut()) {
        let ports = json!([
            { "name": "comm", "containerPort": COMM_PORT, "protocol": "TCP" },
            { "name": "dashboard", "containerPort": DASHBOARD_PORT, "protocol": "TCP" },
        ]);
        fields.insert("ports".to_owned(), ports);
        // No startup or liveness probe: those would end one that computes, for the sake of its dashboard.
        fields.insert("readinessProbe".to_owned(), readiness(of.document));
    }
    container
}

/// What tells whether a scheduler serves. The dashboard's port, because a connection to the other that says nothing
/// is an error in the scheduler's log. With TLS nobody gets an answer who has no certificate of the cluster.
fn readiness(document: &ComputeCluster) -> Value {
    let (how, what) = match transport(document) {
        Transport::Tls => ("tcpSocket", json!({ "port": DASHBOARD_PORT })),
        Transport::Plain => ("httpGet", json!({ "path": "/health", "port": DASHBOARD_PORT })),
    };
    json!({
        how: what,
        "periodSeconds": PROBE_PERIOD.as_secs(),
        "failureThreshold": PROBE_TRIES,
        "timeoutSeconds": PROBE_ANSWER.as_secs(),
    })
}

/// The image; empty where there is none, which `prepare` does not let happen.
fn image(document: &ComputeCluster) -> &str {
    match &document.spec.environment {
        Some(EnvironmentSpec::Image(image)) => image,
        _ => "",
    }
}

fn environment(of: Belonging<'_>, started: &DaskCommand) -> Vec<Value> {
    // Images have no account for a user of that number; Python wants a name and a home for it.
    let mut plain =
        BTreeMap::from([("HOME".to_owned(), "/tmp".to_owned()), ("USER".to_owned(), "dask".to_owned())]);
    plain.extend(started.environment.clone());
    let plain = plain.into_iter().filter(|(name, _)| !started.secret_environment.contains_key(name));
    let secret = names::environment_secret(&of.cluster.name);
    let secrets = started.secret_environment.iter().map(|(name, of_caller)| {
        json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": secret, "key": of_caller } } })
    });
    plain.map(|(name, value)| json!({ "name": name, "value": escaped(&value) })).chain(secrets).collect()
}

/// Kubernetes replaces `$(NAME)` in values; two dollars stand for one.
fn escaped(value: &str) -> String {
    value.replace("$(", "$$(")
}

fn resources(document: &ComputeCluster, request: &NodeRequest) -> Value {
    let spec = &document.spec;
    let (cpu, memory) = if request.id.group.is_scheduler() {
        (spec.scheduler.cpu, spec.scheduler.memory)
    } else {
        let group = spec.group(&request.id.group).cloned().unwrap_or_default();
        (group.cpu.or_else(|| Cpu::from_millis(group.threads().saturating_mul(1000))), group.memory)
    };
    let cpu = cpu.map(|cpu| ("cpu", cpu.to_string()));
    let memory = memory.map(|memory: Memory| ("memory", memory.bytes().to_string()));
    let requests: BTreeMap<_, _> = cpu.into_iter().chain(memory.clone()).collect();
    // A limit of processors would only slow workers down; one of memory keeps them from taking others'.
    let limits: BTreeMap<_, _> = memory.into_iter().collect();
    json!({ "requests": requests, "limits": limits })
}

/// The files of a pod in one volume; the key is for the pod's own user.
fn files(of: Belonging<'_>, role: Role) -> Value {
    let mut sources = vec![json!({ "configMap": { "name": names::anchor(&of.cluster.name) } })];
    if of.document.spec.tls {
        let items =
            ["ca.crt", "tls.crt", "tls.key"].map(|key| json!({ "key": key, "path": format!("tls/{key}") }));
        let secret = names::tls_secret(&of.cluster.name, role);
        sources.push(json!({ "secret": { "name": secret, "items": items } }));
    }
    json!({ "name": "crewcall-files", "projected": { "defaultMode": 0o440, "sources": sources } })
}
