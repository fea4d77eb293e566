//! A person's home, with a controller in it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    future::Future,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crewcall::{
    api::{
        ApiClient,
        process::{ConnectError, Launcher, connect, connect_or_start},
    },
    controller::process::{Locations, ProcessIdentity},
    model::{
        BootId, CallerContext, ClusterRecord, ClusterUid, MachineId, Presence, Progress, RECORD_FORMAT,
        Wanted,
    },
    spec::{self, ComputeCluster},
    store::{DirectoryStore, Store},
};
use rustix::process::{Pid, Signal};

/// The version of the program under test.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Longer than anything here should take.
const BOUND: Duration = Duration::from_secs(20);

/// A home directory and the environment variables of a person. No controller outlives it.
pub struct Home {
    directory: tempfile::TempDir,
    variables: BTreeMap<OsString, OsString>,
}

impl Home {
    /// With directories of its own, and a controller that waits for a minute.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("cw").tempdir().unwrap();
        let home = Self { directory, variables: BTreeMap::new() };
        let [itself, state, run, cache] = ["", "state", "run", "cache"].map(|name| home.path(name));
        home.with("HOME", itself)
            .with("PATH", "/usr/bin:/bin")
            .with("CREWCALL_STATE_DIR", state)
            .with("CREWCALL_RUNTIME_DIR", run)
            .with("CREWCALL_CACHE_DIR", cache)
            .with("CREWCALL_CONTROLLER_LINGER", "60")
    }

    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.variables.remove(&OsString::from(name));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn locations(&self) -> Locations {
        Locations::from_environment(|name| self.variables.get(&OsString::from(name)).cloned()).unwrap()
    }

    pub fn launcher(&self) -> Launcher {
        Launcher {
            program: env!("CARGO_BIN_EXE_crewcall").into(),
            arguments: vec!["__controller".into()],
            environment: self.variables.clone(),
            version: VERSION.to_owned(),
        }
    }

    /// A launcher of controllers that say they are of that version.
    pub fn launcher_of(&self, version: &str) -> Launcher {
        let arguments = ["__controller", "--as-version", version].map(OsString::from).to_vec();
        Launcher { arguments, version: version.to_owned(), ..self.launcher() }
    }

    pub async fn connect(&self) -> Option<ApiClient> {
        connect(&self.locations()).await.unwrap()
    }

    pub async fn start(&self) -> ApiClient {
        self.try_start().await.unwrap()
    }

    pub async fn try_start(&self) -> Result<ApiClient, ConnectError> {
        connect_or_start(&self.locations(), &self.launcher()).await
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.locations().log()).unwrap_or_default()
    }

    /// Puts the record of a cluster into the store, as another controller would.
    pub async fn record(&self, name: &str, machine: &MachineId, boot: &BootId) -> ClusterRecord {
        self.records([name], machine, boot).await.remove(0)
    }

    /// The same of several clusters.
    pub async fn records(
        &self,
        names: impl IntoIterator<Item = impl AsRef<str>>,
        machine: &MachineId,
        boot: &BootId,
    ) -> Vec<ClusterRecord> {
        let state = self.locations().state().to_owned();
        let store = DirectoryStore::new(state, machine.clone()).unwrap();
        let mut records = Vec::new();
        for name in names {
            let record = record(name.as_ref(), machine, boot);
            store.create(&record).await.unwrap();
            records.push(record);
        }
        records
    }

    /// The program, as this person calls it.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crewcall"));
        command.args(words).env_clear().envs(&self.variables);
        command
    }
}

fn record(name: &str, machine: &MachineId, boot: &BootId) -> ClusterRecord {
    let wanted = Wanted {
        uid: ClusterUid::from_random(7),
        document: document(name),
        generation: 1,
        created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        presence: Presence::Present,
        machine: machine.clone(),
        boot: boot.clone(),
        context: CallerContext::default(),
        interpreter: None,
        forced_generation: None,
        asked_at: None,
    };
    ClusterRecord { format: RECORD_FORMAT, revision: 1, wanted, progress: Progress::default() }
}

impl Drop for Home {
    fn drop(&mut self) {
        for pid in controllers(self.directory.path()) {
            signal(pid, Signal::KILL);
        }
    }
}

/// A document without anything special.
pub fn document(name: &str) -> ComputeCluster {
    let text = format!(
        "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata:\n  name: {name}\nspec:\n  \
         provider:\n    local: {{}}\n"
    );
    spec::load("test.yaml", &text).unwrap().cluster
}

/// The processes that were started with something of that directory in their environment.
pub fn controllers(directory: &Path) -> Vec<u32> {
    let marker = directory.as_os_str().as_encoded_bytes();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        entry.ok()?.file_name().to_str()?.parse::<u32>().ok().filter(|pid| *pid != std::process::id())
    });
    processes
        .filter(|pid| {
            let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            variables.windows(marker.len()).any(|window| window == marker)
        })
        .filter(|pid| ProcessIdentity::of(*pid).is_some())
        .collect()
}

pub fn signal(pid: u32, signal: Signal) {
    // It may have ended in between.
    let _ = rustix::process::kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal);
}

/// Waits until something is so, and fails with its name if that takes too long.
pub async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    within(BOUND, what, is_so).await;
}

/// As [`eventually`], with a bound of its own.
pub async fn within<F: Future<Output = bool>>(bound: Duration, what: &str, is_so: impl Fn() -> F) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < bound, "not within {} s: {what}", bound.as_secs());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn ended(pid: u32) {
    eventually("the end of the controller", || async { ProcessIdentity::of(pid).is_none() }).await;
}
