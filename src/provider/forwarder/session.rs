//! The way to a machine without an address of its own: a session of AWS Systems Manager, kept by AWS' program for
//! them, which listens on a port here.
//!
//! Sessions end, when AWS or a network has it so; the program then ends, or goes on and carries nothing. A new one
//! is started then, with another port.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::request::SessionTarget;
use crate::{
    model::{CallerEnvironment, ErrorKind},
    provider::{
        ProviderError,
        ec2::{Ec2Api as _, Ec2Client, StartedSession, plugin},
        os,
    },
};

/// Pauses between sessions: the first, the longest, and the longest while the machine's agent is not heard of.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_UNHEARD: Duration = Duration::from_secs(4);

/// How long a session must have held for the next failure to be the first of a row.
const WORKED: Duration = Duration::from_mins(1);

/// How long the program may take until it listens.
const LISTENS: Duration = Duration::from_secs(30);

/// How long AWS may take to end a session that is not used any more.
const ENDS: Duration = Duration::from_secs(3);

/// How long credentials may be refused until there is no use in trying: only a new forwarder has other ones.
const REFUSED: Duration = Duration::from_mins(1);

/// By which variable the program gets the session. Arguments are seen by everybody.
const ANSWER: &str = "AWS_SSM_START_SESSION_RESPONSE";

/// The way through a session, whichever there is.
#[derive(Clone)]
pub struct SessionWay {
    port: watch::Receiver<Result<u16, String>>,
    orders: Arc<Orders>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

#[derive(Default)]
struct Orders {
    doubted: Notify,
    closing: Notify,
    over: Notify,
}

/// What is known of a session beyond the life of a forwarder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    session: String,
    scratch: PathBuf,
}

struct Keeper {
    target: SessionTarget,
    client: Ec2Client,
    lent: CallerEnvironment,
    record: PathBuf,
    kept: Mutex<Option<Kept>>,
    port: watch::Sender<Result<u16, String>>,
    orders: Arc<Orders>,
}

/// Ends the session that a forwarder with these files was killed with, if there is one.
pub async fn end_session(directory: &Path, client: &Ec2Client) {
    let record = record_in(directory);
    if let Some(kept) = Kept::read(&record) {
        kept.end(&record, client).await;
    }
}

fn record_in(directory: &Path) -> PathBuf {
    directory.join("session.json")
}

impl Kept {
    fn read(record: &Path) -> Option<Self> {
        fs::read(record).ok().and_then(|text| serde_json::from_slice(&text).ok())
    }

    async fn end(&self, record: &Path, client: &Ec2Client) {
        let Self { session, scratch } = self;
        // AWS ends it by itself too, later.
        match timeout(ENDS, client.terminate_session(session)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::info!(session, error = error.message, "a session was not ended"),
            Err(_) => tracing::info!(session, "nobody answered that a session was ended"),
        }
        let is_ours = Self::read(record).as_ref() == Some(self);
        for path in [Some(scratch.as_path()), is_ours.then_some(record)].into_iter().flatten() {
            if let Err(error) = os::remove_all(path) {
                tracing::warn!(%error, path = %path.display(), "cannot remove what a session left");
            }
        }
    }
}

impl SessionWay {
    /// Keeps sessions from now on. What is to be known of them is written to `directory`.
    pub fn keep(target: &SessionTarget, lent: CallerEnvironment, directory: &Path) -> Self {
        let (sender, port) = watch::channel(Err("no session of Systems Manager was started yet".to_owned()));
        let orders = Arc::new(Orders::default());
        let client = Ec2Client::new(target.context.clone());
        client.renew(&lent);
        let keeper = Keeper {
            target: target.clone(),
            client,
            lent,
            record: record_in(directory),
            kept: Mutex::default(),
            port: sender,
            orders: Arc::clone(&orders),
        };
        let task = tokio::spawn(keeper.keep());
        Self { port, orders, task: Arc::new(Mutex::new(Some(task))) }
    }

    /// The port here that leads to the machine's, waited for until `deadline`; else what keeps there from being one.
    pub async fn port(&self, deadline: Instant) -> Result<u16, String> {
        let mut port = self.port.clone();
        let known = timeout_at(deadline, port.wait_for(Result::is_ok)).await;
        match known {
            Ok(Ok(port)) => port.clone(),
            Ok(Err(_)) | Err(_) => self.port.borrow().clone(),
        }
    }

    /// Nothing comes through: there is to be another session.
    pub fn doubt(&self) {
        self.orders.doubted.notify_waiters();
    }

    /// Returns when there is no use in this forwarder any more.
    pub async fn is_over(&self) {
        self.orders.over.notified().await;
    }

    /// Ends the program and the session.
    pub async fn close(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            self.orders.closing.notify_one();
            // A task that panicked has said so.
            let _ended = task.await;
        }
    }
}

/// Where the program keeps its socket, whose path may have 107 bytes, 59 of them its own.
fn scratch_root() -> PathBuf {
    const LONGEST: usize = 40;
    let named = std::env::temp_dir();
    if named.as_os_str().len() > LONGEST { PathBuf::from("/tmp") } else { named }
}

