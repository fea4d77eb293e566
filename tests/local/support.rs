//! A local provider on directories of its own, and what tests ask of it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use crewcall::{
    engine::{
        Launch,
        dask::{DaskLaunch, DaskRole, Nanny, SchedulerArguments, WorkerArguments},
    },
    model::{
        CallerContext, CallerEnvironment, ClusterKey, ClusterUid, Incarnation, Interpreter, NodeId,
        NodeState, Observed, Slot, SoftwareVersions, TemplateHash,
    },
    provider::{
        AnchorRequest, Caller, Directories, NodeRequest, NodesRequest, Provider, ProviderError, Removal,
        local::{LocalProvider, boot_id, machine_id},
    },
    security::{CertificateRole, ClusterAuthority, Identity, PrivateKeyPem},
    spec::{ComputeCluster, EnvironmentSpec},
};
use tempfile::TempDir;

pub use crate::observing::{PATIENCE, until};

/// The Python to test with; says so loudly when there is none.
pub fn python() -> Option<PathBuf> {
    let path = std::env::var_os("CREWCALL_TEST_PYTHON").map(PathBuf::from);
    if path.is_none() {
        eprintln!("SKIPPED: CREWCALL_TEST_PYTHON does not name a Python that has distributed");
    }
    path
}

/// Directories of one installation; everything that was started from them ends with it.
pub struct World {
    pub root: TempDir,
    pub python: PathBuf,
    /// More of the caller's environment.
    pub variables: BTreeMap<String, String>,
}

impl World {
    pub fn new(python: PathBuf) -> Self {
        Self {
            root: tempfile::Builder::new().prefix("cw-").tempdir().unwrap(),
            python,
            variables: BTreeMap::new(),
        }
    }

    pub fn directories(&self) -> Directories {
        let at = |name: &str| self.root.path().join(name);
        Directories { state: at("state"), runtime: at("run"), cache: at("cache") }
    }

    pub fn provider(&self) -> LocalProvider {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_crewcall"));
        LocalProvider::new(self.directories(), program, machine_id(), boot_id().unwrap())
    }

    pub fn environment(&self) -> CallerEnvironment {
        let mut variables = self.variables.clone();
        for name in ["PATH", "HOME"] {
            variables.insert(name.to_owned(), std::env::var(name).unwrap_or_default());
        }
        let scratch = self.root.path().join("tmp");
        fs::create_dir_all(&scratch).unwrap();
        variables.insert("TMPDIR".to_owned(), scratch.display().to_string());
        variables.insert("MINE".to_owned(), "caller".to_owned());
        CallerEnvironment(variables)
    }

    pub fn caller(&self) -> Caller {
        let context = CallerContext {
            working_directory: self.root.path().to_owned(),
            interpreter: Some(Interpreter {
                path: self.python.clone(),
                versions: SoftwareVersions::default(),
            }),
            document_directory: self.root.path().to_owned(),
            ..CallerContext::default()
        };
        Caller { context, environment: self.environment() }
    }

    pub async fn prepare(
        &self,
        provider: &LocalProvider,
        environment: Option<EnvironmentSpec>,
    ) -> Result<Interpreter, ProviderError> {
        let mut document = document("demo");
        document.spec.environment = environment;
        let prepared = provider.prepare(&document, &self.caller(), &|step| eprintln!("{step}")).await?;
        Ok(prepared.interpreter.unwrap())
    }

    pub fn anchor(&self, cluster: &ClusterKey) -> AnchorRequest {
        let caller = self.caller();
        AnchorRequest {
            cluster: cluster.clone(),
            document: Arc::new(document("demo")),
            interpreter: Some(Interpreter {
                path: self.python.clone(),
                versions: SoftwareVersions::default(),
            }),
            context: caller.context,
            environment: caller.environment,
        }
    }

    /// A cluster's host with its scheduler, up and listening; returns the scheduler's address.
    pub async fn scheduler(&self, provider: &LocalProvider, cluster: &ClusterKey) -> String {
        provider.ensure_anchor(&self.anchor(cluster)).await.unwrap();
        let request = nodes(cluster, vec![scheduler(cluster, self.identity(cluster))]);
        assert!(provider.ensure_nodes(&request).await.unwrap().is_empty());
        let seen = until(provider, cluster, "the scheduler listens", |seen| {
            seen.nodes.iter().any(|node| node.address.is_some())
        })
        .await;
        seen.nodes[0].address.clone().unwrap()
    }

    /// One certificate for all roles: these tests are about processes.
    pub fn identity(&self, cluster: &ClusterKey) -> Arc<Identity> {
        let at = |name: &str| self.root.path().join(name);
        if !at("cert.pem").exists() {
            let day = Duration::from_hours(24);
            let authority = ClusterAuthority::new(&cluster.uid, day, now()).unwrap();
            let issued = authority.issue(CertificateRole::Worker, &[]).unwrap();
            fs::write(at("ca.pem"), &issued.ca).unwrap();
            fs::write(at("cert.pem"), &issued.cert).unwrap();
            fs::write(at("key.pem"), issued.key.expose()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(at(name)).unwrap();
        Arc::new(Identity {
            ca: read("ca.pem"),
            cert: read("cert.pem"),
            key: PrivateKeyPem::new(read("key.pem")),
        })
    }

    /// Runs a script with `client` connected to the scheduler at `address`; its output must say `ok`.
    pub fn client(&self, address: &str, script: &str) {
        let program = format!(
            "from distributed import Client\nfrom distributed.security import Security\n\
             at = r'{}/'\n\
             security = Security(tls_ca_file=at + 'ca.pem', tls_client_cert=at + 'cert.pem',\n\
             \x20   tls_client_key=at + 'key.pem', require_encryption=True)\n\
             client = Client({address:?}, security=security, timeout=30)\n{script}\nprint('ok')\n",
            self.root.path().display(),
        );
        let output: Output = Command::new(&self.python).args(["-c", &program]).output().unwrap();
        let (printed, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && printed.trim_end().ends_with("ok"), "{printed}\n{errors}");
    }

    /// Processes that carry this installation's mark, hosts not counted.
    pub fn marked(&self) -> Vec<i32> {
        let mark = format!("CREWCALL_STATE={}", self.directories().state.display());
        processes(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        })
    }

    /// Host processes of this installation.
    pub fn hosts(&self) -> Vec<i32> {
        let state = self.directories().state.display().to_string();
        processes(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            arguments.contains(&b"__host".as_slice()) && arguments.contains(&state.as_bytes())
        })
    }

