//! A namespace with a scheduler and a worker, made with kubectl, and a forwarder to them.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crewcall::{
    model::{CallerEnvironment, ClusterKey, ClusterUid},
    provider::{
        self,
        forwarder::{
            ApiTarget, DashboardAccess, Destination, ForwardRequest, ForwarderStatus, Forwarders, PodTarget,
            Ports, TlsFiles,
        },
    },
    security::{CertificateRole, ClusterAuthority, Identity},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{kubectl::Kubectl, proxy::Proxy};

const BOUND: Duration = Duration::from_mins(2);

/// One test's world. Everything of it ends with it.
pub struct Stage {
    folder: tempfile::TempDir,
    kubectl: Kubectl,
    python: String,
    image: String,
    uid: ClusterUid,
    pub forwarders: Forwarders,
    request: ForwardRequest,
    /// Between forwarder and API server.
    pub proxy: Proxy,
}

pub fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {BOUND:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn setting(name: &str) -> Option<String> {
    let found = env::var(name).ok().filter(|value| !value.is_empty());
    if found.is_none() {
        eprintln!("SKIPPED: {name} is not set");
    }
    found
}

impl Stage {
    /// A running cluster of one worker; `None`: this machine has none of what it needs.
    pub async fn new(purpose: &str) -> Option<Self> {
        let kubeconfig = PathBuf::from(setting("CREWCALL_TEST_KUBECONFIG")?);
        let (python, image) = (setting("CREWCALL_TEST_PYTHON")?, setting("CREWCALL_TEST_IMAGE")?);
        let folder = tempfile::tempdir().unwrap();
        let number = u64::from(std::process::id()) << 16 | u64::try_from(purpose.len()).unwrap();
        let uid = ClusterUid::from_random(number);
        let namespace = format!("forwarder-{purpose}-{}", std::process::id());
        let kubectl = Kubectl { kubeconfig, namespace: namespace.clone() };
        let client = folder.path().join("tls");
        fs::create_dir(&client).unwrap();
        let files = TlsFiles { ca: client.join("ca"), cert: client.join("cert"), key: client.join("key") };
        let program = PathBuf::from(env!("CARGO_BIN_EXE_crewcall"));
        let forwarders = Forwarders::new(
            folder.path().to_owned(),
            program,
            provider::machine_id(),
            provider::boot_id().unwrap(),
        );
        // Of one context.
        let view = ["config", "view", "--raw", "--minify", "--flatten", "-o", "json"];
        let mut config: Value = serde_json::from_str(&kubectl.done(&view, "")).unwrap();
        let cluster = &mut config["clusters"][0]["cluster"];
        let server = cluster["server"].as_str().unwrap().trim_start_matches("https://").to_owned();
        let proxy = Proxy::to(server.clone()).await;
        cluster["tls-server-name"] = server.rsplit_once(':').unwrap().0.into();
        cluster["server"] = format!("https://127.0.0.1:{}", proxy.port).into();
        let proxied = folder.path().join("kubeconfig");
        fs::write(&proxied, config.to_string()).unwrap();
        let request = ForwardRequest {
            cluster: ClusterKey { uid: uid.clone(), name: "demo".parse().unwrap() },
            destination: Destination::Pod(PodTarget {
                api: ApiTarget {
                    kubeconfig: vec![proxied],
                    context: config["current-context"].as_str().unwrap().to_owned(),
                    server: format!("https://127.0.0.1:{}", proxy.port),
                    namespace,
                },
                scheduler: format!("crewcall.dev/cluster-uid={uid},crewcall.dev/role=scheduler"),
                anchor: "demo-crewcall".to_owned(),
                comm_port: 8786,
                dashboard_port: 8787,
            }),
            dashboard: DashboardAccess::Tls(files.clone()),
        };
        let stage = Self { folder, kubectl, python, image, uid, forwarders, request, proxy };
        stage.kubectl(&["create", "namespace", &stage.kubectl.namespace]);
        stage.make_shared(&files);
        stage.start_nodes(0);
        Some(stage)
    }

    fn make_shared(&self, files: &TlsFiles) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/dask/python/crewcall_preload.py");
        let preload = fs::read_to_string(source).unwrap();
        let config_map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "demo-crewcall", "labels": {"crewcall.dev/cluster-uid": self.uid}},
            "data": {"crewcall_preload.py": preload},
        });
        self.apply(&config_map);
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let authority = ClusterAuthority::new(&self.uid, Duration::from_hours(24 * 364), now).unwrap();
        for role in [CertificateRole::Scheduler, CertificateRole::Worker] {
            let Identity { ca, cert, key } = authority.issue(role, &[]).unwrap();
            self.apply(&json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("demo-{role}-tls")},
                "stringData": {"ca": ca, "cert": cert, "key": key.expose()},
            }));
        }
        let Identity { ca, cert, key } = authority.issue(CertificateRole::Client, &[]).unwrap();
        fs::write(&files.ca, ca).unwrap();
        fs::write(&files.cert, cert).unwrap();
        fs::write(&files.key, key.expose()).unwrap();
    }

    /// Starts scheduler and worker of an incarnation, and waits for the scheduler to serve.
    pub fn start_nodes(&self, incarnation: u32) {
        let scheduler = ["--port", "8786", "--protocol", "tls", "--dashboard-address", "127.0.0.1:8788"];
        let name = format!("demo-scheduler-0-{incarnation}");
        self.apply(&self.pod(&name, "scheduler", incarnation, &scheduler));
        let waited = ["wait", "--for=condition=Ready", "--timeout=90s", &format!("pod/{name}")];
        self.kubectl(&waited);
        let address = self.kubectl(&["get", "pod", &name, "-o", "jsonpath={.status.podIP}"]);
        let worker = [&*format!("tls://{address}:8786"), "--no-nanny", "--nthreads", "1"];
        self.apply(&self.pod(&format!("demo-workers-0-{incarnation}"), "worker", incarnation, &worker));
    }

    fn pod(&self, name: &str, role: &str, incarnation: u32, arguments: &[&str]) -> Value {
        let command = [
            "python",
            "-m",
            &format!("distributed.cli.dask_{role}"),
            "--preload",
            "/etc/crewcall/crewcall_preload.py",
        ]
        .map(str::to_owned);
        let tls = |what: &str, file: &str| json!({"name": format!("DASK_DISTRIBUTED__COMM__TLS__{what}"), "value": format!("/etc/tls/{file}")});
        let upper = role.to_uppercase();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {
                "crewcall.dev/cluster-uid": self.uid, "crewcall.dev/role": role,
                "crewcall.dev/incarnation": incarnation.to_string(),
            }},
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": false,
                "containers": [{
                    "name": role, "image": self.image, "imagePullPolicy": "IfNotPresent",
                    "command": command.iter().map(String::as_str).chain(arguments.iter().copied()).collect::<Vec<_>>(),
                    "env": [
                        {"name": "CREWCALL_DASHBOARD_TLS", "value": "0.0.0.0:8787"},
                        {"name": "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", "value": "true"},
                        tls("CA_FILE", "ca"), tls(&format!("{upper}__CERT"), "cert"), tls(&format!("{upper}__KEY"), "key"),
                    ],
                    "readinessProbe": (role == "scheduler").then(|| json!({"tcpSocket": {"port": 8787}, "periodSeconds": 1})),
                    "volumeMounts": [
                        {"name": "crewcall", "mountPath": "/etc/crewcall"}, {"name": "tls", "mountPath": "/etc/tls"},
                    ],
                }],
                "volumes": [
                    {"name": "crewcall", "configMap": {"name": "demo-crewcall"}},
                    {"name": "tls", "secret": {"secretName": format!("demo-{role}-tls")}},
                ],
            },
        })
    }

    fn apply(&self, object: &Value) {
        self.kubectl.done(&["apply", "-f", "-"], &object.to_string());
    }

    /// Runs kubectl in the namespace, and returns what it prints.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl.done(arguments, "")
    }

    pub async fn ensure(&self) -> Ports {
        self.forwarders.ensure(&self.request, &BTreeMap::new(), &CallerEnvironment::default()).await.unwrap()
    }

    pub fn pid(&self) -> i32 {
        self.forwarders.list().unwrap()[0].record.as_ref().unwrap().process.pid
    }

    /// Waits for a status, and returns it.
    pub async fn status_where(
        &self,
        what: &str,
        is_so: impl Fn(&ForwarderStatus) -> bool,
    ) -> ForwarderStatus {
        eventually(what, || self.forwarders.status(&self.uid).unwrap().filter(|status| is_so(status))).await
    }

    /// Runs a statement with a client of the cluster, and returns what it prints.
    pub fn client(&self, statement: &str) -> String {
        let port = self.forwarders.list().unwrap()[0].record.as_ref().unwrap().ports.comm.to_string();
        self.script("client.py", &[&port, statement])
    }

    /// A client that does nothing but be connected.
    pub fn waiting_client(&self) -> Child {
        let port = self.forwarders.list().unwrap()[0].record.as_ref().unwrap().ports.comm.to_string();
        self.python("client.py", &[&port, "import time; time.sleep(600)"]).spawn().unwrap()
    }

    /// Runs one of the scripts beside this file, and returns what it prints.
    pub fn script(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.python(name, arguments).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn python(&self, name: &str, arguments: &[&str]) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/forwarder_kubernetes");
        let DashboardAccess::Tls(files) = &self.request.dashboard else { panic!("it has TLS") };
        let mut command = Command::new(&self.python);
        command
            .arg(scripts.join(name))
            .args(arguments)
            .env("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", &files.ca)
            .env("DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT", &files.cert)
            .env("DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY", &files.key)
            .stdout(Stdio::piped());
        command
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for held in self.forwarders.list().unwrap_or_default() {
            if std::thread::panicking() {
                let log = self.folder.path().join("forwarders").join(held.cluster.as_str()).join("log");
                eprintln!("{}", fs::read_to_string(log).unwrap_or_default());
            }
            if let Some(record) = held.record.filter(|_| held.alive) {
                kill(record.process.pid, Signal::KILL);
            }
        }
        let Kubectl { namespace, .. } = &self.kubectl;
        if !self.kubectl.run(&["delete", "namespace", namespace, "--wait=false"], "").ok() {
            eprintln!("the namespace {namespace} is left");
        }
    }
}
