//! What a host does about each thing that happens.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use serde_json::Value;
use tokio::{net::UnixStream, sync::mpsc, time::Instant};

use super::{
    super::os::ProcessId,
    claimed::Claimed,
    connections::{ConnectionId, Connections, Input},
    ending::do_deed,
    fork_server::{Event, ForkServerPlan, FromForkServer},
    fork_servers::ForkServers,
    memory::{Condemned, MemoryWatch},
    nannies::{Nannies, Wished, needs_nanny},
    node::{Admission, Budget},
    node_logs,
    protocol::{
        Answer, Claim, FromHost, Hello, HostFailure, HowToStop, NodeLaunch, PROTOCOL, Readiness, Refusal,
        Request, RequestLine,
    },
    run::wall_clock,
    startup::Own,
    state::Nodes,
    wishes::Waiters,
};
use crate::{
    model::{NodeName, Origin},
    provider::ErrorKind,
};

/// How often the length of logs is looked at while nodes live.
const LOG_CHECK: Duration = Duration::from_secs(10);

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
    /// From those who take the host for a nanny.
    pub wishes: mpsc::Sender<Wished>,
    /// Of workers that are beyond their memory.
    pub condemned: mpsc::Sender<Condemned>,
}

/// A host's whole state.
pub struct Service {
    pub(super) own: Own,
    pub(super) claimed: Option<Claimed>,
    pub(super) nodes: Nodes,
    pub(super) nannies: Nannies,
    pub(super) waiters: Waiters,
    pub(super) memory: MemoryWatch,
    told_revision: u64,
    connections: Connections,
    /// Who waits for readiness, with the request's number.
    waiting: Vec<(ConnectionId, u64)>,
    pub(super) fork_servers: ForkServers,
    lonely_since: Option<Instant>,
    next_log_check: Option<Instant>,
}

impl Service {
    /// A spare without fork server.
    pub fn new(own: Own, plan: ForkServerPlan, channels: Channels, now: Instant) -> Self {
        Self {
            own,
            claimed: None,
            nodes: Nodes::default(),
            nannies: Nannies::new(channels.wishes),
            waiters: Waiters::default(),
            memory: MemoryWatch::new(channels.condemned),
            told_revision: 0,
            connections: channels.connections,
            waiting: Vec::new(),
            fork_servers: ForkServers::new(plan, channels.events),
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
                id: self.own.record.id.clone(),
                claimed_by: self.own.record.claimed_by.clone(),
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
            Request::Observe => done(&self.nodes.observe(self.fork_servers.waiting_for())),
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
        if let Some(owner) = &self.own.record.claimed_by {
            if *owner == claim.cluster {
                return Ok(());
            }
            let message = format!("host {} is cluster {}'s ({})", self.own.record.id, owner.name, owner.uid);
            return Err(HostFailure::new(ErrorKind::Conflict, message));
        }
        self.claimed =
            Some(Claimed::new(claim, self.own.state.clone(), &mut self.own.record, &self.own.paths)?);
        Ok(())
    }

    fn launch(&mut self, launches: Vec<NodeLaunch>) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for launch in launches {
            let node = launch.id.name();
            if self.nodes.knows(&node) {
                continue;
            }
            match self.admission(launch, Origin::Planned) {
                Ok(admission) => self.nodes.admit(admission),
                Err(failure) => refusals.push(Refusal { node, failure }),
            }
        }
        refusals
    }

    /// What is needed to start a node, its nanny included.
    pub(super) fn admission(&mut self, launch: NodeLaunch, origin: Origin) -> Result<Admission, HostFailure> {
        let Some(claimed) = &self.claimed else {
            return Err(HostFailure::new(
                ErrorKind::Conflict,
                format!("host {} is a spare", self.own.record.id),
            ));
        };
        let mut nanny = None;
        if needs_nanny(&launch) {
            nanny = Some(self.nannies.open(&launch.id.name(), claimed.uid(), launch.tls.as_ref())?);
        }
        claimed.admission(launch, nanny.as_deref(), origin, &mut self.own.record, &self.own.paths)
    }

