//! What a plan is made from.

use std::time::Duration;

use jiff::Timestamp;

use super::Operations;
use crate::model::{ClusterRecord, EngineStatus, Launching, Observed, RecordCopies, WayIn};

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
    /// What keeps new connections from this machine from reaching the scheduler.
    pub obstruction: Option<String>,
    /// Until when the cluster's certificates are valid; `None`: it has none, or they are not made yet.
    pub certificates_until: Option<Timestamp>,
    /// How long a worker of an adaptive group that is too large has nothing to do before it goes.
    pub idle_period: Duration,
    /// How nodes are launched, where that is done in batches and the provider names them.
    pub launching: Option<Launching>,
    /// Whether a copy of the record is kept where the cluster is.
    pub record_copies: RecordCopies,
    /// Who may come to the scheduler's door.
    pub way_in: WayIn,
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
