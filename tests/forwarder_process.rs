//! The forwarder process by itself, with an API server that is not there: one per cluster, the same ports again,
//! honest about what it cannot reach.
#![cfg(all(feature = "kubernetes", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crewcall::{
    model::{BootId, CallerEnvironment, ClusterKey, ClusterUid, MachineId},
    provider::{
        self,
        forwarder::{
            ApiTarget, DashboardAccess, Destination, ForwardRequest, Forwarders, MachineTarget, PodTarget,
            Ports, TlsFiles,
        },
    },
    security::{CertificateRole, ClusterAuthority, Identity},
};
use rustix::process::{Pid, Signal, kill_process};

const BOUND: Duration = Duration::from_secs(30);

struct World {
    state: tempfile::TempDir,
    forwarders: Forwarders,
    request: ForwardRequest,
}

impl World {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let kubeconfig = state.path().join("kubeconfig");
        let text = format!(
            "{{apiVersion: v1, kind: Config, clusters: [{{name: c, cluster: {{server: 'https://{closed}'}}}}], \
             users: [{{name: u, user: {{token: t}}}}], contexts: [{{name: c, context: {{cluster: c, user: u}}}}]}}"
        );
        fs::write(&kubeconfig, text).unwrap();
        let uid = ClusterUid::from_random(u64::from(std::process::id()) << 32 | u64::from(closed.port()));
        let request = ForwardRequest {
            cluster: ClusterKey { uid, name: "demo".parse().unwrap() },
            destination: Destination::Pod(PodTarget {
                api: ApiTarget {
                    kubeconfig: vec![kubeconfig],
                    context: "c".to_owned(),
                    server: format!("https://{closed}"),
                    namespace: "default".to_owned(),
                },
                scheduler: "crewcall.dev/role=scheduler".to_owned(),
                anchor: "demo-crewcall".to_owned(),
                comm_port: 8786,
                dashboard_port: 8787,
            }),
            dashboard: DashboardAccess::Plain,
        };
        let forwarders = forwarders(state.path());
        Self { state, forwarders, request }
    }

    /// One whose scheduler is on a machine of that address.
    fn of_machine(address: &str) -> Self {
        let mut world = Self::new();
        world.request.destination = machine(address);
        world
    }

    async fn ensure(&self) -> Ports {
        self.forwarders.ensure(&self.request, &BTreeMap::new(), &CallerEnvironment::default()).await.unwrap()
    }

    fn pid(&self) -> i32 {
        self.forwarders.list().unwrap()[0].record.as_ref().unwrap().process.pid
    }

    fn folder(&self) -> PathBuf {
        self.state.path().join("forwarders").join(self.request.cluster.uid.as_str())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for held in self.forwarders.list().unwrap_or_default() {
            if let Some(record) = held.record.filter(|_| held.alive) {
                kill(record.process.pid, Signal::KILL);
            }
        }
    }
}

fn machine(address: &str) -> Destination {
    Destination::Machine(MachineTarget {
        address: address.to_owned(),
        place: "ec2://123456789012/us-east-1".to_owned(),
        session: None,
    })
}

