//! The controller's side: forwarders are started, found again, and ended.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rustix::process::Signal;
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::{
    files::{self, Files},
    ports::Ports,
    process::ForwarderArguments,
    record::{ForwarderRecord, OLDEST_PROTOCOL},
    request::ForwardRequest,
    startup::{ForwarderStart, ForwarderStarted},
    status::ForwarderStatus,
};
use crate::{
    model::{BootId, CallerEnvironment, ClusterUid, MachineId},
    provider::{ErrorKind, ProviderError, child, os},
};

/// How long a forwarder may take from its start until it listens.
const START: Duration = Duration::from_secs(15);

/// How long it may take to end when asked, and when killed.
const END: Duration = Duration::from_secs(5);

/// The pause between two looks at a lock: the kernel tells nobody that one was let go.
const LOOK: Duration = Duration::from_millis(10);

/// The forwarders of this installation.
#[derive(Debug, Clone)]
pub struct Forwarders {
    state: PathBuf,
    program: PathBuf,
    machine: MachineId,
    boot: BootId,
}

/// What there is of a cluster's forwarder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Whose it is.
    pub cluster: ClusterUid,
    /// What it has written down; `None`: nothing yet, or nothing that can be read.
    pub record: Option<ForwarderRecord>,
    /// Whether it lives.
    pub alive: bool,
}

impl Forwarders {
    /// Those below a state directory; `program` is this program, to be run as one.
    pub fn new(state: PathBuf, program: PathBuf, machine: MachineId, boot: BootId) -> Self {
        Self { state, program, machine, boot }
    }

    /// The local ports of a cluster, behind which its forwarder is alive; it is started if there is none. One that
    /// runs is left as it is, also one of another release, unless it leads to one scheduler and another is asked for.
    ///
    /// `environment` is the whole environment of a new one. What the kubeconfig's credential programs need beyond it
    /// is `lent`, which it keeps in its memory alone.
    ///
    /// # Errors
    /// When none could be started. Whether the scheduler can be reached is not looked at; see
    /// [`Forwarders::status`].
    pub async fn ensure(
        &self,
        request: &ForwardRequest,
        environment: &BTreeMap<String, String>,
        lent: &CallerEnvironment,
    ) -> Result<Ports, ProviderError> {
        let files = files::of_cluster(&self.state, &request.cluster.uid);
        let deadline = Instant::now() + START;
        loop {
            if is_locked(&files)? {
                if let Some(record) = self.living(&files)? {
                    if fits(&record, request) {
                        return Ok(record.ports);
                    }
                    let (version, led) = (&record.version, &record.scheduler);
                    tracing::info!(version, led, "replacing a forwarder: too old, or to a scheduler before");
                    self.stop(&files).await?;
                }
            } else if let Some(ports) = self.start(request, environment, lent).await? {
                return Ok(ports);
            }
            if Instant::now() >= deadline {
                let (lock, waited) = (files.lock.display(), START.as_secs());
                return Err(ProviderError::unsure(format!(
                    "somebody has held {lock} for {waited} s, but wrote down no ports"
                )));
            }
            sleep(LOOK).await;
        }
    }

    /// Ends a cluster's forwarder, and keeps what it has written. None is fine. Returns the directory where that lies.
    pub async fn halt(&self, cluster: &ClusterUid) -> Result<PathBuf, ProviderError> {
        let files = files::of_cluster(&self.state, cluster);
        self.stop(&files).await?;
        Ok(files.directory)
    }

    /// Ends a cluster's forwarder and forgets its ports. None is fine.
    pub async fn end(&self, cluster: &ClusterUid) -> Result<(), ProviderError> {
        let directory = self.halt(cluster).await?;
        os::remove_all(&directory).map_err(|error| cannot("remove", &directory, &error))
    }

