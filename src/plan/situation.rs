//! What a plan is made from.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use crate::model::{ClusterRecord, EngineStatus, ErrorKind, NodeName, Observed};

/// Everything a plan depends on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What is wanted, and what was decided before.
    pub record: &'a ClusterRecord,
    /// What the provider sees.
    pub world: &'a Observed,
    /// What the engine says.
    pub engine: &'a EngineView,
    /// What this process has begun.
    pub operations: &'a Operations,
    /// What else is known.
    pub facts: &'a Facts,
    /// The time.
    pub now: Timestamp,
}

/// What the engine says, or why it says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum EngineView {
    /// There is no scheduler to ask, or it has not been asked yet.
    #[default]
    NotAsked,
    /// It does not answer. Said of the scheduler that the ledger knows, not of a predecessor.
    Unreachable {
        /// Since when.
        since: Timestamp,
        /// What was tried, and what came of it.
        message: String,
    },
    /// Its newest status; of the scheduler that the ledger knows, not of a predecessor.
    Seen(EngineStatus),
}

/// Calls of this process that are under way or have just ended. Forgotten by a restart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Operations {
    /// The call that makes the anchor.
    pub anchor: AnchorCall,
    /// Nodes whose creating call is under way.
    pub launching: BTreeSet<NodeName>,
    /// When the creating call of a node was last made.
    pub asked: BTreeMap<NodeName, Timestamp>,
    /// Creating calls that failed since the last plan.
    pub launch_failures: Vec<LaunchFailure>,
    /// Nodes whose removal is under way.
    pub removing: BTreeSet<NodeName>,
    /// When the removing call of a node last ended, however it did.
    pub removed: BTreeMap<NodeName, Timestamp>,
    /// Whether the removal of the anchor is under way.
    pub removing_anchor: bool,
    /// When the call that removes the anchor last ended, however it did.
    pub anchor_removed: Option<Timestamp>,
    /// Whether such a call has answered that nothing is left.
    pub anchor_gone: bool,
    /// Drains.
    pub drains: BTreeMap<NodeName, DrainCall>,
}

/// The call that makes the anchor.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum AnchorCall {
    /// Not made yet.
    #[default]
    NotMade,
    /// Under way.
    InFlight,
    /// Succeeded, at that time.
    Made(Timestamp),
    /// Failed since the last plan.
    Failed(LaunchFailure),
}

/// A creating call that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct LaunchFailure {
    /// Which node; `None` for the anchor.
    pub node: Option<NodeName>,
    /// When.
    pub at: Timestamp,
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What the provider said, with its hint.
    pub message: String,
}

/// How far the drain of a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum DrainCall {
    /// The engine has been asked and has not answered.
    InFlight,
    /// Its data is elsewhere.
    Retired(Timestamp),
    /// Nobody can take its data; when the engine last said so.
    Refused(Timestamp),
    /// The engine could not be asked.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        message: String,
    },
}

/// What else a plan depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// How long a node may take from the creating call to its registration.
    pub start_deadline: Duration,
    /// How long a node may be invisible after its creation.
    pub visibility_delay: Duration,
    /// Whether the caller's surroundings are at hand, without which no anchor can be made.
    pub surroundings: Surroundings,
    /// Whether client and cluster run the same software.
    pub environment: EnvironmentMatch,
    /// How long a worker of an adaptive group that is too large has nothing to do before it goes.
    pub idle_period: Duration,
}

/// Whether the caller's environment is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surroundings {
    /// It is.
    AtHand,
    /// It was lost with the process that held it; somebody must hand it over again.
    Missing,
}

/// Whether client and cluster run the same software.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvironmentMatch {
    /// Not compared yet.
    Unknown,
    /// They do.
    Matched,
    /// They do not; which packages differ, and how.
    Different(String),
    /// There is nothing to compare with.
    NoClient,
}