    fn remove(&mut self, nodes: &[NodeName], how: HowToStop) {
        let now = Instant::now().into_std();
        for node in nodes {
            if let Some(deed) = self.nodes.remove(node, how, now) {
                do_deed(deed);
            }
        }
    }

    /// Starts the fork server.
    pub fn start_fork_server(&mut self) {
        self.fork_servers.start();
    }

    /// Takes note of what a fork server, or a node, says.
    pub fn event(&mut self, from: FromForkServer) -> Next {
        let current = self.fork_servers.generation() == from.generation;
        match from.event {
            Event::Ready { versions, threads } if current => {
                if threads > 1 {
                    tracing::warn!(threads, "the fork server has threads; what it forks may hang");
                }
                self.fork_servers.set_readiness(Readiness::Ready { versions });
            }
            Event::Unusable { error } if current => {
                self.fork_servers.set_readiness(Readiness::Unusable { error });
            }
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
            Event::Memory { node, limit, terminate, interval } => {
                self.nodes.set_budget(&node, Budget::new(limit, terminate, interval));
            }
            Event::Registered { node } => self.waiters.registered(&node),
            Event::Failed { node, error } => self.nodes.failed(&node, error),
            Event::Ready { .. } | Event::Unusable { .. } | Event::Dashboard { .. } | Event::Unknown => {}
        }
        Next::GoOn
    }

    /// When there is something to do though nothing happened.
    pub fn next_wakeup(&self) -> Option<Instant> {
        [
            self.nodes.next_deadline().map(Instant::from_std),
            self.lonely_since.filter(|_| self.claimed.is_none()).map(|since| since + self.own.spare_life),
            self.next_log_check,
            self.memory.next_look(),
            self.fork_servers.restart_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due.
    pub fn on_time(&mut self) -> Next {
        let now = Instant::now();
        if self.claimed.is_none() && self.lonely_since.is_some_and(|since| since + self.own.spare_life <= now)
        {
            tracing::info!("no controller wants this spare");
            return Next::End;
        }
        self.look_at_memory(now);
        for deed in self.nodes.overdue(now.into_std()) {
            do_deed(deed);
        }
        if self.fork_servers.restart_at().is_some_and(|at| at <= now) {
            self.start_fork_server();
        }
        if self.next_log_check.is_some_and(|at| at <= now) {
            self.next_log_check = None;
            self.rotate_logs();
        }
        Next::GoOn
    }

    fn rotate_logs(&self) {
        let Some(claimed) = &self.claimed else { return };
        for log in self.nodes.names().map(|node| claimed.log(node)) {
            if let Err(error) = node_logs::rotate(&log) {
                tracing::warn!(%error, log = %log.display(), "cannot move a long log aside");
            }
        }
    }

    /// What follows from whatever has just happened: starts what waits, answers who waits, tells who
    /// listens.
    pub fn settle(&mut self) {
        if let Some(server) = self.fork_servers.ready() {
            while let Some(command) = self.nodes.next_to_send(server.generation) {
                server.tell(command);
            }
        } else if let Some(Readiness::Unusable { error }) = self.fork_servers.readiness() {
            self.nodes.fail_queue(error, wall_clock());
        }
        if let Some(readiness) = self.fork_servers.readiness() {
            let answer = done(readiness);
            for (connection, id) in std::mem::take(&mut self.waiting) {
                self.connections.send(connection, &FromHost::Reply { id, answer: answer.clone() });
            }
        }
        if self.told_revision != self.nodes.revision() {
            self.told_revision = self.nodes.revision();
            self.nannies.retain(|node| self.nodes.is_alive(node));
            self.connections.tell(&FromHost::Changed);
        }
        let now = Instant::now();
        self.lonely_since = if self.connections.is_served() { None } else { self.lonely_since.or(Some(now)) };
        self.plan_memory_look(now);
        self.next_log_check =
            if self.nodes.any_alive() { self.next_log_check.or(Some(now + LOG_CHECK)) } else { None };
    }

    /// Sends what was answered, and serves nobody any more.
    pub async fn close_connections(&mut self) {
        self.connections.close_all().await;
    }
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
