//! What controller and host say to each other: one JSON value a line, over a Unix socket.
//!
//! The host answers every request with a [`FromHost::Reply`] of the same number, in any order, and
//! sends [`FromHost::Changed`] whenever `observe` would show something new. One connection at a time is
//! served: the newest that said `hello`. What the one before has not yet been answered is dropped.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    model::{
        BootId, CallerEnvironment, ClusterKey, MachineId, NodeId, NodeName, Origin, Role, SoftwareVersions,
        TemplateHash,
    },
    provider::{ErrorKind, Stop},
    security::{Identity, PrivateKeyPem},
};

use super::super::paths::HostId;

/// The version of this protocol. A controller speaks the host's when that is older.
pub const PROTOCOL: u32 = 1;

/// Most bytes of one line: 10,000 nodes with their certificates.
pub const LONGEST_LINE: usize = 256 << 20;

/// What a host is told on its standard input, before anything else. Not in its arguments, because
/// every user of the machine can read those.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostStart {
    /// What the fork server is started with, and nothing else.
    pub environment: BTreeMap<String, String>,
    /// How long it lives without a controller while it is a spare.
    pub spare_life: Duration,
    /// The machine, as its controller knows it.
    pub machine: MachineId,
    /// The boot of that machine.
    pub boot: BootId,
}

/// The first and only line of a host's standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HostStarted {
    /// It listens there.
    Listening(PathBuf),
    /// It could not be started.
    Failed(HostFailure),
}

/// A request and the number that its reply will have.
#[derive(Serialize, Deserialize)]
pub struct RequestLine {
    /// Chosen by the controller.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// What a controller may ask of a host.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// Who is there? Makes this connection the one that is served. Answered by [`Hello`].
    Hello {
        /// The newest protocol that the controller speaks.
        protocol: u32,
    },
    /// Answered by [`Readiness`] once the fork server is ready or known to be unusable.
    WaitReady,
    /// Makes a spare the host of a cluster; repeated by the same cluster, nothing. Answered when that is
    /// durable.
    Claim(Box<Claim>),
    /// Starts nodes, each name once in the host's life. Answered by a list of [`Refusal`].
    Launch {
        /// Which.
        nodes: Vec<NodeLaunch>,
    },
    /// Answered by a list of [`HostNode`].
    Observe,
    /// Ends and forgets nodes; unknown ones are fine.
    Remove {
        /// Which.
        nodes: Vec<NodeName>,
        /// How.
        how: HowToStop,
    },
    /// Ends everything that the host has started, then the host. Answered when that begins.
    End,
}

/// A line from a host.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FromHost {
    /// The answer to a request.
    Reply {
        /// The request's number.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// `observe` may show something new.
    Changed,
}

/// The answer to a request.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// It was done; what it yielded.
    Done(Value),
    /// It was not.
    Failed(HostFailure),
}

/// A request that was not done, without any effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct HostFailure {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What went wrong.
    pub message: String,
}

impl HostFailure {
    /// A failure of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Who a host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// The newest protocol that it speaks.
    pub protocol: u32,
    /// Which host.
    pub id: HostId,
    /// For which cluster; `None`: a spare.
    pub claimed_by: Option<ClusterKey>,
}

/// Whether nodes can be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Readiness {
    /// They can.
    Ready {
        /// What is installed.
        versions: SoftwareVersions,
    },
    /// They never can with this interpreter.
    Unusable {
        /// Why, in one line.
        error: String,
    },
}

/// What a spare is told when it becomes the host of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// For which cluster.
    pub cluster: ClusterKey,
    /// Where its nodes' logs go.
    pub logs: PathBuf,
    /// Below this its nodes spill, unless their Dask configuration says otherwise.
    pub temporary: PathBuf,
    /// Where its nodes run.
    pub working_directory: PathBuf,
    /// What its nodes put in front of their import path.
    pub import_path: Vec<PathBuf>,
    /// The file mode creation mask of its nodes; without it they keep the host's.
    #[serde(default)]
    pub umask: Option<u32>,
    /// The caller's environment, whole.
    pub environment: CallerEnvironment,
}

/// One node to be started.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeLaunch {
    /// Who it is.
    pub id: NodeId,
    /// What it is made from.
    pub template: TemplateHash,
    /// Variables that the document sets.
    pub environment: BTreeMap<String, String>,
    /// Names of the caller's variables whose values are secret, by the name they get.
    pub secret_environment: BTreeMap<String, String>,
    /// Dask configuration by dotted key.
    pub config: BTreeMap<String, Value>,
    /// The role's own arguments, as the fork server takes them.
    pub arguments: serde_json::Map<String, Value>,
    /// Certificate, key and authority; `None`: no TLS.
    pub tls: Option<Tls>,
}

impl NodeLaunch {
    /// What it does.
    pub fn role(&self) -> Role {
        self.id.role()
    }
}

/// Certificate, key and authority, PEM; as the fork server takes them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tls {
    /// The authority's certificate.
    pub ca: String,
    /// The certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

impl Tls {
    /// The same, for connections of our own.
    pub fn identity(&self) -> Identity {
        let key = PrivateKeyPem::new(self.key.clone());
        Identity { ca: self.ca.clone(), cert: self.cert.clone(), key }
    }
}

/// A node that was not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Which.
    pub node: NodeName,
    /// Why.
    pub failure: HostFailure,
}

/// How to end a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HowToStop {
    /// At once.
    Now,
    /// With the chance to hand data over.
    Gently {
        /// So long.
        grace: Duration,
    },
}

impl From<Stop> for HowToStop {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Now => Self::Now,
            Stop::Gently(grace) => Self::Gently { grace },
        }
    }
}

/// A node as its host sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostNode {
    /// Who it is.
    pub id: NodeId,
    /// What it was made from.
    pub template: TemplateHash,
    /// Its process; `None`: not forked yet.
    pub pid: Option<i32>,
    /// Whether it runs.
    pub state: HostNodeState,
    /// Who had it started.
    #[serde(default)]
    pub origin: Origin,
    /// Where it listens, once it does.
    pub address: Option<String>,
    /// The port of its dashboard, once that is served.
    pub dashboard_port: Option<u16>,
    /// The last lines of its log, once it has ended.
    pub last_log: Vec<String>,
}

/// Whether a node runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HostNodeState {
    /// Not yet; what it waits for.
    Waiting(String),
    /// It does.
    Running,
    /// It was told to end.
    Ending,
    /// No longer, though nobody told it to end.
    Ended {
        /// When.
        at: Timestamp,
        /// Its exit code, unless a signal ended it.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// Why, where more is known.
        reason: Option<String>,
    },
}
