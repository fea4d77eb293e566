//! What a provider sees of a cluster: the truth that plans start from.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Machine, NodeId, TemplateHash};

/// Everything of one cluster that its provider has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The first object made and the last removed.
    pub anchor: AnchorState,
    /// Nodes in every state that the provider still remembers.
    pub nodes: Vec<ObservedNode>,
}

/// Whether a cluster's anchor exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AnchorState {
    /// It does not.
    #[default]
    Absent,
    /// It does.
    Present,
    /// It is being removed.
    Ending,
}

/// One node as its provider sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedNode {
    /// Who it is.
    pub id: NodeId,
    /// What it was made from.
    pub template: TemplateHash,
    /// Whether it runs.
    pub state: NodeState,
    /// Who had it started.
    #[serde(default)]
    pub origin: Origin,
    /// Where it listens, as other nodes reach it.
    pub address: Option<String>,
    /// Where the controller, and clients on its machine, reach a scheduler, if that is not the address.
    #[serde(default)]
    pub reach: Option<String>,
    /// The link to its dashboard.
    pub dashboard: Option<String>,
    /// The last lines of its log, when it has ended.
    pub last_log: Vec<String>,
    /// More about it, where it was launched in a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
}

/// Who had a node started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// A plan.
    #[default]
    Planned,
    /// A client, by asking for the restart of the slot's node before it; the provider did so at once.
    ClientRestart,
}

/// Whether a node runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NodeState {
    /// Asked for, not running yet; why not, as the provider says it.
    Pending(Option<String>),
    /// Runs.
    Running,
    /// Told to end.
    Ending,
    /// Has ended.
    Ended(Exit),
}

/// How a node ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// When.
    pub at: Timestamp,
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Why, where the provider knows more than the code says.
    pub reason: Option<String>,
}

impl Exit {
    /// The exit code of a worker that could not hand all its data over.
    pub const DRAIN_NOT_CLEAN: i32 = 76;
    /// The exit code of a scheduler that ended by its own idle timeout.
    pub const IDLE: i32 = 77;

    /// Whether a worker was told to stop and could not hand all its data over.
    pub fn is_unclean_drain(&self) -> bool {
        self.code == Some(Self::DRAIN_NOT_CLEAN)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.reason, self.signal, self.code) {
            (Some(reason), _, _) => f.write_str(reason),
            (None, Some(signal), _) => write!(f, "signal {signal}"),
            (None, None, Some(Self::DRAIN_NOT_CLEAN)) => {
                f.write_str("told to stop, it could not hand everything over (exit code 76)")
            }
            (None, None, Some(Self::IDLE)) => f.write_str("ended by its own idle timeout"),
            (None, None, Some(code)) => write!(f, "exit code {code}"),
            (None, None, None) => f.write_str("ended, nobody saw how"),
        }
    }
}

impl ObservedNode {
    /// Where the controller, and clients on its machine, reach a scheduler.
    pub fn endpoint(&self) -> Option<&String> {
        self.reach.as_ref().or(self.address.as_ref())
    }

    /// Whether it holds a place: it runs, or will.
    pub fn is_alive(&self) -> bool {
        match self.state {
            NodeState::Pending(_) | NodeState::Running => true,
            NodeState::Ending | NodeState::Ended(_) => false,
        }
    }
}
