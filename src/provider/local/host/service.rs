//! What a host does about each thing that happens.

use std::{collections::BTreeMap, fs::File, path::PathBuf, time::Duration};

use rustix::process::Signal;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{net::UnixStream, sync::mpsc, time::Instant};

use super::{
    super::{
        os::{self, ExitStatus, ProcessId, Reaped},
        paths::{self, HostPaths},
        record::HostRecord,
        variables,
    },
    connections::{ConnectionId, Connections, Input},
    fork_server::{Event, ForkServer, ForkServerPlan, FromForkServer},
    node_logs,
    protocol::{
        Answer, Claim, FromHost, Hello, HostFailure, HowToStop, NodeLaunch, PROTOCOL, Readiness, Refusal,
        Request, RequestLine,
    },
    run::{HostError, wall_clock},
    state::{Admission, Deed, End, Nodes},
};
use crate::{
    model::{NodeName, Role},
    provider::ErrorKind,
};

/// How long a spare lives without a controller.
const LONELY_SPARE: Duration = Duration::from_secs(30);
/// How often the length of logs is looked at while nodes live.
const LOG_CHECK: Duration = Duration::from_secs(10);
/// Lines of its log that are kept with a node that ended.
const LAST_LINES: usize = 20;
/// Starts of a fork server that end before it is ready, in a row, after which it is given up.
const FORK_SERVER_TRIES: u32 = 5;
/// The pause after the first such start; doubled after every other.
const FORK_SERVER_PAUSE: Duration = Duration::from_millis(200);

/// What comes after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next event.
    GoOn,
    /// The end of everything.
    End,
}

/// What a service speaks through.
pub struct Channels {
    /// To controllers.
    pub connections: Connections,
    /// From fork servers.
    pub events: mpsc::Sender<FromForkServer>,
}

/// A host's whole state.
pub struct Service {
    paths: HostPaths,
    record: HostRecord,
    _lock: File,
    claimed: Option<Claimed>,
    nodes: Nodes,
    told_revision: u64,
    connections: Connections,
    /// Who waits for readiness, with the request's number.
    waiting: Vec<(ConnectionId, u64)>,
    fork_server: ForkServers,
    lonely_since: Option<Instant>,
    next_log_check: Option<Instant>,
}

struct Claimed {
    claim: Claim,
    _lock: File,
    lock_path: PathBuf,
}

/// The fork server and its history.
struct ForkServers {
    plan: ForkServerPlan,
    events: mpsc::Sender<FromForkServer>,
    running: Option<ForkServer>,
    generation: u32,
    readiness: Option<Readiness>,
    /// Ends in a row before it was ready.
    failures: u32,
    restart_at: Option<Instant>,
}

impl ForkServers {
    fn waiting_for(&self) -> &'static str {
        match self.readiness {
            Some(Readiness::Ready { .. }) => "it is being forked",
            _ => "its fork server is importing Dask",
        }
    }
}

impl Service {
    /// A spare without fork server.
    pub fn new(
        paths: HostPaths,
        record: HostRecord,
        lock: File,
        plan: ForkServerPlan,
        channels: Channels,
        now: Instant,
    ) -> Self {
        Self {
            paths,
            record,
            _lock: lock,
            claimed: None,
            nodes: Nodes::default(),
            told_revision: 0,
            connections: channels.connections,
            waiting: Vec::new(),
            fork_server: ForkServers {
                plan,
                events: channels.events,
                running: None,
                generation: 0,
                readiness: None,
                failures: 0,
                restart_at: None,
            },
            lonely_since: Some(now),
            next_log_check: None,
        }
    }

    /// Takes a connection in.
    pub fn accept(&mut self, stream: UnixStream) -> Next {
        self.connections.accept(stream);
        Next::GoOn
    }