/// What a browser is answered.
async fn get(port: u16, path: &'static str) -> String {
    let ask = move || {
        let mut browser = TcpStream::connect(("127.0.0.1", port)).unwrap();
        browser.set_read_timeout(Some(BOUND * 2)).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        browser.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        browser.read_to_string(&mut answer).unwrap();
        answer
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

fn forwarders(state: &Path) -> Forwarders {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_crewcall"));
    Forwarders::new(state.to_owned(), program, provider::machine_id(), provider::boot_id().unwrap())
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {BOUND:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_cluster_has_one_forwarder_whoever_asks() {
    let world = World::new();
    let (one, other) = tokio::join!(world.ensure(), world.ensure());
    assert_eq!(one, other);
    let pid = world.pid();
    assert_eq!(
        forwarders(world.state.path())
            .ensure(&world.request, &BTreeMap::new(), &CallerEnvironment::default())
            .await
            .unwrap(),
        one
    );
    assert_eq!(world.pid(), pid, "a controller that comes later finds it");
}

#[tokio::test]
async fn a_killed_forwarder_comes_back_on_the_same_ports() {
    let world = World::new();
    let ports = world.ensure().await;
    let killed = world.pid();
    kill(killed, Signal::KILL);
    eventually("its death", || (!world.forwarders.list().unwrap()[0].alive).then_some(())).await;
    assert_eq!(world.ensure().await, ports);
    assert_ne!(world.pid(), killed);
}

#[tokio::test]
async fn sigterm_ends_it_and_its_ports_are_kept() {
    let world = World::new();
    let ports = world.ensure().await;
    kill(world.pid(), Signal::TERM);
    eventually("its end", || (!world.forwarders.list().unwrap()[0].alive).then_some(())).await;
    // A process that ends lets go of its lock and of its ports one after the other.
    eventually("its port", || TcpStream::connect(("127.0.0.1", ports.comm)).is_err().then_some(())).await;
    assert_eq!(world.ensure().await, ports);
}

#[tokio::test]
async fn a_forwarder_that_is_ended_leaves_nothing() {
    let world = World::new();
    world.ensure().await;
    let pid = world.pid();
    world.forwarders.end(&world.request.cluster.uid).await.unwrap();
    assert!(!world.folder().exists());
    assert!(world.forwarders.list().unwrap().is_empty());
    eventually("its end", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())).await;
    world.forwarders.end(&world.request.cluster.uid).await.unwrap();
}

#[tokio::test]
async fn a_forwarder_whose_files_were_removed_ends_and_leaves_its_successors_alone() {
    let world = World::new();
    world.ensure().await;
    let before = world.pid();
    // In one step: it may be writing there.
    fs::rename(world.folder(), world.state.path().join("removed")).unwrap();
    world.ensure().await;
    assert_ne!(world.pid(), before);
    eventually("its end", || (!Path::new(&format!("/proc/{before}")).exists()).then_some(())).await;
    let held = world.forwarders.list().unwrap();
    assert!(held[0].alive && held[0].record.is_some(), "{held:?}");
}

#[tokio::test]
async fn when_its_ports_are_taken_it_gets_others() {
    let world = World::new();
    let ports = world.ensure().await;
    kill(world.pid(), Signal::KILL);
    eventually("its death", || (!world.forwarders.list().unwrap()[0].alive).then_some(())).await;
    let _taken = eventually("the port", || TcpListener::bind(("127.0.0.1", ports.dashboard)).ok()).await;
    let others = world.ensure().await;
    assert_ne!(others, ports);
    assert_eq!(world.forwarders.list().unwrap()[0].record.as_ref().unwrap().ports, others);
}

#[tokio::test]
async fn what_it_cannot_reach_is_said_to_browser_and_controller_and_does_not_end_it() {
    let world = World::new();
    let ports = world.ensure().await;
    let said = tokio::task::spawn_blocking(move || {
        let mut browser = TcpStream::connect(("127.0.0.1", ports.dashboard)).unwrap();
        browser.set_read_timeout(Some(BOUND * 2)).unwrap();
        browser.write_all(b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        browser.read_to_string(&mut answer).unwrap();
        answer
    });
    let said = said.await.unwrap();
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    let uid = &world.request.cluster.uid;
    let problem =
        eventually("a status", || world.forwarders.status(uid).unwrap().and_then(|status| status.problem))
            .await;
    for text in [&said, &problem.message] {
        assert!(text.contains("cannot look for the scheduler's pod"), "{text}");
    }
    assert!(world.forwarders.list().unwrap()[0].alive);
    let log = fs::read_to_string(world.folder().join("log")).unwrap();
    assert!(log.contains("cannot look for the cluster's anchor"), "{log}");
}

#[tokio::test]
async fn a_page_of_another_site_gets_no_web_socket() {
    let world = World::new();
    let ports = world.ensure().await;
    let answer = tokio::task::spawn_blocking(move || {
        let mut browser = TcpStream::connect(("127.0.0.1", ports.dashboard)).unwrap();
        browser.set_read_timeout(Some(BOUND)).unwrap();
        let head = "GET /status/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://evil.example\r\n\r\n";
        browser.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        browser.read_to_string(&mut answer).unwrap();
        answer
    });
    assert!(answer.await.unwrap().starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn a_forwarder_of_another_machine_is_not_listed() {
    let world = World::new();
    world.ensure().await;
    let elsewhere = Forwarders::new(
        world.state.path().to_owned(),
        PathBuf::from("/nonexistent"),
        MachineId::new("another"),
        BootId::new("another"),
    );
    assert!(elsewhere.list().unwrap().is_empty());
}

#[tokio::test]
async fn a_scheduler_at_another_address_gets_another_forwarder_on_the_same_ports() {
    let mut world = World::of_machine("tls://127.0.0.1:1");
    let ports = world.ensure().await;
    let before = world.pid();
    assert_eq!(world.ensure().await, ports);
    assert_eq!(world.pid(), before, "one that leads there stays");
    world.request.destination = machine("tls://127.0.0.1:2");
    assert_eq!(world.ensure().await, ports);
    assert_ne!(world.pid(), before);
    let held = world.forwarders.list().unwrap();
    assert_eq!(held[0].record.as_ref().unwrap().scheduler.as_deref(), Some("tls://127.0.0.1:2"));
}

#[tokio::test]
async fn a_scheduler_that_is_not_there_is_said_to_the_browser() {
    let world = World::of_machine("tcp://127.0.0.1:1");
    let ports = world.ensure().await;
    let said = get(ports.dashboard, "/status").await;
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    assert!(said.contains("cannot connect to tcp://127.0.0.1:1: nothing listens there"), "{said}");
    assert!(world.forwarders.list().unwrap()[0].alive);
}

/// A scheduler with the preload, ended with this.
struct Scheduler(std::process::Child, String);

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Scheduler {
    async fn start(python: &str, world: &World, authority: &ClusterAuthority) -> Self {
        let files = keep(&world.state.path().join("scheduler"), authority, CertificateRole::Scheduler);
        let preload =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/dask/python/crewcall_preload.py");
        let log = world.state.path().join("scheduler.log");
        let tls = |what: &str| format!("DASK_DISTRIBUTED__COMM__TLS__{what}");
        let scheduler = std::process::Command::new(python)
            .args(["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"])
            .args(["--protocol", "tls", "--dashboard-address", "127.0.0.1:0", "--preload"])
            .arg(preload)
            .env("CREWCALL_DASHBOARD_TLS", "127.0.0.1:0")
            .env("DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", "true")
            .env(tls("CA_FILE"), &files.ca)
            .env(tls("SCHEDULER__CERT"), &files.cert)
            .env(tls("SCHEDULER__KEY"), &files.key)
            .stderr(fs::File::create(&log).unwrap())
            .spawn();
        let mut scheduler = Self(scheduler.unwrap(), String::new());
        scheduler.1 = eventually("a scheduler with its dashboard", || {
            let said = fs::read_to_string(&log).unwrap();
            said.contains("dashboard over TLS").then_some(())?;
            let address = said.split_whitespace().find(|word| word.starts_with("tls://"))?;
            Some(address.to_owned())
        })
        .await;
        scheduler
    }
}

fn keep(folder: &Path, authority: &ClusterAuthority, role: CertificateRole) -> TlsFiles {
    fs::create_dir_all(folder).unwrap();
    let files = TlsFiles { ca: folder.join("ca"), cert: folder.join("cert"), key: folder.join("key") };
    let Identity { ca, cert, key } = authority.issue(role, &[]).unwrap();
    fs::write(&files.ca, ca).unwrap();
    fs::write(&files.cert, cert).unwrap();
    fs::write(&files.key, key.expose()).unwrap();
    files
}

#[tokio::test]
async fn a_dashboard_comes_through_the_schedulers_own_port() {
    let Ok(python) = std::env::var("CREWCALL_TEST_PYTHON") else {
        eprintln!("SKIPPED: CREWCALL_TEST_PYTHON names no Python with Dask");
        return;
    };
    let mut world = World::new();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let uid = &world.request.cluster.uid;
    let authority = ClusterAuthority::new(uid, Duration::from_hours(24 * 364), now).unwrap();
    let client = keep(&world.state.path().join("client"), &authority, CertificateRole::Client);
    let scheduler = Scheduler::start(&python, &world, &authority).await;
    world.request.destination = machine(&scheduler.1);
    world.request.dashboard = DashboardAccess::Tls(client);
    let ports = world.ensure().await;
    let pages = ["/health", "/info/main/workers.html", "/health", "/json/counts.json"];
    let seen = futures_util::future::join_all(pages.map(|path| get(ports.dashboard, path))).await;
    assert!(seen.iter().all(|answer| answer.starts_with("HTTP/1.1 200 ")), "{seen:?}");
    eventually("the board to name the scheduler", || {
        let status = world.forwarders.status(&world.request.cluster.uid).unwrap()?;
        (status.pod.as_deref() == Some(&*scheduler.1)).then_some(())
    })
    .await;

    // What is not the client's is not shown: the forwarder holds another certificate now.
    let worker = keep(&world.state.path().join("client"), &authority, CertificateRole::Worker);
    let refused = get(ports.dashboard, "/health").await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{worker:?}: {refused}");

    drop(scheduler);
    let said = get(ports.dashboard, "/health").await;
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    assert!(world.forwarders.list().unwrap()[0].alive, "it waits for the scheduler to come back");
}
