//! Conditions, and the phase that sums them up.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One statement about a cluster, with the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What the statement is about.
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one `CamelCase` word that programs can match.
    pub reason: String,
    /// Why, for a person.
    pub message: String,
    /// Since when the status is what it is.
    pub last_transition_time: Timestamp,
}

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConditionKind {
    /// The scheduler runs and answers.
    SchedulerReady,
    /// All wanted workers take work.
    WorkersReady,
    /// Client and cluster run the same software.
    EnvironmentMatched,
    /// Every connection is mutually authenticated.
    Encrypted,
    /// Something is being changed.
    Progressing,
    /// Something keeps failing, or cannot be had.
    Degraded,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows (yet).
    Unknown,
}

/// A cluster's state in one word, derived from its conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Accepted, nothing runs yet.
    Pending,
    /// The scheduler or workers that were asked for are on their way.
    Starting,
    /// All that was asked for is there.
    Ready,
    /// It works, and its size or template is being changed.
    Updating,
    /// Something keeps failing, or cannot be had.
    Degraded,
    /// Being torn down.
    Deleting,
    /// Its machine was restarted; nothing of it runs.
    Lost,
    /// Another machine that shares the state directory looks after it.
    Elsewhere,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Starting,
        Self::Ready,
        Self::Updating,
        Self::Degraded,
        Self::Deleting,
        Self::Lost,
        Self::Elsewhere,
    ];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "Pending",
            Self::Starting => "Starting",
            Self::Ready => "Ready",
            Self::Updating => "Updating",
            Self::Degraded => "Degraded",
            Self::Deleting => "Deleting",
            Self::Lost => "Lost",
            Self::Elsewhere => "Elsewhere",
        })
    }
}
