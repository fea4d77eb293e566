//! A namespace for a test, operators that look after it, and what kubectl sees in it.

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use crewcall::spec::crd;
use serde_json::Value;
use tempfile::TempDir;

use crate::kubectl::{Kubectl, Said};

const DEFINITION: &str = "customresourcedefinition/computeclusters.crewcall.dev";

/// How long anything that a test waits for may take.
const BOUND: Duration = Duration::from_secs(150);

/// A namespace, for as long as it lives.
pub struct Stage {
    kubectl: Kubectl,
    pub directory: TempDir,
}

/// An operator, for as long as it lives.
pub struct Operator {
    child: Child,
    pub port: u16,
    pub log: PathBuf,
}

/// A namespace of its own for a test; `None`, said loudly, where there is no Kubernetes.
pub fn stage() -> Option<Stage> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    static DEFINED: Once = Once::new();
    let Some(kubeconfig) = env::var_os("CREWCALL_TEST_KUBECONFIG") else {
        eprintln!("SKIPPED: CREWCALL_TEST_KUBECONFIG names no Kubernetes");
        return None;
    };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let namespace = format!("crewcall-op-{}-{number}", std::process::id());
    let stage = Stage {
        kubectl: Kubectl { kubeconfig: kubeconfig.into(), namespace },
        directory: tempfile::tempdir().unwrap(),
    };
    DEFINED.call_once(|| {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        stage.done(&arguments, &crd::manifest().unwrap());
        stage.done(&["wait", "--for=condition=Established", "--timeout=60s", DEFINITION], "");
    });
    stage.done(&["create", "namespace", stage.namespace()], "");
    Some(stage)
}

/// Waits until `look` finds something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < BOUND, "{what} did not come within {} s", BOUND.as_secs());
        sleep(Duration::from_millis(100));
    }
}

impl Stage {
    pub fn namespace(&self) -> &str {
        &self.kubectl.namespace
    }

