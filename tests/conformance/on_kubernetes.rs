//! The stage of the Kubernetes provider: real pods in a namespace of their own.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use crewcall::{
    engine::{Engine as _, dask::DaskEngine},
    model::{
        CallerContext, CallerEnvironment, ClusterKey, Incarnation, KubernetesContext, NodeId, NodeName, Slot,
        TemplateHash,
    },
    provider::{
        AnchorRequest, NodeRequest, Provider,
        kubernetes::{ContextChoice, KubernetesProvider, resolve},
    },
    security::{CertificateRole, ClusterAuthority, Identity},
    spec::{ComputeCluster, GroupName},
};
use jiff::Timestamp;

use crate::{kubectl::Kubectl, stage::Stage};

/// A namespace, which goes with the last installation in it.
struct Namespace(Kubectl);

/// One installation in a namespace.
pub struct KubernetesStage {
    namespace: Arc<Namespace>,
    context: KubernetesContext,
    state: tempfile::TempDir,
    number: u32,
}

impl Namespace {
    fn new(name: String, kubeconfig: PathBuf) -> Arc<Self> {
        let kubectl = Kubectl { kubeconfig, namespace: name };
        kubectl.done(&["create", "namespace", &kubectl.namespace], "");
        Arc::new(Self(kubectl))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let shown = self.0.done(&["get", "pods,services,secrets,configmaps", "-o", "wide"], "");
            eprintln!("{shown}{}", self.0.done(&["get", "events"], ""));
        }
        self.0.done(&["delete", "namespace", &self.0.namespace, "--wait=false"], "");
    }
}

fn document(cluster: &ClusterKey) -> ComputeCluster {
    let image = std::env::var("CREWCALL_TEST_IMAGE");
    let image = image.unwrap_or_else(|_| "ghcr.io/dask/dask:2026.8.0-py3.11".to_owned());
    let value = serde_json::json!({
        "apiVersion": "crewcall.dev/v1alpha1", "kind": "ComputeCluster",
        "metadata": {"name": cluster.name},
        "spec": {
            "provider": {"kubernetes": {}},
            "environment": {"image": image},
            "workers": {"cpu": "20m", "memory": "256Mi"},
        },
    });
    serde_json::from_value(value).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test has no clock of its own")]
fn now() -> Timestamp {
    Timestamp::now()
}

impl KubernetesStage {
    fn new(namespace: Arc<Namespace>, number: u32) -> Self {
        let kubeconfig = ("KUBECONFIG".to_owned(), namespace.0.kubeconfig.display().to_string());
        let choice = ContextChoice { context: None, namespace: Some(namespace.0.namespace.parse().unwrap()) };
        let context = resolve(&CallerEnvironment([kubeconfig].into()), Path::new("/"), &choice).unwrap();
        Self { namespace, context, state: tempfile::tempdir().unwrap(), number }
    }

    fn node(cluster: &ClusterKey, group: GroupName, slot: u32) -> NodeId {
        NodeId {
            cluster: cluster.name.clone(),
            group,
            slot: Slot(slot),
            incarnation: Incarnation(0),
            instance: None,
        }
    }

    /// One identity for all: these tests are about pods.
    fn identity(&self, cluster: &ClusterKey) -> Arc<Identity> {
        let path = self.state.path().join(format!("{}.identity", cluster.uid));
        if let Ok(text) = std::fs::read_to_string(&path) {
            return Arc::new(serde_json::from_str(&text).unwrap());
        }
        let authority =
            ClusterAuthority::new(&cluster.uid, std::time::Duration::from_hours(1), now()).unwrap();
        let identity = authority.issue(CertificateRole::Worker, &[]).unwrap();
        std::fs::write(&path, serde_json::to_string(&identity).unwrap()).unwrap();
        Arc::new(identity)
    }

    fn request(&self, cluster: &ClusterKey, id: NodeId, launch: crewcall::engine::Launch) -> NodeRequest {
        let identity = Some(self.identity(cluster));
        NodeRequest { id, template: TemplateHash::new("t1"), launch: Arc::new(launch), identity }
    }

    /// What selects the installation's objects.
    fn own(&self) -> String {
        let id = std::fs::read_to_string(self.state.path().join("installation")).unwrap_or_default();
        format!("crewcall.dev/installation={}", id.trim())
    }
}

#[async_trait]
impl Stage for KubernetesStage {
    fn set() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Some(kubeconfig) = std::env::var_os("CREWCALL_TEST_KUBECONFIG") else {
            // The stage `kubernetes` of `tests/run` has one.
            eprintln!("SKIPPED: CREWCALL_TEST_KUBECONFIG names no Kubernetes cluster for tests");
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("crewcall-promise-{}-{number}", std::process::id());
        Some(Self::new(Namespace::new(name, kubeconfig.into()), 0))
    }

    /// In the same namespace objects of the same name would be in the way.
    fn neighbour(&self) -> Box<dyn Stage> {
        let Kubectl { namespace, kubeconfig } = &self.namespace.0;
        let name = format!("{namespace}-n{}", self.number);
        Box::new(Self::new(Namespace::new(name, kubeconfig.clone()), self.number + 1))
    }

    fn provider(&self) -> Arc<dyn Provider> {
        let state = self.state.path().to_owned();
        Arc::new(KubernetesProvider::new(self.context.clone(), state, now, None))
    }

    fn anchor(&self, cluster: &ClusterKey) -> AnchorRequest {
        AnchorRequest {
            cluster: cluster.clone(),
            document: Arc::new(document(cluster)),
            interpreter: None,
            context: CallerContext::default(),
            environment: CallerEnvironment::default(),
        }
    }

    fn scheduler(&self, cluster: &ClusterKey) -> NodeRequest {
        let id = Self::node(cluster, GroupName::scheduler(), 0);
        let launch = DaskEngine::default().scheduler_launch(&document(cluster), &id);
        self.request(cluster, id, launch)
    }

    fn worker(&self, cluster: &ClusterKey, slot: u32, scheduler: &str) -> NodeRequest {
        let group = GroupName::workers();
        let id = Self::node(cluster, group.clone(), slot);
        let launch = DaskEngine::default().worker_launch(&document(cluster), &id, &group, scheduler);
        self.request(cluster, id, launch)
    }

    async fn kill(&self, _: &ClusterKey, _: &str, worker: &NodeName) {
        // With a shared process namespace Dask is not the first process of its pod.
        let kill = "import os, glob, signal\n\
                    for path in glob.glob('/proc/[0-9]*/cmdline'):\n\
                    \x20   pid = int(path.split('/')[2])\n\
                    \x20   if pid != os.getpid() and b'dask_worker' in open(path, 'rb').read():\n\
                    \x20       os.kill(pid, signal.SIGKILL)";
        let said = self.namespace.0.run(&["exec", worker.as_str(), "--", "python", "-c", kill], "");
        // The session may be killed with the container before it has ended.
        assert!(matches!(said.status.code(), Some(0 | 137)), "the worker cannot be killed: {}", said.err);
    }

    fn running(&self) -> usize {
        let started =
            "jsonpath={range .items[*]}{.status.containerStatuses[0].state.running.startedAt}{'\\n'}{end}";
        let running = self.namespace.0.done(&["get", "pods", "-l", &self.own(), "-o", started], "");
        running.lines().filter(|line| !line.is_empty()).count()
    }

    fn remains(&self) -> Vec<String> {
        let kinds = "pods,services,secrets,configmaps,networkpolicies";
        let named = self.namespace.0.done(&["get", kinds, "-l", &self.own(), "-o", "name"], "");
        named.lines().map(str::to_owned).collect()
    }
}
