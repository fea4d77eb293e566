//! A real API server with the definition on it, and a namespace for each run.

use std::{
    env,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use crewcall::spec::crd;
use serde_json::Value;

const DEFINITION: &str = "customresourcedefinition/computeclusters.crewcall.dev";

/// `kubectl` on the cluster that `CREWCALL_TEST_KUBECONFIG` names, and what it said.
pub struct Said {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

/// The definition is there while one of these lives.
pub struct Stage {
    kubeconfig: PathBuf,
    pub namespace: String,
    was_there: bool,
}

static STAGE: Mutex<Weak<Stage>> = Mutex::new(Weak::new());

/// The stage of this process; `None`, said loudly, where there is no Kubernetes.
pub fn stage() -> Option<Arc<Stage>> {
    let Some(kubeconfig) = env::var_os("CREWCALL_TEST_KUBECONFIG") else {
        eprintln!("SKIPPED: CREWCALL_TEST_KUBECONFIG names no Kubernetes");
        return None;
    };
    let mut current = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(stage) = current.upgrade() {
        return Some(stage);
    }
    let stage = Arc::new(Stage::set(kubeconfig.into()));
    *current = Arc::downgrade(&stage);
    Some(stage)
}

impl Stage {
    fn set(kubeconfig: PathBuf) -> Self {
        let namespace = format!("crewcall-crd-{}", std::process::id());
        let mut stage = Self { kubeconfig, namespace, was_there: true };
        let created = stage.kubectl(&["create", "namespace", &stage.namespace.clone()], "");
        assert!(created.ok || created.err.contains("AlreadyExists"), "{}", created.err);
        stage.was_there = stage.kubectl(&["get", DEFINITION], "").ok;
        let arguments = ["apply", "--server-side", "--force-conflicts", "--validate=strict", "-f", "-"];
        let applied = stage.kubectl(&arguments, &crd::manifest().unwrap());
        assert!(applied.ok && !applied.err.contains("Warning"), "{}", applied.err);
        stage.done(&["wait", "--for=condition=Established", "--timeout=60s", DEFINITION], "");
        let conditions = stage.done(&["get", DEFINITION, "-o", "jsonpath={.status.conditions}"], "");
        assert!(!conditions.contains("NonStructuralSchema"), "{conditions}");
        stage
    }

    /// Runs `kubectl` with this text on its standard input.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Said {
        let program = env::var_os("CREWCALL_TEST_KUBECTL").unwrap_or_else(|| "kubectl".into());
        let mut child = Command::new(program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--namespace")
            .arg(&self.namespace)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { ok: status.success(), out: text(stdout), err: text(stderr) }
    }

    /// What `kubectl` printed; it has to succeed.
    pub fn done(&self, arguments: &[&str], input: &str) -> String {
        let said = self.kubectl(arguments, input);
        assert!(said.ok, "kubectl {}: {}", arguments.join(" "), said.err);
        said.out
    }

    /// Why `kubectl` did not do it; it has to fail.
    pub fn refused(&self, arguments: &[&str], input: &str) -> String {
        let said = self.kubectl(arguments, input);
        assert!(!said.ok, "kubectl {} was done: {}", arguments.join(" "), said.out);
        said.err
    }

    /// Applies the text as our own clients do, without keeping it: the object as it would be stored.
    pub fn rehearse(&self, text: &str) -> Result<Value, String> {
        let arguments =
            ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-"];
        let said = self.kubectl(&arguments, text);
        if said.ok { Ok(serde_json::from_str(&said.out).unwrap()) } else { Err(said.err) }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _stages_wait = STAGE.lock();
        self.kubectl(&["delete", "namespace", &self.namespace.clone(), "--timeout=60s"], "");
        if !self.was_there {
            self.kubectl(&["delete", DEFINITION, "--timeout=60s"], "");
        }
    }
}