    /// All that there are on this machine, dead and alive.
    pub fn list(&self) -> Result<Vec<Held>, ProviderError> {
        let directory = files::forwarders_directory(&self.state);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(cannot("read", &directory, &error)),
        };
        let mut held = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| cannot("read", &directory, &error))?.file_name();
            let Some(cluster) = name.to_str().and_then(|name| name.parse::<ClusterUid>().ok()) else {
                continue;
            };
            let files = files::of_cluster(&self.state, &cluster);
            // The lock first: one that ends between the two is then seen as gone with its record.
            let alive = is_locked(&files)?;
            let record = readable(&files);
            if record.as_ref().is_none_or(|record| record.machine == self.machine) {
                held.push(Held { cluster, record, alive });
            }
        }
        Ok(held)
    }

    /// What a cluster's forwarder has to say; `None`: nothing yet. Kept when it ends by a signal.
    pub fn status(&self, cluster: &ClusterUid) -> Result<Option<ForwarderStatus>, ProviderError> {
        let files = files::of_cluster(&self.state, cluster);
        ForwarderStatus::read(&files).map_err(|error| cannot("read", &files.status, &error))
    }

    /// When a cluster's forwarder was first started; `None` where there is none, or nobody knows.
    pub fn since(&self, cluster: &ClusterUid) -> Option<Timestamp> {
        let files = files::of_cluster(&self.state, cluster);
        // The lock's file is made once, and never written.
        Timestamp::try_from(fs::metadata(&files.lock).ok()?.modified().ok()?).ok()
    }

    /// The directory in which a cluster's forwarder writes down what it has to say.
    pub(super) fn directory(&self, cluster: &ClusterUid) -> PathBuf {
        files::of_cluster(&self.state, cluster).directory
    }

    /// The record of whoever holds the lock; `None`: it has not written it yet.
    fn living(&self, files: &Files) -> Result<Option<ForwarderRecord>, ProviderError> {
        let record = ForwarderRecord::read(files).map_err(|error| cannot("read", &files.record, &error))?;
        // That of the one before stays until the next has written its own.
        Ok(record.filter(|record| record.boot == self.boot && record.process.is_running()))
    }

    async fn stop(&self, files: &Files) -> Result<(), ProviderError> {
        for signal in [Signal::TERM, Signal::KILL] {
            let deadline = Instant::now() + END;
            let mut sent = false;
            while is_locked(files)? {
                if !sent && let Some(record) = self.living(files)? {
                    let signalled = record.process.signal(signal);
                    sent = signalled
                        .map_err(|error| cannot("end the forwarder of", &files.directory, &error))?;
                }
                if Instant::now() >= deadline {
                    break;
                }
                sleep(LOOK).await;
            }
        }
        if is_locked(files)? {
            return Err(ProviderError::unsure(format!(
                "the forwarder of {} did not end within {} s of SIGKILL",
                files.directory.display(),
                END.as_secs()
            )));
        }
        Ok(())
    }

    /// Starts one; `None`: somebody else has just done so.
    async fn start(
        &self,
        request: &ForwardRequest,
        environment: &BTreeMap<String, String>,
        lent: &CallerEnvironment,
    ) -> Result<Option<Ports>, ProviderError> {
        let failed = |error: &dyn std::fmt::Display| {
            let program = self.program.display();
            ProviderError::new(
                ErrorKind::Transient,
                format!("cannot start {program} as a forwarder: {error}"),
            )
        };
        let arguments = ForwarderArguments { state: self.state.clone() };
        let mut command = Command::new(&self.program);
        command.arg("__forwarder").args(arguments.to_arguments()).env_clear().envs(environment);
        let start = ForwarderStart {
            request: request.clone(),
            machine: self.machine.clone(),
            boot: self.boot.clone(),
            lent: lent.clone(),
        };
        let answer = child::start(&mut command, &start, START).await.map_err(|error| failed(&error))?;
        match serde_json::from_str(&answer) {
            Ok(ForwarderStarted::Listening(ports)) => Ok(Some(ports)),
            Ok(ForwarderStarted::RunsAlready) => Ok(None),
            Ok(ForwarderStarted::Failed(problem)) => Err(failed(&problem)),
            Err(error) => Err(failed(&format!("it said something odd: {error}"))),
        }
    }
}

/// Whether a forwarder does what is asked for. One that follows its cluster leads to every scheduler.
fn fits(record: &ForwarderRecord, request: &ForwardRequest) -> bool {
    record.protocol >= OLDEST_PROTOCOL && record.scheduler == request.scheduler()
}

fn readable(files: &Files) -> Option<ForwarderRecord> {
    ForwarderRecord::read(files).unwrap_or_else(|error| {
        tracing::warn!(%error, path = %files.record.display(), "cannot use a forwarder's record");
        None
    })
}

fn is_locked(files: &Files) -> Result<bool, ProviderError> {
    os::is_locked(&files.lock).map_err(|error| cannot("look at", &files.lock, &error))
}

fn cannot(doing: &str, path: &Path, error: &io::Error) -> ProviderError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Invalid,
        _ => ErrorKind::Transient,
    };
    ProviderError::new(kind, format!("cannot {doing} {}: {error}", path.display()))
}
