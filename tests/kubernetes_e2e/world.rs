//! A namespace for a test, and what kubectl sees in it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::harness::{Home, Outcome, run, skipped, until, with_home};

/// What belongs to Crewcall, of all kinds that it makes.
const OURS: [&str; 4] = [
    "get",
    "pods,services,secrets,configmaps,networkpolicies",
    "-l",
    "app.kubernetes.io/managed-by=crewcall",
];

/// A test's namespace, and the program with the rights of an administrator in it.
pub struct World<'a> {
    pub home: &'a Home,
    pub namespace: String,
    kubeconfig: PathBuf,
}

/// Runs `test` in a namespace of its own, in which nothing of ours may be left.
pub fn with_world(test: impl FnOnce(&World<'_>)) {
    let Some(kubeconfig) = std::env::var_os("CREWCALL_TEST_KUBECONFIG") else {
        skipped("CREWCALL_TEST_KUBECONFIG names no Kubernetes cluster for tests");
        return;
    };
    with_home(|home| {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("crewcall-e2e-{}-{number}", std::process::id());
        let world = World { home, namespace, kubeconfig: kubeconfig.clone().into() };
        world.use_kubeconfig(&std::fs::read_to_string(&world.kubeconfig).unwrap());
        world.kubectl(&["create", "namespace", &world.namespace]);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            test(&world);
            home.ok(&["delete", "--all"]);
            assert_eq!(world.left(), Vec::<String>::new(), "left in the namespace");
        }));
        if outcome.is_err() {
            eprintln!("{}", world.describe());
        }
        world.run_kubectl(&["delete", "namespace", &world.namespace, "--wait=false"]);
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    });
}

/// The image that pods run.
pub fn image() -> String {
    std::env::var("CREWCALL_TEST_IMAGE").unwrap_or_else(|_| "ghcr.io/dask/dask:2026.8.0-py3.11".to_owned())
}

impl World<'_> {
    /// Has the program under test reach Kubernetes by that kubeconfig.
    pub fn use_kubeconfig(&self, text: &str) {
        let directory = self.home.path("home/.kube");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("config"), text).unwrap();
    }

    /// The kubeconfig with all rights.
    pub fn administrator(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig of somebody who may do so much in the namespace, and nothing else.
    pub fn kubeconfig_with(&self, name: &str, rights: &[(&str, &str)]) -> String {
        self.kubectl(&["create", "serviceaccount", name]);
        for (number, (resources, verbs)) in rights.iter().enumerate() {
            let role = format!("{name}-{number}");
            let (resources, verbs) = (format!("--resource={resources}"), format!("--verb={verbs}"));
            self.kubectl(&["create", "role", &role, &resources, &verbs]);
            let (of, to) = (format!("--role={role}"), format!("--serviceaccount={}:{name}", self.namespace));
            self.kubectl(&["create", "rolebinding", &role, &of, &to]);
        }
        let token = self.kubectl(&["create", "token", name]);
        let config = self.kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]);
        let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
        config["users"][0]["user"] = serde_json::json!({ "token": token.trim() });
        config.to_string()
    }

    /// Writes the document of a cluster with that `spec`, less its provider.
    pub fn document(&self, name: &str, spec: &str) -> PathBuf {
        let text = format!(
            "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: {name}, namespace: {}}}\n\
             spec:\n  provider: {{kubernetes: {{}}}}\n  {spec}\n",
            self.namespace
        );
        self.home.write(&format!("{name}.yaml"), &text)
    }

    /// A document with the image of the tests and workers that fit on a small machine.
    pub fn usual(&self, name: &str, workers: u32) -> PathBuf {
        self.document(name, &usual(workers))
    }

    /// Creates a cluster from [`Self::usual`].
    pub fn create(&self, name: &str, workers: u32) -> String {
        let document = self.usual(name, workers);
        self.home.ok(&["create", "-f", document.to_str().unwrap()])
    }

    /// Tries to create a cluster.
    pub fn try_create(&self, name: &str, spec: &str, more: &[&str]) -> Outcome {
        let document = self.document(name, spec);
        let arguments: Vec<&str> =
            ["create", "-f", document.to_str().unwrap()].into_iter().chain(more.iter().copied()).collect();
        self.home.run(&arguments)
    }

    /// What kubectl says, if it succeeds.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.run_kubectl(arguments).ok()
    }

    pub fn run_kubectl(&self, arguments: &[&str]) -> Outcome {
        let program = std::env::var_os("CREWCALL_TEST_KUBECTL").unwrap_or_else(|| "kubectl".into());
        let mut command = Command::new(program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["-n", &self.namespace]).args(arguments);
        run(command)
    }

    /// Names of pods.
    pub fn pods(&self) -> Vec<String> {
        self.kubectl(&["get", "pods", "-o", "name"]).lines().map(|line| line.replace("pod/", "")).collect()
    }

    /// Whatever of ours is in the namespace.
    pub fn left(&self) -> Vec<String> {
        let named: Vec<&str> = OURS.into_iter().chain(["-o", "name"]).collect();
        self.kubectl(&named).lines().map(str::to_owned).collect()
    }

    /// Waits until the events of a cluster say something.
    pub fn until_event(&self, cluster: &str, text: &str) -> String {
        until(&format!("an event of {cluster} with `{text}`"), || {
            let events = self.home.ok(&["events", cluster]);
            events.contains(text).then_some(events)
        })
    }

    /// All that may explain a failure.
    fn describe(&self) -> String {
        let said = |arguments: &[&str]| {
            let outcome = self.run_kubectl(arguments);
            format!("---- kubectl {}\n{}{}", arguments.join(" "), outcome.stdout, outcome.stderr)
        };
        let mut text = format!("==== namespace {} ====\n", self.namespace);
        text += &said(&["get", "pods,services,configmaps,secrets", "-o", "wide"]);
        text += &said(&["get", "events", "--sort-by=.lastTimestamp"]);
        for pod in self.run_kubectl(&["get", "pods", "-o", "name"]).stdout.lines() {
            text += &said(&["logs", pod, "--tail=40"]);
        }
        text
    }
}

/// What documents of tests say below `spec`.
pub fn usual(workers: u32) -> String {
    format!(
        "environment: {{image: \"{}\"}}\n  scheduler: {{cpu: 50m}}\n  \
         workers: {{replicas: {workers}, cpu: 50m, memory: 512MiB}}",
        image()
    )
}
