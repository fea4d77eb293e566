//! Adaptive size and the idle timeout with real Dask, without the command line.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

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
    model::{BootId, CallerContext, CallerEnvironment, ClusterUid, Interpreter, MachineId, SoftwareVersions},
    provider::{Directories, Providers, local::LocalProvider},
    spec::{self, ClusterName, ProviderKind},
    store::DirectoryStore,
};

/// Instead of half a minute.
const IDLE_PERIOD: Duration = Duration::from_secs(2);

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sixty tasks of a tenth of a second, by a client that leaves with its results.
const BURST: &str = "import time; from dask.distributed import Client\n\
    c = Client(); print(sum(c.gather(c.map(lambda x: time.sleep(0.1) or x * x, range(60)))))";

fn python() -> Option<PathBuf> {
    let path = std::env::var_os("CREWCALL_TEST_PYTHON");
    if path.is_none() {
        eprintln!("SKIPPED: CREWCALL_TEST_PYTHON names no Python with Dask");
    }
    path.map(PathBuf::from)
}

fn name() -> ClusterName {
    "demo".parse().unwrap()
}

async fn fleet(state: &Path) -> Arc<Fleet> {
    static UIDS: AtomicU64 = AtomicU64::new(0xada9_0000);
    let directories =
        Directories { state: state.join("state"), runtime: state.join("run"), cache: state.join("cache") };
    let machine = MachineId::new("test-machine");
    let boot = BootId::new(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
    let program = PathBuf::from(env!("CARGO_BIN_EXE_crewcall"));
    let local = LocalProvider::new(directories, program, machine.clone(), boot.clone());
    let local = local.with_idle_period(IDLE_PERIOD);
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

fn request(python: &Path, directory: &Path, rest: &str) -> CreateRequest {
    let text = format!(
        "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: demo}}\n\
         spec:\n  provider: {{local: {{}}}}\n{rest}"
    );
    let interpreter = Interpreter { path: python.to_owned(), versions: SoftwareVersions::default() };
    CreateRequest {
        document: spec::load("test.yaml", &text).unwrap().cluster,
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

async fn until_gone(fleet: &Fleet) {
    let mut changes = fleet.changes();
    let gone = tokio::time::timeout(PATIENCE, async {
        while fleet.get(&name()).is_ok() {
            changes.changed().await.unwrap();
        }
    });
    gone.await.expect("the cluster is gone");
}

async fn told(fleet: &Fleet) -> String {
    let events = fleet.events(&name(), 1000).await.unwrap();
    let lines: Vec<String> = events.iter().map(|event| format!("{} {}", event.at, event.message)).collect();
    lines.join("\n")
}

fn client(python: &Path, view: &ClusterView, code: &str) -> Command {
    let files = view.client.as_ref().unwrap();
    let mut command = Command::new(python);
    command
        .args(["-c", code])
        .env("DASK_SCHEDULER_ADDRESS", view.endpoint.as_ref().unwrap())
        .env("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", &files.ca)
        .env("DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT", &files.cert)
        .env("DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY", &files.key)
        .stdout(Stdio::piped());
    command
}

/// A controller that can die: all that it does ends with its runtime, as if it was killed.
fn controller() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn a_burst_is_followed_up_and_down_across_a_restart_of_the_controller() {
    let Some(python) = python() else { return };
    let state = tempfile::tempdir().unwrap();
    let first = controller();
    let burst = first.block_on(async {
        let fleet = fleet(state.path()).await;
        let document = "  workers: {min: 0, max: 3, memory: 1GiB}\n";
        fleet.create(request(&python, state.path(), document), &|_| {}).await.unwrap();
        let view = until(&fleet, "a scheduler", |view| view.awaited.reached).await;
        assert_eq!(view.nodes.len(), 1);
        let burst = client(&python, &view, BURST).spawn().unwrap();
        let view = until(&fleet, "three workers", |view| view.groups[0].ready == 3).await;
        let reason = view.groups[0].reason.as_deref().unwrap();
        assert!(reason.starts_with("0 to 3 workers (its maximum), because there are"), "{reason}");
        burst
    });
    first.shutdown_background();

    let second = controller();
    second.block_on(async {
        let fleet = fleet(state.path()).await;
        let output = tokio::task::spawn_blocking(|| burst.wait_with_output().unwrap()).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "70210");
        until(&fleet, "no workers", |view| view.nodes.len() == 1 && view.groups[0].wanted == 0).await;
        let told = told(&fleet).await;
        eprintln!("{told}");
        assert!(told.contains("had nothing to do for 2 s"), "{told}");
        assert!(!told.contains("Lost") && !told.contains("lost"), "{told}");
        fleet.delete(&name()).await.unwrap();
        until_gone(&fleet).await;
    });
}

/// Waits until the scheduler knows that it ends within the minute, by one limit or the other.
const TOLD: &str = "
import time
from dask.distributed import Client
def left(dask_scheduler):
    end = dask_scheduler.handlers['crewcall_belts'].__self__.end
    lifetime = end.when() - dask_scheduler.loop.asyncio_loop.time() if end else 1e9
    return min(lifetime, dask_scheduler.idle_timeout or 1e9)
client = Client()
while client.run_on_scheduler(left) > 60:
    time.sleep(0.05)
";

/// Has a cluster of these documents end while no controller lives; returns what the next one tells.
fn ended_by_belt(documents: &[&str]) -> Option<String> {
    let python = python()?;
    let state = tempfile::tempdir().unwrap();
    let first = controller();
    let scheduler = first.block_on(async {
        let fleet = fleet(state.path()).await;
        for document in documents {
            fleet.create(request(&python, state.path(), document), &|_| {}).await.unwrap();
            until(&fleet, "a worker", |view| view.awaited.reached).await;
        }
        let view = fleet.get(&name()).unwrap();
        let told = client(&python, &view, TOLD).status();
        assert!(told.unwrap().success());
        view.endpoint.unwrap().rsplit(':').next().unwrap().parse::<u16>().unwrap()
    });
    first.shutdown_timeout(Duration::ZERO);

    let deadline = std::time::Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(("127.0.0.1", scheduler)).is_ok() {
        assert!(std::time::Instant::now() < deadline, "the scheduler did not end by itself");
        std::thread::sleep(Duration::from_millis(100));
    }

    let second = controller();
    second.block_on(async {
        let fleet = fleet(state.path()).await;
        let cell = fleet.cell(&name()).unwrap();
        let mut events = cell.events();
        until_gone(&fleet).await;
        let mut told = String::new();
        while let Ok(event) = events.try_recv() {
            told.push_str(&event.message);
            told.push('\n');
        }
        assert!(!told.contains("asked for"), "{told}");
        Some(told)
    })
}

#[test]
fn a_cluster_that_ended_by_its_idle_timeout_without_a_controller_stays_ended() {
    let document = "  workers: {replicas: 1, memory: 1GiB}\n  idleTimeout: 30s\n";
    let Some(told) = ended_by_belt(&[document]) else { return };
    assert!(told.contains("its scheduler ended by its own idle timeout. It is not made again"), "{told}");
}

#[test]
fn a_lifetime_that_was_cut_in_a_running_cluster_ends_it_without_a_controller() {
    let documents = ["1h", "30s"]
        .map(|lifetime| format!("  workers: {{replicas: 1, memory: 1GiB}}\n  maxLifetime: {lifetime}\n"));
    let Some(told) = ended_by_belt(&[&documents[0], &documents[1]]) else { return };
    assert!(told.contains("being torn down: its maxLifetime"), "{told}");
}
