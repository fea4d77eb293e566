//! The whole path, without the command line: fleet, local provider, real Dask over TLS.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crewcall::{
    controller::{
        ClusterView, CreateMode, CreateRequest, Fleet, FleetTools, Installation, ScaleRequest, SystemClock,
        Unplaced,
    },
    engine::dask::DaskEngine,
    model::{BootId, CallerContext, CallerEnvironment, ClusterUid, Interpreter, MachineId, SoftwareVersions},
    provider::{Directories, Provider, local::LocalProvider},
    spec::{self, ClusterName, ProviderKind, Size},
    store::DirectoryStore,
};

fn python() -> Option<PathBuf> {
    let path = std::env::var_os("CREWCALL_TEST_PYTHON");
    if path.is_none() {
        eprintln!("SKIPPED: CREWCALL_TEST_PYTHON names no Python with Dask");
    }
    path.map(PathBuf::from)
}

async fn fleet(state: &Path) -> Arc<Fleet> {
    static UIDS: AtomicU64 = AtomicU64::new(0x5eed_0000);
    let directories =
        Directories { state: state.join("state"), runtime: state.join("run"), cache: state.join("cache") };
    let machine = MachineId::new("test-machine");
    let boot = BootId::new(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
    let program = PathBuf::from(env!("CARGO_BIN_EXE_crewcall"));
    let local = LocalProvider::new(directories, program, machine.clone(), boot.clone());
    let store = DirectoryStore::new(state.join("state"), machine.clone()).unwrap();
    let providers: BTreeMap<ProviderKind, Arc<dyn Provider>> =
        [(ProviderKind::Local, Arc::new(local) as Arc<dyn Provider>)].into();
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

fn request(python: &Path, directory: &Path, workers: u32) -> CreateRequest {
    let text = format!(
        "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: demo}}\n\
         spec:\n  provider: {{local: {{}}}}\n  workers: {{replicas: {workers}, memory: 1GiB}}\n"
    );
    let document = spec::load("test.yaml", &text).unwrap().cluster;
    let interpreter = Interpreter { path: python.to_owned(), versions: SoftwareVersions::default() };
    CreateRequest {
        document,
        context: CallerContext {
            working_directory: directory.to_owned(),
            interpreter: Some(interpreter),
            ..CallerContext::default()
        },
        environment: CallerEnvironment(std::env::vars().collect()),
        mode: CreateMode::Apply,
    }
}

async fn until(fleet: &Fleet, what: &str, reached: impl Fn(&ClusterView) -> bool) -> ClusterView {
    let name: ClusterName = "demo".parse().unwrap();
    let mut views = fleet.cell(&name).unwrap().watch();
    let found = tokio::time::timeout(Duration::from_mins(1), async {
        loop {
            let view = views.borrow_and_update().clone();
            if reached(&view) {
                return (*view).clone();
            }
            views.changed().await.unwrap();
        }
    });
    found.await.unwrap_or_else(|_| panic!("{what}: last seen {:#?}", fleet.get(&name).unwrap()))
}

fn compute(python: &Path, view: &ClusterView, code: &str) -> String {
    let files = view.client.as_ref().unwrap();
    let output = Command::new(python)
        .args(["-c", code])
        .env("DASK_SCHEDULER_ADDRESS", view.endpoint.as_ref().unwrap())
        .env("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", &files.ca)
        .env("DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT", &files.cert)
        .env("DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY", &files.key)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_computes_grows_shrinks_and_goes() {
    let Some(python) = python() else { return };
    let state = tempfile::tempdir().unwrap();
    let fleet = fleet(state.path()).await;
    let name: ClusterName = "demo".parse().unwrap();

    fleet.create(request(&python, state.path(), 2), &|step| eprintln!("{step}")).await.unwrap();
    let view = until(&fleet, "two workers", |view| view.awaited.reached).await;
    let sum = "from dask.distributed import Client; c = Client(); print(sum(c.gather(c.map(lambda x: x*x, range(10)))))";
    assert_eq!(compute(&python, &view, sum).trim(), "285");

    let size = |n| ScaleRequest { group: None, size: Size::Fixed(n), unplaced: Unplaced::Keep };
    fleet.scale(&name, &size(4)).await.unwrap();
    until(&fleet, "four workers", |view| view.groups[0].ready == 4).await;
    fleet.scale(&name, &size(1)).await.unwrap();
    let view =
        until(&fleet, "one worker", |view| view.nodes.len() == 2 && view.groups[0].draining == 0).await;
    assert_eq!(compute(&python, &view, sum).trim(), "285");

    for event in fleet.events(&name, 100).await.unwrap() {
        eprintln!("{} {}", event.at, event.message);
    }
    let mut changes = fleet.changes();
    fleet.delete(&name).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), async {
        while fleet.get(&name).is_ok() {
            changes.changed().await.unwrap();
        }
    })
    .await
    .expect("the cluster is gone");
}