    /// Runs `kubectl` in the namespace, with this text on its standard input.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Said {
        self.kubectl.run(arguments, input)
    }

    /// What `kubectl` printed; it has to succeed.
    pub fn done(&self, arguments: &[&str], input: &str) -> String {
        self.kubectl.done(arguments, input)
    }

    /// Begins to run an operator for the namespace, with more variables.
    pub fn operator(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Operator {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let log = self.directory.path().join(format!("operator-{number}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_crewcall"))
            .arg("operator")
            .args(["--namespace", self.namespace(), "--lease-namespace", self.namespace()])
            .args(["--port", &port.to_string()])
            .args(arguments)
            .env("KUBECONFIG", &self.kubectl.kubeconfig)
            .env_remove("CREWCALL_FAILPOINT")
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Operator { child, port, log }
    }

    /// The kubeconfig with all rights.
    pub fn administrator(&self) -> &Path {
        &self.kubectl.kubeconfig
    }

    /// A document with the image of the tests and workers that fit on a small machine.
    pub fn document(name: &str, workers: &str) -> String {
        let image = env::var("CREWCALL_TEST_IMAGE")
            .unwrap_or_else(|_| "ghcr.io/dask/dask:2026.8.0-py3.11".to_owned());
        format!(
            "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: {name}}}\n\
             spec:\n  provider: {{kubernetes: {{}}}}\n  environment: {{image: \"{image}\"}}\n  \
             scheduler: {{cpu: 50m}}\n  workers: {{{workers}, cpu: 50m, memory: 512MiB}}\n"
        )
    }

    /// Applies a text, as `kubectl` does.
    pub fn apply(&self, text: &str) {
        self.done(&["apply", "-f", "-"], text);
    }

    /// An object; `None` when it is not there.
    pub fn object(&self, kind: &str, name: &str) -> Option<Value> {
        let said = self.kubectl(&["get", kind, name, "-o", "json"], "");
        said.ok().then(|| serde_json::from_str(&said.out).unwrap())
    }

    /// The object of a cluster.
    pub fn cluster(&self, name: &str) -> Value {
        self.object("computecluster", name).unwrap_or_default()
    }

    /// Waits until a cluster's object is as `wanted` says.
    pub fn until(&self, name: &str, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let begun = Instant::now();
        loop {
            let cluster = self.cluster(name);
            if wanted(&cluster) {
                return cluster;
            }
            if let Some(status) = cluster.get("status") {
                last = status.clone();
                if let Some(status) = last.as_object_mut() {
                    status.remove("ledger");
                }
            }
            assert!(begun.elapsed() < BOUND, "{name}: {what} did not come; {last:#}\n{}", self.describe());
            sleep(Duration::from_millis(150));
        }
    }

    /// Waits until so many workers of a cluster's default group are ready, and no more are wanted.
    pub fn until_ready(&self, name: &str, workers: u32) -> Value {
        self.until(name, &format!("Ready with {workers} workers"), |cluster| {
            let generation = &cluster["metadata"]["generation"];
            let status = &cluster["status"];
            status["phase"] == "Ready"
                && status["observedGeneration"] == *generation
                && status["workers"]["ready"] == workers
                && status["workers"]["wanted"] == workers
        })
    }

    /// Names of pods.
    pub fn pods(&self) -> Vec<String> {
        let said = self.done(&["get", "pods", "-o", "name"], "");
        said.lines().map(|line| line.replace("pod/", "")).collect()
    }

    /// Reasons and notes of the events of a cluster's object.
    pub fn events(&self) -> String {
        let columns = "custom-columns=R:.reason,N:.note,S:.series.count";
        self.done(&["get", "events.events.k8s.io", "-o", columns], "")
    }

    /// Whatever of ours is in the namespace.
    pub fn left(&self) -> Vec<String> {
        let kinds = "computeclusters,pods,services,secrets,configmaps,networkpolicies,roles";
        let said = self.done(&["get", kinds, "-o", "name"], "");
        let own = |line: &&str| !line.contains("kube-root-ca.crt");
        said.lines().filter(own).map(str::to_owned).collect()
    }

    /// Waits until nothing of ours is in the namespace.
    pub fn until_empty(&self) {
        let mut left = Vec::new();
        let begun = Instant::now();
        loop {
            left.clone_from(&self.left());
            if left.is_empty() {
                return;
            }
            assert!(begun.elapsed() < BOUND, "left in the namespace: {left:?}");
            sleep(Duration::from_millis(200));
        }
    }

    /// Begins to run a program of a client, which reaches the scheduler's Service.
    pub fn client(&self, cluster: &str, program: &str) -> Option<Client> {
        let Some(python) = env::var_os("CREWCALL_TEST_PYTHON") else {
            eprintln!("SKIPPED: CREWCALL_TEST_PYTHON names no Python with Dask");
            return None;
        };
        let files = self.directory.path().join(format!("{cluster}-client"));
        fs::create_dir_all(&files).unwrap();
        for name in ["ca.crt", "tls.crt", "tls.key"] {
            let template = format!("go-template={{{{index .data \"{name}\" | base64decode}}}}");
            let text = self.done(&["get", "secret", &format!("{cluster}-client"), "-o", &template], "");
            fs::write(files.join(name), text).unwrap();
        }
        let service = self.object("service", &format!("{cluster}-scheduler")).unwrap();
        let address = format!("tls://{}:8786", service["spec"]["clusterIP"].as_str().unwrap());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operator_kubernetes/client.py");
        let output = self.directory.path().join(format!("{cluster}-client.out"));
        let mut child = Command::new(python)
            .arg(script)
            .arg(address)
            .arg(files)
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(fs::File::create(&output).unwrap())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
        Some(Client { child, output })
    }

    /// All that may explain a failure.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for arguments in [
            ["get", "computeclusters,pods,services,configmaps,secrets", "-o", "wide"].as_slice(),
            ["get", "events", "--sort-by=.lastTimestamp"].as_slice(),
        ] {
            let said = self.kubectl(arguments, "");
            let asked = arguments.join(" ");
            text.extend(["---- kubectl ", &asked, "\n", &said.out, &said.err]);
        }
        for entry in fs::read_dir(self.directory.path()).unwrap().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                let log = fs::read_to_string(entry.path()).unwrap_or_default();
                text.extend(["---- ", &entry.path().display().to_string(), "\n", &log]);
            }
        }
        text
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.kubectl(&["delete", "computeclusters", "--all", "--wait=false"], "");
        self.kubectl(&["delete", "namespace", self.namespace(), "--wait=false"], "");
    }
}

/// A client that runs.
pub struct Client {
    child: Child,
    output: PathBuf,
}

impl Client {
    /// Waits until it has printed a line.
    pub fn until_said(&self, line: &str) {
        until(&format!("the client's line `{line}`"), || {
            let said = fs::read_to_string(&self.output).unwrap_or_default();
            said.lines().any(|other| other == line).then_some(())
        });
    }

    /// Waits for its end; what it has printed.
    pub fn end(mut self) -> String {
        let status = until("the client's end", || self.child.try_wait().unwrap());
        let said = fs::read_to_string(&self.output).unwrap();
        assert!(status.success(), "the client failed; it had said: {said}");
        said
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Operator {
    /// What it answers at a path: status and body.
    pub fn ask(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split_whitespace().nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// Waits until it says that it is ready in these words.
    pub fn until_ready(&self, words: &str) {
        until(&format!("readiness ({words}); {}", self.log()), || {
            self.ask("/readyz").filter(|(status, body)| *status == 200 && body.contains(words))
        });
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it as nothing can be prepared for.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to end, and waits for that; the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        until("the operator's end", || self.child.try_wait().unwrap()).code()
    }

    /// Whether it has died.
    pub fn is_dead(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