    /// Does what a controller asks.
    pub fn input(&mut self, input: Input) -> Next {
        let (connection, line) = match input {
            Input::Line(connection, line) => (connection, line),
            Input::Closed(connection) => {
                self.connections.close(connection);
                return Next::GoOn;
            }
        };
        let RequestLine { id, request } = match serde_json::from_slice(&line) {
            Ok(request) => request,
            Err(error) => {
                // A later controller may ask what this host does not know; it still gets an answer.
                if let Some(id) = request_number(&line) {
                    let failure = HostFailure::new(
                        ErrorKind::Invalid,
                        format!("the host, of protocol {PROTOCOL}, does not understand the request: {error}"),
                    );
                    self.reply(connection, id, Answer::Failed(failure));
                }
                return Next::GoOn;
            }
        };
        if let Request::Hello { .. } = request {
            self.connections.serve(connection);
            self.waiting.retain(|(waiting, _)| *waiting == connection);
            let hello = Hello {
                protocol: PROTOCOL,
                id: self.record.id.clone(),
                claimed_by: self.record.claimed_by.clone(),
            };
            self.reply(connection, id, done(&hello));
            return Next::GoOn;
        }
        if !self.connections.serves(connection) {
            return Next::GoOn;
        }
        self.request(connection, id, request)
    }

    fn request(&mut self, connection: ConnectionId, id: u64, request: Request) -> Next {
        let answer = match request {
            Request::Hello { .. } => return Next::GoOn,
            Request::WaitReady => {
                self.waiting.push((connection, id));
                return Next::GoOn;
            }
            Request::Claim(claim) => match self.claim(*claim) {
                Ok(()) => done(&()),
                Err(failure) => Answer::Failed(failure),
            },
            Request::Launch { nodes } => done(&self.launch(nodes)),
            Request::Observe => done(&self.nodes.observe(self.fork_server.waiting_for())),
            Request::Remove { nodes, how } => {
                self.remove(&nodes, how);
                done(&())
            }
            Request::End => {
                self.reply(connection, id, done(&()));
                return Next::End;
            }
        };
        self.reply(connection, id, answer);
        Next::GoOn
    }

    fn reply(&mut self, connection: ConnectionId, id: u64, answer: Answer) {
        self.connections.send(connection, &FromHost::Reply { id, answer });
    }

    fn claim(&mut self, claim: Claim) -> Result<(), HostFailure> {
        if let Some(owner) = &self.record.claimed_by {
            if *owner == claim.cluster {
                return Ok(());
            }
            let message = format!("host {} is cluster {}'s ({})", self.record.id, owner.name, owner.uid);
            return Err(HostFailure::new(ErrorKind::Conflict, message));
        }
        let failed = |doing: &str, path: &std::path::Path, error: &std::io::Error| {
            HostFailure::new(kind_of(error), format!("cannot {doing} {}: {error}", path.display()))
        };
        let lock_path = paths::claim(&self.record_state(), &claim.cluster.uid);
        let lock = os::try_lock(&lock_path).map_err(|error| failed("lock", &lock_path, &error))?.ok_or_else(
            || {
                HostFailure::new(
                    ErrorKind::Conflict,
                    format!("cluster {} has a host already", claim.cluster.name),
                )
            },
        )?;
        for directory in [&claim.logs, &claim.scratch] {
            os::private_directory(directory)
                .map_err(|error| failed("make the directory", directory, &error))?;
        }
        // In a directory for everybody, somebody else may have been there first.
        os::check_private(&claim.scratch)
            .map_err(|error| failed("use the directory", &claim.scratch, &error))?;
        let record = HostRecord {
            claimed_by: Some(claim.cluster.clone()),
            scratch: Some(claim.scratch.clone()),
            ..self.record.clone()
        };
        record.write(&self.paths).map_err(|error| failed("write", &self.paths.record, &error))?;
        self.record = record;
        self.claimed = Some(Claimed { claim, _lock: lock, lock_path });
        Ok(())
    }

    fn record_state(&self) -> PathBuf {
        let hosts = self.paths.directory.parent();
        hosts.and_then(|hosts| hosts.parent()).unwrap_or(&self.paths.directory).to_owned()
    }

