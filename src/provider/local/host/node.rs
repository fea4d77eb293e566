//! One node as its host knows it. Pure.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::os::ProcessId;
use super::protocol::{HostNode, HostNodeState, NodeLaunch};
use crate::model::Origin;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal.
    pub signal: Option<i32>,
}

/// A node that is to be started.
pub struct Admission {
    /// What was asked for; kept, for a restart.
    pub launch: NodeLaunch,
    /// Who asked.
    pub origin: Origin,
    /// What the fork server is told, one line.
    pub command: Vec<u8>,
}

/// What is to be done to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Ask the node to end.
    Terminate(ProcessId),
    /// End the node and all of its process group.
    Kill(ProcessId),
}

/// A node.
pub(super) struct Node {
    pub(super) launch: NodeLaunch,
    pub(super) origin: Origin,
    pub(super) phase: Phase,
    /// Set once somebody ordered the node's end.
    pub(super) ordered: Option<Order>,
    /// What a client or the node itself wants to happen at its end.
    pub(super) after: After,
    pub(super) memory: Option<Budget>,
    pub(super) address: Option<String>,
    pub(super) dashboard_port: Option<u16>,
    pub(super) failure: Option<String>,
    pub(super) last_log: Vec<String>,
}

#[derive(Clone, Copy)]
pub(super) enum Phase {
    /// In the queue.
    Queued,
    /// The fork server of this generation was told.
    Sent(u32),
    Running(ProcessId),
    Ended(End),
}

#[derive(Clone, Copy)]
pub(super) enum Order {
    /// It has until then.
    Until(Instant),
    /// It was killed.
    Killed,
}

/// What is to happen when a node ends that nobody ordered to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Its end is shown, for a plan to judge.
    Shown,
    /// The same, and it was announced: the node is not to be restarted any more.
    Announced,
    /// Its successor is started at once.
    Restarted,
}

/// How much memory a node may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Its limit in bytes.
    pub limit: u64,
    /// The part of the limit beyond which it is killed.
    pub terminate: f64,
    /// How often to look.
    pub interval: Duration,
    /// Whether it is being killed for that.
    pub exceeded: bool,
}

/// Bounds of [`Budget::interval`]: a look costs some ten microseconds.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);

impl Budget {
    /// With seconds between two looks; what makes no sense is brought into bounds.
    pub fn new(limit: u64, terminate: f64, interval: f64) -> Self {
        let interval = Duration::try_from_secs_f64(interval).unwrap_or(LONGEST_INTERVAL);
        let interval = interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        Self { limit, terminate, interval, exceeded: false }
    }

    /// Whether so many bytes are too many.
    #[expect(clippy::cast_precision_loss, reason = "a page more or less does not matter")]
    pub fn is_exceeded_by(&self, resident: u64) -> bool {
        resident as f64 > self.limit as f64 * self.terminate
    }
}

impl Node {
    pub(super) fn new(launch: NodeLaunch, origin: Origin) -> Self {
        Self {
            launch,
            origin,
            phase: Phase::Queued,
            ordered: None,
            after: After::Shown,
            memory: None,
            address: None,
            dashboard_port: None,
            failure: None,
            last_log: Vec::new(),
        }
    }

    pub(super) fn process(&self) -> Option<ProcessId> {
        match self.phase {
            Phase::Running(process) => Some(process),
            Phase::Queued | Phase::Sent(_) | Phase::Ended(_) => None,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    pub(super) fn show(&self, waiting_for: &str) -> HostNode {
        let state = match (self.phase, self.ordered) {
            (Phase::Ended(end), _) => HostNodeState::Ended {
                at: end.at,
                code: end.code,
                signal: end.signal,
                reason: self.failure.clone(),
            },
            (_, Some(_)) => HostNodeState::Ending,
            (Phase::Queued | Phase::Sent(_), None) => HostNodeState::Waiting(waiting_for.to_owned()),
            (Phase::Running(_), None) => HostNodeState::Running,
        };
        HostNode {
            id: self.launch.id.clone(),
            template: self.launch.template.clone(),
            pid: self.process().map(|process| process.pid),
            state,
            origin: self.origin,
            address: self.address.clone(),
            dashboard_port: self.dashboard_port,
            last_log: self.last_log.clone(),
        }
    }
}
