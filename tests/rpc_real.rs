//! The RPC client against real Dask processes, over TLS with our certificates and without TLS.
//!
//! `CREWCALL_TEST_PYTHON` names the interpreter; it needs `distributed`.

#![expect(clippy::unwrap_used, reason = "a test ends where its ground gives way")]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use crewcall::{
    engine::dask::rpc::{
        Bounds, Credentials, DaskAddress, Ranking, RetireMode, RpcError, SchedulerClient, StatusQuestion,
        Target, Transport,
    },
    model::{ClusterUid, NodeName, WorkerState},
    security::{CertificateRole, ClusterAuthority, Identity, client_config, server_name},
};
use tempfile::TempDir;

/// How long a Python process may take for anything; machines that test are busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// The interpreter, or a loud message.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("CREWCALL_TEST_PYTHON").map(PathBuf::from);
    if python.is_none() {
        eprintln!("SKIPPED: CREWCALL_TEST_PYTHON does not name a Python with distributed");
    }
    python
}

/// Ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Authority {
    uid: ClusterUid,
    authority: ClusterAuthority,
}

impl Authority {
    #[expect(clippy::disallowed_methods, reason = "Python verifies against the machine's clock")]
    fn new(uid: &str) -> Self {
        let uid = uid.parse().unwrap();
        let authority = ClusterAuthority::new(&uid, Duration::from_hours(1), jiff::Timestamp::now()).unwrap();
        Self { uid, authority }
    }

    fn issue(&self, role: CertificateRole) -> Identity {
        self.authority.issue(role, &[]).unwrap()
    }

    fn credentials(&self, identity: &Identity) -> Credentials {
        let peer = server_name(CertificateRole::Scheduler, &self.uid).unwrap();
        Credentials { config: client_config(identity).unwrap(), peer }
    }
}

/// A scheduler and its workers on loopback.
struct Cluster {
    python: PathBuf,
    directory: TempDir,
    transport: Transport,
    authority: Authority,
    address: DaskAddress,
    workers: Vec<Process>,
    _scheduler: Process,
}

impl Cluster {
    fn start(python: &Path, transport: Transport) -> Self {
        Self::start_with(python, transport, "")
    }

    /// With a scheduler that runs `preload`, which is Python.
    fn start_with(python: &Path, transport: Transport, preload: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new("00c0ffee00c0ffee");
        let file = directory.path().join("scheduler.json");
        let mut command = Command::new(python);
        let host = if transport == Transport::Tls { "tls://127.0.0.1:0" } else { "tcp://127.0.0.1:0" };
        command.args([
            "-m",
            "distributed.cli.dask_scheduler",
            "--no-dashboard",
            "--dashboard-address",
            "127.0.0.1:0",
        ]);
        command.args(["--host", host, "--scheduler-file"]).arg(&file);
        let script = directory.path().join("preload.py");
        fs::write(&script, preload).unwrap();
        command.arg("--preload").arg(&script);
        if transport == Transport::Tls {
            tls_arguments(
                &mut command,
                directory.path(),
                &authority.issue(CertificateRole::Scheduler),
                "scheduler",
            );
        }
        let mut scheduler = spawn(&mut command, directory.path(), "scheduler");
        let address = until("the scheduler's file", || {
            assert!(scheduler.0.try_wait().unwrap().is_none(), "{}", log(directory.path(), "scheduler"));
            let text = fs::read_to_string(&file).ok()?;
            let record: serde_json::Value = serde_json::from_str(&text).ok()?;
            record.get("address")?.as_str()?.parse().ok()
        });
        let python = python.to_owned();
        Self { python, directory, transport, authority, address, workers: Vec::new(), _scheduler: scheduler }
    }

    fn start_worker(&mut self, name: &str, identity: &Identity) {
        let mut command = Command::new(&self.python);
        command.args(["-m", "distributed.cli.dask_worker", &self.address.to_string(), "--name", name]);
        command.args(["--no-nanny", "--nthreads", "1", "--no-dashboard", "--death-timeout", "60"]);
        command.arg("--local-directory").arg(self.directory.path());
        if self.transport == Transport::Tls {
            tls_arguments(&mut command, self.directory.path(), identity, name);
        }
        self.workers.push(spawn(&mut command, self.directory.path(), name));
    }

