//! What happened to a cluster, for people.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::NodeName;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// How bad.
    pub severity: Severity,
    /// What, in one word that programs can match.
    pub kind: EventKind,
    /// Which node, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// What, for a person: one sentence, then perhaps lines of a log.
    pub message: String,
}

/// How bad an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Somebody may want to look.
    Warning,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// The cluster was asked for.
    Created,
    /// The wanted state was changed.
    Updated,
    /// A change was asked for that a cluster cannot follow during its life.
    EditRefused,
    /// The size of a group was changed.
    Scaled,
    /// Tasks ask for what no group has.
    NoWorkerFits,
    /// A node was asked for.
    NodeLaunching,
    /// A machine says how far it is: it boots, pulls the image, starts.
    NodeBooting,
    /// A machine has become a worker of the cluster's.
    NodeRegistered,
    /// The scheduler answers.
    SchedulerReady,
    /// All wanted workers are there.
    WorkersReady,
    /// The scheduler is gone, and with it all results.
    SchedulerLost,
    /// A node ended that should not have.
    NodeFailed,
    /// The provider cannot start a node yet.
    NodePending,
    /// A node did not come up in time.
    NodeLate,
    /// A node ended as it was told, or by its own wish.
    NodeEnded,
    /// A worker was ended and started again because a client asked for it.
    NodeRestarted,
    /// A worker hands its data over.
    Draining,
    /// A worker has handed its data over.
    Drained,
    /// A worker's data can go nowhere.
    DrainRefused,
    /// Results were lost.
    ResultsLost,
    /// What keeps failing is tried less often.
    BackingOff,
    /// The provider refused or failed.
    ProviderError,
    /// The provider has no room for nodes.
    NoCapacity,
    /// The provider takes a node back.
    NodeTakenBack,
    /// A limit of costs keeps nodes from being launched.
    CostLimit,
    /// Connections through the forwarder were cut.
    ConnectionCut,
    /// The client's software differs from the cluster's.
    EnvironmentMismatch,
    /// The end of the cluster is near.
    EndAnnounced,
    /// The cluster is being torn down.
    Deleting,
    /// The machine was restarted; nothing of the cluster runs.
    Lost,
    /// A controller took the cluster over.
    Adopted,
}
