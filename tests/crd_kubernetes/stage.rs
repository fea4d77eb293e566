//! A real API server with the definition on it, and a namespace for each run.

use std::{
    env,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use crewcall::spec::crd;
use serde_json::Value;

use crate::kubectl::{Kubectl, Said};

const DEFINITION: &str = "customresourcedefinition/computeclusters.crewcall.dev";

/// The definition is there while one of these lives.
pub struct Stage {
    kubectl: Kubectl,
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
        let mut stage = Self { kubectl: Kubectl { kubeconfig, namespace }, was_there: true };
        let created = stage.kubectl(&["create", "namespace", stage.namespace()], "");
        assert!(created.ok() || created.err.contains("AlreadyExists"), "{}", created.err);
        stage.was_there = stage.kubectl(&["get", DEFINITION], "").ok();
        let arguments = ["apply", "--server-side", "--force-conflicts", "--validate=strict", "-f", "-"];
        let applied = stage.kubectl(&arguments, &crd::manifest().unwrap());
        assert!(applied.ok() && !applied.err.contains("Warning"), "{}", applied.err);
        stage.done(&["wait", "--for=condition=Established", "--timeout=60s", DEFINITION], "");
        let conditions = stage.done(&["get", DEFINITION, "-o", "jsonpath={.status.conditions}"], "");
        assert!(!conditions.contains("NonStructuralSchema"), "{conditions}");
        stage
    }

    pub fn namespace(&self) -> &str {
        &self.kubectl.namespace
    }

    /// Runs `kubectl` with this text on its standard input.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Said {
        self.kubectl.run(arguments, input)
    }

    /// What `kubectl` printed; it has to succeed.
    pub fn done(&self, arguments: &[&str], input: &str) -> String {
        self.kubectl.done(arguments, input)
    }

    /// Why `kubectl` did not do it; it has to fail.
    pub fn refused(&self, arguments: &[&str], input: &str) -> String {
        let said = self.kubectl(arguments, input);
        assert!(!said.ok(), "kubectl {} was done: {}", arguments.join(" "), said.out);
        said.err
    }

    /// Applies the text as our own clients do, without keeping it: the object as it would be stored.
    pub fn rehearse(&self, text: &str) -> Result<Value, String> {
        let arguments =
            ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-"];
        let said = self.kubectl(&arguments, text);
        if said.ok() { Ok(serde_json::from_str(&said.out).unwrap()) } else { Err(said.err) }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _stages_wait = STAGE.lock();
        self.kubectl(&["delete", "namespace", self.namespace(), "--timeout=60s"], "");
        if !self.was_there {
            self.kubectl(&["delete", DEFINITION, "--timeout=60s"], "");
        }
    }
}