impl Keeper {
    async fn keep(self) {
        let mut pause = FIRST_PAUSE;
        let mut refused: Option<Instant> = None;
        if let Some(left) = Kept::read(&self.record) {
            left.end(&self.record, &self.client).await;
        }
        loop {
            let began = Instant::now();
            let error = tokio::select! {
                error = self.one_session() => error,
                () = self.orders.closing.notified() => return self.clear_up().await,
            };
            tracing::warn!(error = error.message, "there is no session of Systems Manager");
            self.port.send_modify(|port| *port = Err(error.message.clone()));
            self.clear_up().await;
            if began.elapsed() >= WORKED {
                pause = FIRST_PAUSE;
            }
            // Another forwarder has other credentials, and another path to programs.
            let is_useless = matches!(error.kind, ErrorKind::Auth | ErrorKind::Invalid);
            refused = is_useless.then(|| refused.unwrap_or(began));
            if refused.is_some_and(|since| since.elapsed() >= REFUSED) {
                self.orders.over.notify_one();
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.orders.closing.notified() => return,
            }
            let longest = if error.kind == ErrorKind::NotFound { LONGEST_UNHEARD } else { LONGEST_PAUSE };
            pause = (pause * 2).min(longest);
        }
    }

    /// From the start of a session to its end; why it ended. The program ends with this future.
    async fn one_session(&self) -> ProviderError {
        self.run().await.map_or_else(|error| error, |ended| ProviderError::new(ErrorKind::Transient, ended))
    }

    async fn run(&self) -> Result<String, ProviderError> {
        let failed = |error: std::io::Error| {
            ProviderError::new(ErrorKind::Transient, format!("cannot use {}: {error}", plugin::PLUGIN))
        };
        let program = plugin::plugin(&self.environment())?;
        // Its socket lies there, under a name that tells the session.
        let scratch =
            tempfile::Builder::new().prefix("crewcall-").tempdir_in(scratch_root()).map_err(failed)?;
        let session = self.client.start_session(&self.target.instance, self.target.port).await?;
        let kept = Kept { session: session.id.clone(), scratch: scratch.path().to_owned() };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept.clone());
        let text = serde_json::to_vec(&kept).map_err(|error| failed(error.into()))?;
        os::write_durably(&self.record, &text).map_err(failed)?;
        let mut child = self.start(&program, &session, scratch.path()).map_err(failed)?;
        let stdout = child.stdout.take().ok_or_else(|| failed(std::io::Error::other("it has no pipe")))?;
        let mut lines = BufReader::new(stdout).lines();
        let listening = timeout(LISTENS, listening(&mut lines)).await.unwrap_or_else(|_| {
            Err(format!("{} did not listen within {} s", plugin::PLUGIN, LISTENS.as_secs()))
        });
        let port = listening.map_err(|said| ProviderError::new(ErrorKind::Transient, said))?;
        tracing::info!(session = session.id, port, "a session of Systems Manager");
        self.port.send_modify(|known| *known = Ok(port));
        tokio::select! {
            said = last_words(&mut lines) => {
                let _ended = child.wait().await;
                Ok(format!("the session of Systems Manager has ended: {said}"))
            }
            () = self.orders.doubted.notified() => {
                Ok("nothing came through the session of Systems Manager".to_owned())
            }
        }
    }

    /// This process' own, with what was lent.
    fn environment(&self) -> CallerEnvironment {
        let mut all: std::collections::BTreeMap<String, String> = std::env::vars().collect();
        all.extend(self.lent.0.clone());
        CallerEnvironment(all)
    }

    fn start(&self, program: &Path, session: &StartedSession, scratch: &Path) -> std::io::Result<Child> {
        let context = &self.target.context;
        let is_handed = self.lent.0.contains_key("AWS_ACCESS_KEY_ID");
        // A profile that is named goes over credentials of the environment.
        let profile = context.profile.as_deref().filter(|_| !is_handed).unwrap_or_default();
        let request = serde_json::json!({"Target": self.target.instance}).to_string();
        let mut command = Command::new(program);
        command.args([ANSWER, &context.region, "StartSession", profile, &request]);
        command.arg(context.endpoint.as_deref().unwrap_or_default());
        command.envs(&self.lent.0).env(ANSWER, &session.answer).env("TMPDIR", scratch);
        for (name, file) in [
            ("AWS_CONFIG_FILE", &context.config_file),
            ("AWS_SHARED_CREDENTIALS_FILE", &context.credentials_file),
        ] {
            if let Some(file) = file {
                command.env(name, file);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        os::end_with_starter(&mut command);
        command.spawn()
    }

    /// Ends the session that was kept last.
    async fn clear_up(&self) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(kept) = kept {
            kept.end(&self.record, &self.client).await;
        }
    }
}

/// The port that the program says it listens on; else its last words.
async fn listening(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<u16, String> {
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(port) = port(&line) {
            return Ok(port);
        }
        if !line.trim().is_empty() {
            last = line;
        }
    }
    Err(format!("{} has ended: {}", plugin::PLUGIN, last.trim()))
}

/// As in `Port 40001 opened for sessionId …`.
fn port(line: &str) -> Option<u16> {
    let (port, rest) = line.strip_prefix("Port ")?.split_once(' ')?;
    port.parse().ok().filter(|_| rest.starts_with("opened"))
}

/// What the program says of its end.
async fn last_words(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let mut last = "its program says nothing of why".to_owned();
    while let Ok(Some(line)) = lines.next_line().await {
        let line = line.trim();
        // What it says while all is well.
        let is_small_talk =
            ["Waiting for", "Connection accepted"].iter().any(|start| line.starts_with(start));
        if !line.is_empty() && !is_small_talk {
            line.clone_into(&mut last);
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_in_the_words_of_the_program() {
        assert_eq!(port("Port 40001 opened for sessionId alice-0abc."), Some(40_001));
        assert_eq!(port("Starting session with SessionId: alice-0abc"), None);
        assert_eq!(port("Port forwarding started"), None);
    }
}