    /// Fork servers of this installation. Nodes are forks of theirs and look the same, but for their
    /// standard input.
    pub fn fork_servers(&self) -> Vec<i32> {
        let reads_pipe = |pid: &i32| {
            let stdin = fs::read_link(format!("/proc/{pid}/fd/0")).unwrap_or_default();
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            stdin.to_string_lossy().starts_with("pipe:") && text(&line).contains("crewcall_fork_server")
        };
        self.marked().into_iter().filter(reads_pipe).collect()
    }

    pub fn host_directories(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.directories().state.join("hosts")) else { return Vec::new() };
        entries.flatten().map(|entry| entry.path()).collect()
    }

    /// Nothing of this installation runs, and no host has left a file.
    pub async fn assert_nothing_left(&self) {
        eventually("everything is gone", || self.marked().is_empty() && self.hosts().is_empty()).await;
        assert_eq!(self.host_directories(), Vec::<PathBuf>::new());
        for directory in [self.directories().runtime, self.root.path().join("tmp")] {
            let left: Vec<_> =
                fs::read_dir(&directory).map(|found| found.flatten().collect()).unwrap_or_default();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A failed test must not leave processes either.
        for pid in self.hosts().into_iter().chain(self.marked()) {
            kill(pid, "KILL");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has the time of day")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a process exists and is no zombie.
pub fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

fn processes(wanted: impl Fn(i32) -> bool) -> Vec<i32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| is_running(*pid))
        .filter(|pid| wanted(*pid))
        .collect()
}

pub fn kill(pid: i32, signal: &str) {
    Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).output().unwrap();
}

pub fn cluster(number: u64) -> ClusterKey {
    ClusterKey { uid: ClusterUid::from_random(number), name: "demo".parse().unwrap() }
}

pub fn document(name: &str) -> ComputeCluster {
    let value = serde_json::json!({
        "apiVersion": "crewcall.dev/v1alpha1", "kind": "ComputeCluster",
        "metadata": {"name": name}, "spec": {"provider": {"local": {}}, "engine": {"dask": {}}},
    });
    serde_json::from_value(value).unwrap()
}

pub fn nodes(cluster: &ClusterKey, nodes: Vec<NodeRequest>) -> NodesRequest {
    NodesRequest { cluster: cluster.clone(), document: Arc::new(document("demo")), nodes }
}

pub fn node(cluster: &ClusterKey, group: &str, slot: u32) -> NodeId {
    NodeId {
        cluster: cluster.name.clone(),
        group: group.parse().unwrap(),
        slot: Slot(slot),
        incarnation: Incarnation(0),
        instance: None,
    }
}

pub fn scheduler(cluster: &ClusterKey, identity: Arc<Identity>) -> NodeRequest {
    let role = DaskRole::Scheduler(SchedulerArguments {
        idle_timeout: None,
        lifetime: None,
        preload: Vec::new(),
        nannies: Nanny::Posed,
    });
    request(node(cluster, "scheduler", 0), role, identity)
}

pub fn worker(cluster: &ClusterKey, slot: u32, scheduler: &str, identity: Arc<Identity>) -> NodeRequest {
    let id = node(cluster, "workers", slot);
    let role = DaskRole::Worker(WorkerArguments {
        scheduler: scheduler.to_owned(),
        name: id.to_string(),
        threads: 1,
        memory_limit: None,
        resources: BTreeMap::new(),
        preload: Vec::new(),
        death_timeout: 60.0,
        drain_grace: 25.0,
        nanny: Nanny::Posed,
    });
    request(id, role, identity)
}

fn request(id: NodeId, role: DaskRole, identity: Arc<Identity>) -> NodeRequest {
    let launch = DaskLaunch {
        environment: BTreeMap::from([("OURS".to_owned(), "document".to_owned())]),
        secret_environment: BTreeMap::new(),
        config: BTreeMap::new(),
        role,
    };
    NodeRequest {
        id,
        template: TemplateHash::new("t1"),
        launch: Arc::new(Launch::Dask(launch)),
        identity: Some(identity),
    }
}

pub fn with_launch(mut request: NodeRequest, change: impl FnOnce(&mut DaskLaunch)) -> NodeRequest {
    let Launch::Dask(mut launch) = (*request.launch).clone();
    change(&mut launch);
    request.launch = Arc::new(Launch::Dask(launch));
    request
}

pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn state_of(seen: &Observed, id: &NodeId) -> Option<NodeState> {
    seen.nodes.iter().find(|node| node.id == *id).map(|node| node.state.clone())
}

pub async fn remove(provider: &LocalProvider, cluster: &ClusterKey) {
    assert_eq!(provider.remove_anchor(cluster).await.unwrap(), Removal::Gone);
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
