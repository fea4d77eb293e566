//! A controller in the test's own process, with real Dask below it, that can die with its runtime.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crewcall::{
    controller::{ClusterView, CreateMode, CreateRequest, Fleet, FleetTools, Installation, SystemClock},
    engine::dask::DaskEngine,
    model::{
        BootId, CallerContext, CallerEnvironment, ClusterUid, Event, Interpreter, MachineId, SoftwareVersions,
    },
    provider::{Directories, Providers, local::LocalProvider},
    spec::{self, ClusterName, ProviderKind},
    store::DirectoryStore,
};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The Python to test with; says so loudly when there is none.
pub fn python() -> Option<PathBuf> {
    let path = std::env::var_os("CREWCALL_TEST_PYTHON");
    if path.is_none() {
        eprintln!("SKIPPED: CREWCALL_TEST_PYTHON names no Python with Dask");
    }
    path.map(PathBuf::from)
}

/// A test's directory; hosts that a failed test leaves end with it, and all that they started.
pub struct Home(tempfile::TempDir);

impl Home {
    pub fn new() -> Self {
        // Short, because a socket's path must be.
        Self(tempfile::Builder::new().prefix("cw-").tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let state = self.0.path().join("state").display().to_string();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            if arguments.contains(&b"__host".as_slice()) && arguments.contains(&state.as_bytes()) {
                let pid = entry.file_name();
                Command::new("kill").arg("-KILL").arg(pid).output().unwrap();
            }
        }
    }
}

/// The one cluster of a test.
pub fn name() -> ClusterName {
    "demo".parse().unwrap()
}

/// A controller: all that it does ends with its runtime, as if it was killed.
pub fn controller() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub async fn fleet(state: &Path) -> Arc<Fleet> {
    static UIDS: AtomicU64 = AtomicU64::new(0xf1ee_0000);
    let directories =
        Directories { state: state.join("state"), runtime: state.join("run"), cache: state.join("cache") };
    let machine = MachineId::new("test-machine");
    let boot = BootId::new(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
    let program = PathBuf::from(env!("CARGO_BIN_EXE_crewcall"));
    let local = LocalProvider::new(directories, program, machine.clone(), boot.clone());
    let store = DirectoryStore::new(state.join("state"), machine.clone()).unwrap();
    let providers = Providers::default().with(ProviderKind::Local, Arc::new(local));
    Fleet::open(FleetTools {
        providers,
        engine: Arc::new(DaskEngine::default()),
        store: Arc::new(store),
        clock: Arc::new(SystemClock),
        uids: Box::new(|| ClusterUid::from_random(UIDS.fetch_add(1, Ordering::Relaxed))),
        installation: Installation { machine, boot },
    })
    .await
    .unwrap()
}

/// Creates the cluster and waits until it is there.
pub async fn create(fleet: &Arc<Fleet>, python: &Path, directory: &Path, spec: &str) -> ClusterView {
    let text = format!(
        "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: demo}}\n\
         spec:\n  provider: {{local: {{}}}}\n{spec}"
    );
    let interpreter = Interpreter { path: python.to_owned(), versions: SoftwareVersions::default() };
    let request = CreateRequest {
        document: spec::load("test.yaml", &text).unwrap().cluster,
        context: CallerContext {
            working_directory: directory.to_owned(),
            interpreter: Some(interpreter),
            ..CallerContext::default()
        },
        environment: CallerEnvironment(std::env::vars().collect()),
        mode: CreateMode::Apply,
    };
    fleet.create(request, &|_| {}).await.unwrap();
    until(fleet, "the cluster is there", |view| view.awaited.reached).await
}

pub async fn until(fleet: &Arc<Fleet>, what: &str, reached: impl Fn(&ClusterView) -> bool) -> ClusterView {
    let mut views = fleet.cell(&name()).unwrap().watch();
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            let view = views.borrow_and_update().clone();
            if reached(&view) {
                return (*view).clone();
            }
            views.changed().await.unwrap();
        }
    });
    found.await.unwrap_or_else(|_| panic!("{what}: last seen {:#?}", fleet.get(&name()).unwrap()))
}

/// Waits for an event; returns all that there are then.
pub async fn until_told(fleet: &Arc<Fleet>, what: &str, told: impl Fn(&Event) -> bool) -> Vec<Event> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let events = fleet.events(&name(), 1000).await.unwrap();
        if events.iter().any(&told) {
            return events;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what}: told was\n{}", lines(&events));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn lines(events: &[Event]) -> String {
    let line = |event: &Event| format!("{} {:?} {}", event.at, event.kind, event.message);
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Deletes the cluster, and waits until nothing is left of it.
pub async fn delete(fleet: &Arc<Fleet>) {
    fleet.delete(&name()).await.unwrap();
    let mut changes = fleet.changes();
    let gone = tokio::time::timeout(PATIENCE, async {
        while fleet.get(&name()).is_ok() {
            changes.changed().await.unwrap();
        }
    });
    gone.await.expect("the cluster is gone");
}

/// Runs a Python program with `client` connected to the cluster; what it printed.
pub fn client(python: &Path, view: &ClusterView, script: &str) -> String {
    let program = format!(
        "import os, signal, time, distributed\nfrom distributed import Client\nclient = Client(timeout=60)\n\
         def names():\n    return sorted(w['name'] for w in client.scheduler_info(n_workers=-1)['workers'].values())\n\
         if tuple(map(int, distributed.__version__.split('.')[:2])) < (2025, 4):\n    \
             def names():\n        return sorted(w['name'] for w in client.scheduler_info()['workers'].values())\n\
         {script}\n"
    );
    let mut command = Command::new(python);
    command
        .args(["-c", &program])
        .env("DASK_SCHEDULER_ADDRESS", view.endpoint.as_ref().unwrap())
        .stdin(Stdio::null());
    if let Some(files) = &view.client {
        command
            .env("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", &files.ca)
            .env("DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT", &files.cert)
            .env("DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY", &files.key);
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    eprintln!("{printed}{errors}");
    assert!(output.status.success(), "the client failed:\n{printed}\n{errors}");
    printed
}
