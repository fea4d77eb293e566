//! The account of a test, and what the double tells of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};

use crate::harness::{Home, Outcome, run, skipped, with_home};

/// Posts to the double, or asks it.
const ASK: &str = "
import sys, urllib.request
url, body = sys.argv[1], sys.argv[2].encode() or None
print(urllib.request.urlopen(urllib.request.Request(url, body), timeout=10).read().decode())
";

/// One test at a time has the account.
static ACCOUNT: Mutex<()> = Mutex::new(());

/// An account, and the program with its credentials in AWS' own files.
pub struct World<'a> {
    pub home: &'a Home,
    url: String,
}

/// Runs `test` in an account in which nothing may be left.
pub fn with_world(test: impl FnOnce(&World<'_>)) {
    let Ok(url) = std::env::var("CREWCALL_TEST_EC2") else {
        skipped("CREWCALL_TEST_EC2 names no double of EC2 whose instances boot");
        return;
    };
    let _turn = ACCOUNT.lock().unwrap_or_else(PoisonError::into_inner);
    with_home(|home| {
        let world = World { home, url };
        let aws = home.path("home/.aws");
        std::fs::create_dir_all(&aws).unwrap();
        let config = format!("[default]\nregion = us-east-1\nendpoint_url = {}\n", world.url);
        std::fs::write(aws.join("config"), config).unwrap();
        let keys = "[default]\naws_access_key_id = AKIATESTTESTTESTTEST\naws_secret_access_key = test\n";
        std::fs::write(aws.join("credentials"), keys).unwrap();
        world.tell("calm", &json!({}));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            test(&world);
            home.ok(&["delete", "--all"]);
            assert_eq!(world.asked("leftovers"), json!([]), "left in the account");
        }));
        if let Err(panic) = outcome {
            eprintln!("==== the account ====\n{:#}", world.asked("report"));
            for event in ["events", "describe"] {
                eprintln!("---- {event}\n{}", home.run(&[event, "demo"]).stdout);
            }
            eprintln!("---- logs\n{}", home.run(&["logs", "demo"]).stdout);
            world.home.run(&["delete", "--all"]);
            resume_unwind(panic);
        }
    });
}

impl World<'_> {
    /// What documents of tests say below `spec`.
    pub fn usual(workers: u32) -> String {
        format!(
            "environment: {{image: \"ghcr.io/dask/dask:2026.8.0\"}}\n  workers: {{replicas: {workers}, threads: 1, \
             memory: 1GiB, ec2: {{purchase: spotWithFallback}}}}"
        )
    }

    /// Writes the document of a cluster with that `spec`, less its provider.
    pub fn document(&self, spec: &str) -> PathBuf {
        self.document_of("clientCidrs: [10.251.0.1/32]", spec)
    }

    /// Writes the document of a cluster with that in `provider.ec2`, and that `spec` less its provider.
    pub fn document_of(&self, ec2: &str, spec: &str) -> PathBuf {
        let text = format!(
            "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: demo}}\nspec:\n  provider:\n    \
             ec2:\n      {ec2}\n      instanceProfiles: {{scheduler: crewcall-scheduler, \
             workers: crewcall-worker}}\n  {spec}\n"
        );
        self.home.write("demo.yaml", &text)
    }

    /// Creates a cluster from [`Self::usual`].
    pub fn create(&self, workers: u32) -> String {
        self.try_create(&Self::usual(workers), &[]).ok()
    }

    /// Tries to create a cluster.
    pub fn try_create(&self, spec: &str, environment: &[(&str, &str)]) -> Outcome {
        let document = self.document(spec);
        let mut create = self.home.crewcall(&["create", "-f", document.to_str().unwrap()]);
        create.envs(environment.iter().copied());
        run(create)
    }

    /// Tells the double something.
    pub fn tell(&self, verb: &str, body: &Value) {
        self.ask(verb, &body.to_string());
    }

    /// What the double says.
    pub fn asked(&self, verb: &str) -> Value {
        serde_json::from_str(&self.ask(verb, "")).unwrap()
    }

    fn ask(&self, verb: &str, body: &str) -> String {
        let mut ask = self.home.program(self.home.interpreter());
        ask.args(["-c", ASK, &format!("{}/_control/{verb}", self.url), body]);
        run(ask).ok()
    }

    /// Ids of the cluster's workers that the scheduler knows.
    pub fn workers(&self) -> Vec<String> {
        let view = self.home.view("demo");
        let nodes = view["nodes"].as_array().unwrap().iter();
        nodes
            .filter(|node| node["state"] == "Ready")
            .filter_map(|node| Some(node["name"].as_str()?.strip_prefix("demo-workers-")?.to_owned()))
            .collect()
    }
}