    fn target(&self, credentials: Option<Credentials>) -> Target {
        Target { address: self.address.clone(), credentials, bounds: Bounds::default() }
    }

    fn own_credentials(&self) -> Credentials {
        self.authority.credentials(&self.authority.issue(CertificateRole::Controller))
    }

    /// A client that holds one result on each worker until it is asked for them.
    fn hold_results(&self, count: usize) -> Holder {
        let script = "
import sys
from distributed import Client, Security
address, count, ca, cert, key = sys.argv[1:]
security = Security(require_encryption=True, tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key)
client = Client(address, security=security)
workers = list(client.scheduler_info()['workers'])
futures = [client.submit(bytes, 1000 + i, workers=[workers[i % len(workers)]], allow_other_workers=True)
           for i in range(int(count))]
for future in futures:
    future.result()
print('held', flush=True)
sys.stdin.readline()
print(sum(len(x) for x in client.gather(futures)), flush=True)
sys.stdin.readline()
";
        let identity = self.authority.issue(CertificateRole::Client);
        let [ca, cert, key] = write(self.directory.path(), &identity, "client");
        let mut command = Command::new(&self.python);
        command.args(["-c", script, &self.address.to_string(), &count.to_string()]).args([ca, cert, key]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(fs::File::create(self.directory.path().join("client.log")).unwrap());
        let mut process = Process(command.spawn().unwrap());
        let stdin = process.0.stdin.take().unwrap();
        let stdout = BufReader::new(process.0.stdout.take().unwrap());
        let mut holder = Holder { stdin, stdout, _process: process };
        assert_eq!(holder.line(), "held", "{}", log(self.directory.path(), "client"));
        holder
    }
}

struct Holder {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _process: Process,
}

impl Holder {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// How many bytes it still gets from the cluster.
    fn gather(&mut self) -> String {
        self.stdin.write_all(b"\n").unwrap();
        self.line()
    }
}

fn write(directory: &Path, identity: &Identity, name: &str) -> [PathBuf; 3] {
    let parts = [("ca", identity.ca.as_str()), ("crt", &identity.cert), ("key", identity.key.expose())];
    parts.map(|(extension, text)| {
        let path = directory.join(format!("{name}.{extension}"));
        fs::write(&path, text).unwrap();
        path
    })
}

fn tls_arguments(command: &mut Command, directory: &Path, identity: &Identity, name: &str) {
    let files = write(directory, identity, name);
    for (flag, file) in ["--tls-ca-file", "--tls-cert", "--tls-key"].into_iter().zip(files) {
        command.arg(flag).arg(file);
    }
}

fn spawn(command: &mut Command, directory: &Path, name: &str) -> Process {
    let log = fs::File::create(directory.join(format!("{name}.log"))).unwrap();
    let both = (log.try_clone().unwrap(), log);
    Process(command.stdin(Stdio::null()).stdout(both.0).stderr(both.1).spawn().unwrap())
}

fn log(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(format!("{name}.log"))).unwrap_or_default()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

async fn until_registered(client: &mut SchedulerClient, count: usize) {
    let start = Instant::now();
    loop {
        let identity = client.identity().await.unwrap();
        let running = identity.workers.values().filter(|w| w.state == WorkerState::Running).count();
        if running == count {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{running} of {count} workers run");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<NodeName> {
    names.into_iter().map(NodeName::new).collect()
}

const FIRST: &str = "demo-workers-0-0";
const SECOND: &str = "demo-workers-1-0";

#[tokio::test]
async fn a_real_scheduler_is_asked_and_lets_workers_go_without_loss() {
    let Some(python) = python() else { return };
    let mut cluster = Cluster::start(&python, Transport::Tls);
    for name in [FIRST, SECOND] {
        let identity = cluster.authority.issue(CertificateRole::Worker);
        cluster.start_worker(name, &identity);
    }
    let mut client =
        SchedulerClient::connect(&cluster.target(Some(cluster.own_credentials()))).await.unwrap();
    until_registered(&mut client, 2).await;

    let versions = client.versions().await.unwrap();
    assert!(versions.python.starts_with("3."), "{versions:?}");
    assert!(versions.packages["distributed"].is_some() && versions.packages["dask"].is_some());

    let mut holder = cluster.hold_results(20);
    let question = StatusQuestion { since: None, wait: Duration::ZERO, ranking: Ranking::NotWanted };
    let unknown = client.status(question).await.unwrap_err();
    assert!(matches!(&unknown, RpcError::UnknownOp { op, .. } if op == "crewcall_status"), "{unknown}");
    let status = client.status_from_stock_operations(Ranking::Wanted).await.unwrap();
    assert_eq!(status.workers.keys().cloned().collect::<BTreeSet<_>>(), names([FIRST, SECOND]));
    assert_eq!(status.ranking.unwrap().into_iter().collect::<BTreeSet<_>>(), names([FIRST, SECOND]));
    until_held(&mut client, 20).await;

    let gone =
        client.retire_workers(&names([FIRST, "nobody"]), RetireMode::CloseWorkers, PATIENCE).await.unwrap();
    assert_eq!(gone, names([FIRST]));
    let exit = until("the retired worker's end", || cluster.workers[0].0.try_wait().unwrap());
    assert!(exit.success(), "{exit}: {}", log(cluster.directory.path(), FIRST));
    until_registered(&mut client, 1).await;

    // Nobody is left to take what the last one holds.
    let gone = client.retire_workers(&names([SECOND]), RetireMode::CloseWorkers, PATIENCE).await.unwrap();
    assert_eq!(gone, names([]));
    assert_eq!(holder.gather(), (0..20).map(|i| 1000 + i).sum::<u32>().to_string());
    client.close().await;
}

/// Waits for the heartbeats that say so.
async fn until_held(client: &mut SchedulerClient, results: u64) {
    let start = Instant::now();
    loop {
        let status = client.status_from_stock_operations(Ranking::NotWanted).await.unwrap();
        let held: u64 = status.workers.values().map(|w| w.held_results).sum();
        if held == results {
            assert!(status.workers.values().map(|w| w.held_bytes).sum::<u64>() > 0);
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{held} of {results} results are reported");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn strangers_are_refused_by_python_and_by_us() {
    let Some(python) = python() else { return };
    let mut cluster = Cluster::start(&python, Transport::Tls);
    let foreign = Authority::new("0123456789abcdef");

    // Their certificate, our trust: Python refuses.
    let mut identity = foreign.issue(CertificateRole::Controller);
    identity.ca = cluster.authority.authority.certificate_pem().to_owned();
    let credentials = cluster.authority.credentials(&identity);
    let error = SchedulerClient::connect(&cluster.target(Some(credentials))).await.unwrap_err();
    assert!(error.to_string().contains("it does not accept our certificate"), "{error}");

    // Their trust: we refuse.
    let mut credentials = foreign.credentials(&foreign.issue(CertificateRole::Controller));
    credentials.peer = server_name(CertificateRole::Scheduler, &cluster.authority.uid).unwrap();
    let error = SchedulerClient::connect(&cluster.target(Some(credentials))).await.unwrap_err();
    assert!(error.to_string().contains("its certificate is not from this cluster's authority"), "{error}");

    // Another role than the one that listens.
    let mut credentials = cluster.own_credentials();
    credentials.peer = server_name(CertificateRole::Worker, &cluster.authority.uid).unwrap();
    let error = SchedulerClient::connect(&cluster.target(Some(credentials))).await.unwrap_err();
    assert!(error.to_string().contains("scheduler.00c0ffee00c0ffee.crewcall.internal"), "{error}");

    // A foreign worker never gets in; after its handshakes have failed a good one does.
    cluster.start_worker(FIRST, &foreign.issue(CertificateRole::Worker));
    until("the scheduler to turn the stranger away", || {
        log(cluster.directory.path(), "scheduler").contains("TLS handshake failed").then_some(())
    });
    let identity = cluster.authority.issue(CertificateRole::Worker);
    cluster.start_worker(SECOND, &identity);
    let mut client =
        SchedulerClient::connect(&cluster.target(Some(cluster.own_credentials()))).await.unwrap();
    until_registered(&mut client, 1).await;
    let workers = client.identity().await.unwrap().workers;
    assert_eq!(workers.into_keys().collect::<BTreeSet<_>>(), names([SECOND]));

    // Plain TCP to a TLS port.
    let mut target = cluster.target(None);
    target.address.transport = Transport::Tcp;
    let error = SchedulerClient::connect(&target).await.unwrap_err();
    let told =
        matches!(error, RpcError::SpeaksTls { .. }) || error.hint().is_some_and(|h| h.contains("tls://"));
    assert!(told, "{error}");
}

#[tokio::test]
async fn a_scheduler_without_tls_is_reached_and_never_by_mistake() {
    let Some(python) = python() else { return };
    let mut cluster = Cluster::start(&python, Transport::Tcp);
    let identity = cluster.authority.issue(CertificateRole::Worker);
    cluster.start_worker(FIRST, &identity);
    let mut client = SchedulerClient::connect(&cluster.target(None)).await.unwrap();
    until_registered(&mut client, 1).await;
    let gone = client.retire_workers(&names([FIRST]), RetireMode::KeepProcess, PATIENCE).await.unwrap();
    assert_eq!(gone, names([FIRST]));

    let mut target = cluster.target(Some(cluster.own_credentials()));
    let error = SchedulerClient::connect(&target).await.unwrap_err();
    assert!(matches!(error, RpcError::TransportMismatch { .. }), "{error}");
    target.address.transport = Transport::Tls;
    let error = SchedulerClient::connect(&target).await.unwrap_err();
    assert!(error.to_string().ends_with("it does not speak TLS"), "{error}");
    assert!(error.hint().unwrap().contains("tcp://"));
    // The scheduler survives the ClientHello.
    assert!(client.identity().await.is_ok());
}

/// Stands in for the operation of Crewcall's preload: news come half a second after the question.
const STATUS_STAND_IN: &str = "
import asyncio
import time


async def crewcall_status(since=None, wait=0, ranking=False):
    if since is not None:
        await asyncio.sleep(min(wait, 0.5))
    worker = {'address': 'tls://127.0.0.1:1', 'state': 'paused', 'held_bytes': 2**40, 'held_results': 3,
              'processing': 0, 'actors': 1}
    demand = {'resources': {}, 'runnable': 0, 'unrunnable': 2, 'occupancy': -1e-9}
    departure = {'sequence': 4, 'worker': 'demo-workers-1-0', 'at': time.time(), 'expected': None,
                 'lost_computed': 1, 'lost_scattered': 0}
    return {'protocol': 1, 'sequence': (since or 0) + 1, 'idle_since': None, 'clients': 0,
            'workers': {'demo-workers-0-0': worker, 7: worker}, 'demand': [demand],
            'ranking': ['demo-workers-0-0', 7] if ranking else None, 'departures': [departure], 'unavailable': []}


def dask_setup(scheduler):
    scheduler.handlers['crewcall_status'] = crewcall_status
";

#[tokio::test]
async fn a_status_comes_through_python_and_waits_when_asked_to() {
    let Some(python) = python() else { return };
    let cluster = Cluster::start_with(&python, Transport::Tls, STATUS_STAND_IN);
    let mut client =
        SchedulerClient::connect(&cluster.target(Some(cluster.own_credentials()))).await.unwrap();
    let wait = Duration::from_secs(30);
    let first =
        client.status(StatusQuestion { since: None, wait, ranking: Ranking::NotWanted }).await.unwrap();
    assert_eq!((first.sequence, first.ranking), (1, None));
    let asked = Instant::now();
    let question = StatusQuestion { since: Some(first.sequence), wait, ranking: Ranking::Wanted };
    let second = client.status(question).await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(490));
    assert_eq!(second.sequence, 2);
    assert_eq!(second.workers.keys().cloned().collect::<BTreeSet<_>>(), names(["7", FIRST]));
    let worker = &second.workers[&NodeName::new(FIRST)];
    assert_eq!((worker.state, worker.held_bytes, worker.actors), (WorkerState::Paused, 1 << 40, 1));
    assert_eq!(second.ranking, Some(vec![NodeName::new(FIRST), NodeName::new("7")]));
    assert_eq!((second.demand[0].unrunnable, second.demand[0].occupancy), (2, Duration::ZERO));
    assert_eq!((second.departures[0].expected, second.departures[0].lost_computed), (None, 1));
}