    fn launch(&mut self, launches: Vec<NodeLaunch>) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for launch in launches {
            let node = launch.id.name();
            if self.nodes.knows(&node) {
                continue;
            }
            match self.admission(launch) {
                Ok(admission) => self.nodes.admit(admission),
                Err(failure) => refusals.push(Refusal { node, failure }),
            }
        }
        refusals
    }

    /// What the fork server is to be told of a node; makes the node's directory.
    fn admission(&self, launch: NodeLaunch) -> Result<Admission, HostFailure> {
        let Some(Claimed { claim, .. }) = &self.claimed else {
            return Err(HostFailure::new(ErrorKind::Conflict, format!("host {} is a spare", self.record.id)));
        };
        let name = launch.id.name();
        let marks = variables::marks(&self.record.id, &self.record_state().to_string_lossy());
        let environment = variables::node_environment(
            &claim.environment,
            &launch.environment,
            &launch.secret_environment,
            &marks,
            &claim.cluster.uid,
        )
        .map_err(|missing| HostFailure::new(ErrorKind::Invalid, missing.to_string()))?;
        let mut arguments = launch.arguments;
        let role = match launch.id.role() {
            Role::Scheduler => "scheduler",
            Role::Worker => "worker",
        };
        if launch.id.role() == Role::Worker {
            let scratch = claim.scratch.join(name.as_str());
            os::private_directory(&scratch).map_err(|error| {
                let message = format!("cannot make the directory {}: {error}", scratch.display());
                HostFailure::new(kind_of(&error), message)
            })?;
            arguments.insert("local_directory".to_owned(), json!(scratch));
        }
        let command = json!({
            "command": "launch",
            "node": name,
            "role": role,
            "directory": claim.working_directory,
            "environment": environment,
            "import_path": claim.import_path,
            "log": paths::node_log(&claim.logs, &name),
            "tls": launch.tls,
            "config": launch.config,
            "arguments": arguments,
        });
        let mut command = command.to_string().into_bytes();
        command.push(b'\n');
        Ok(Admission { id: launch.id, template: launch.template, command })
    }

    fn remove(&mut self, nodes: &[NodeName], how: HowToStop) {
        let now = Instant::now().into_std();
        for node in nodes {
            if let Some(deed) = self.nodes.remove(node, how, now) {
                do_deed(deed);
            }
        }
    }

    /// Starts a fork server, as far as that was not given up.
    pub fn start_fork_server(&mut self) {
        let server = &mut self.fork_server;
        server.restart_at = None;
        server.generation += 1;
        match ForkServer::start(&server.plan, server.generation, server.events.clone()) {
            Ok(running) => server.running = Some(running),
            Err(error) => {
                let error = format!("cannot run {}: {error}", server.plan.interpreter.display());
                self.ready(Readiness::Unusable { error });
            }
        }
    }

    fn ready(&mut self, readiness: Readiness) {
        if let Readiness::Unusable { error } = &readiness {
            self.nodes.fail_queue(error, wall_clock());
        } else {
            self.fork_server.failures = 0;
        }
        self.fork_server.readiness = Some(readiness);
    }

    /// Takes note of what a fork server, or a node, says.
    pub fn event(&mut self, from: FromForkServer) -> Next {
        let current = self.fork_server.generation == from.generation;
        match from.event {
            Event::Ready { versions, threads } if current => {
                if threads > 1 {
                    tracing::warn!(threads, "the fork server has threads; what it forks may hang");
                }
                self.ready(Readiness::Ready { versions });
            }
            Event::Unusable { error } if current => self.ready(Readiness::Unusable { error }),
            Event::Refused { node, error } => {
                tracing::error!(?node, error, "the fork server refused a command");
                if let Some(node) = node {
                    self.nodes.fail_unstarted(&node, &error, wall_clock());
                }
            }
            Event::Forked { node, pid, start_time } => {
                let process = ProcessId { pid, start_time };
                let deed = self.nodes.forked(&node, process, ProcessId::of(pid) == Some(process));
                if let Some(deed) = deed {
                    do_deed(deed);
                }
            }
            Event::Listening { node, address, dashboard_port } => {
                tracing::debug!(%node, ?dashboard_port, "listens");
                self.nodes.listening(&node, address, dashboard_port);
            }
            Event::Dashboard { node, attached: false, reason } => {
                tracing::info!(%node, reason, "has no dashboard");
                self.nodes.without_dashboard(&node);
            }
            Event::Failed { node, error } => self.nodes.failed(&node, error),
            Event::Ready { .. } | Event::Unusable { .. } | Event::Dashboard { .. } | Event::Unknown => {}
        }
        Next::GoOn
    }

    /// Takes note of every child that has ended.
    pub fn reap(&mut self) -> Next {
        let ended: Vec<ProcessId> = self
            .nodes
            .running()
            .map(|(_, process)| process)
            .filter(|process| os::has_ended(*process))
            .collect();
        for process in ended {
            // What its tasks have left behind; before the number of the group is free for others.
            process.kill_group();
        }
        while let Reaped::Child(pid, status) = os::reap() {
            self.child_ended(pid, status);
        }
        Next::GoOn
    }

    fn child_ended(&mut self, pid: i32, status: ExitStatus) {
        if self.fork_server.running.as_ref().is_some_and(|server| server.process.pid == pid) {
            self.fork_server_ended(status);
            return;
        }
        let end = End { at: wall_clock(), code: status.code, signal: status.signal };
        if let (Some(name), Some(Claimed { claim, .. })) = (self.nodes.ended(pid, end), &self.claimed) {
            let log = paths::node_log(&claim.logs, &name);
            self.nodes.set_last_log(&name, node_logs::last_lines(&log, LAST_LINES));
            remove_in_background(claim.scratch.join(name.as_str()));
        }
    }

    fn fork_server_ended(&mut self, status: ExitStatus) {
        let generation = self.fork_server.generation;
        self.fork_server.running = None;
        let how = match status {
            ExitStatus { signal: Some(signal), .. } => format!("was ended by signal {signal}"),
            ExitStatus { code, .. } => format!("ended with exit code {}", code.unwrap_or_default()),
        };
        tracing::warn!(generation, "the fork server {how}");
        self.nodes.fork_server_lost(
            generation,
            &format!("the fork server {how} before it started this"),
            wall_clock(),
        );
        let was_ready = matches!(self.fork_server.readiness, Some(Readiness::Ready { .. }));
        if matches!(self.fork_server.readiness, Some(Readiness::Unusable { .. })) {
            return;
        }
        self.fork_server.readiness = None;
        if !was_ready {
            self.fork_server.failures += 1;
        }
        let failures = self.fork_server.failures;
        if failures >= FORK_SERVER_TRIES {
            let last = node_logs::last_lines(&self.paths.log, LAST_LINES);
            let last = last.iter().rev().find(|line| !line.trim().is_empty()).cloned().unwrap_or_default();
            let interpreter = self.fork_server.plan.interpreter.display();
            let error = format!("{interpreter} {how} while it imported Dask; its last line: {last}");
            self.ready(Readiness::Unusable { error });
            return;
        }
        let pause = FORK_SERVER_PAUSE.saturating_mul(1 << failures.min(FORK_SERVER_TRIES));
        self.fork_server.restart_at = Some(Instant::now() + pause);
    }

    /// When there is something to do though nothing happened.
    pub fn next_wakeup(&self) -> Option<Instant> {
        [
            self.nodes.next_deadline().map(Instant::from_std),
            self.lonely_since.filter(|_| self.claimed.is_none()).map(|since| since + LONELY_SPARE),
            self.next_log_check,
            self.fork_server.restart_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due.
    pub fn on_time(&mut self) -> Next {
        let now = Instant::now();
        if self.claimed.is_none() && self.lonely_since.is_some_and(|since| since + LONELY_SPARE <= now) {
            tracing::info!("no controller wants this spare");
            return Next::End;
        }
        for deed in self.nodes.overdue(now.into_std()) {
            do_deed(deed);
        }
        if self.fork_server.restart_at.is_some_and(|at| at <= now) {
            self.start_fork_server();
        }
        if self.next_log_check.is_some_and(|at| at <= now) {
            self.next_log_check = None;
            self.rotate_logs();
        }
        Next::GoOn
    }

    fn rotate_logs(&self) {
        let Some(Claimed { claim, .. }) = &self.claimed else { return };
        for node in self.nodes.names() {
            let log = paths::node_log(&claim.logs, node);
            if let Err(error) = node_logs::rotate(&log) {
                tracing::warn!(%error, log = %log.display(), "cannot move a long log aside");
            }
        }
    }

    /// What follows from whatever has just happened: starts what waits, answers who waits, tells who
    /// listens.
    pub fn settle(&mut self) {
        if let (Some(server), Some(Readiness::Ready { .. })) =
            (&self.fork_server.running, &self.fork_server.readiness)
        {
            while let Some(command) = self.nodes.next_to_send(server.generation) {
                server.tell(command);
            }
        } else if let Some(Readiness::Unusable { error }) = &self.fork_server.readiness {
            self.nodes.fail_queue(error, wall_clock());
        }
        if let Some(readiness) = &self.fork_server.readiness {
            let answer = done(readiness);
            for (connection, id) in std::mem::take(&mut self.waiting) {
                self.connections.send(connection, &FromHost::Reply { id, answer: answer.clone() });
            }
        }
        if self.told_revision != self.nodes.revision() {
            self.told_revision = self.nodes.revision();
            self.connections.tell(&FromHost::Changed);
        }
        let now = Instant::now();
        self.lonely_since = if self.connections.is_served() { None } else { self.lonely_since.or(Some(now)) };
        self.next_log_check =
            if self.nodes.any_alive() { self.next_log_check.or(Some(now + LOG_CHECK)) } else { None };
    }

    /// Ends every process below this one that can be seen now. Returns whether none is left.
    pub fn kill_all(&mut self) -> bool {
        if let Some(server) = self.fork_server.running.take() {
            server.process.kill_group();
        }
        for (_, process) in self.nodes.running() {
            process.kill_group();
        }
        for child in os::children() {
            // One that has ended meanwhile is what was wanted.
            let _gone = child.signal(Signal::KILL);
        }
        loop {
            match os::reap() {
                Reaped::Child(pid, status) => {
                    let end = End { at: wall_clock(), code: status.code, signal: status.signal };
                    self.nodes.ended(pid, end);
                }
                Reaped::Nothing => return false,
                Reaped::NoChildren => return true,
            }
        }
    }

    /// Removes all files, its own directory last; the lock is let go with the process.
    pub fn clean_up(self) -> Result<(), HostError> {
        if let Some(Claimed { claim, lock_path, .. }) = &self.claimed {
            if let Err(error) = os::remove_all(&claim.scratch) {
                tracing::warn!(%error, scratch = %claim.scratch.display(), "cannot remove what workers spilled");
            }
            // While its lock is held, so that nobody can hold a lock on a removed file.
            os::remove_all(lock_path).map_err(|error| HostError::io("remove", lock_path, &error))?;
        }
        let directory = &self.paths.directory;
        os::remove_all(directory).map_err(|error| HostError::io("remove", directory, &error))
    }
}

fn do_deed(deed: Deed) {
    match deed {
        Deed::Kill(process) => {
            process.kill_group();
            // A process that has not yet made its own group.
            let _gone = process.signal(Signal::KILL);
        }
        Deed::Terminate(process) => {
            let _gone = process.signal(Signal::TERM);
        }
    }
}

/// Spilled data may be much; nothing waits for its removal, and what is left goes with the cluster.
fn remove_in_background(path: PathBuf) {
    tokio::task::spawn_blocking(move || os::remove_all(&path));
}

fn done(value: &impl Serialize) -> Answer {
    match serde_json::to_value(value) {
        Ok(value) => Answer::Done(value),
        Err(error) => {
            Answer::Failed(HostFailure::new(ErrorKind::Unknown, format!("cannot write the answer: {error}")))
        }
    }
}

fn request_number(line: &[u8]) -> Option<u64> {
    serde_json::from_slice::<BTreeMap<String, Value>>(line).ok()?.get("id")?.as_u64()
}

fn kind_of(error: &std::io::Error) -> ErrorKind {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Capacity,
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Invalid,
        _ => ErrorKind::Transient,
    }
}
