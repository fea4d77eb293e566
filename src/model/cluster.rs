//! The record of a cluster: what is wanted of it, and how far that is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BootId, CallerContext, ClusterUid, Condition, Interpreter, Ledger, MachineId};
use crate::spec::{ClusterName, ComputeCluster};

/// The version of the stored format; a record of a newer one is never touched.
pub const RECORD_FORMAT: u32 = 1;

/// Which cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClusterKey {
    /// Unique for ever.
    pub uid: ClusterUid,
    /// Unique at one time.
    pub name: ClusterName,
}

/// All that is stored of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterRecord {
    /// [`RECORD_FORMAT`] at the time of writing.
    pub format: u32,
    /// Rises with every write.
    pub revision: u64,
    /// What is wanted.
    pub wanted: Wanted,
    /// How far that is.
    pub progress: Progress,
}

/// What is wanted of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wanted {
    /// Which cluster.
    pub uid: ClusterUid,
    /// The document, complete.
    pub document: ComputeCluster,
    /// Rises with every change of what is wanted.
    pub generation: u64,
    /// When the cluster was asked for.
    pub created_at: Timestamp,
    /// Whether it should exist.
    pub presence: Presence,
    /// The machine whose controller looks after it.
    pub machine: MachineId,
    /// The boot of that machine in which its nodes run; a local cluster does not outlive it.
    pub boot: BootId,
    /// Who asked, in what surroundings.
    pub context: CallerContext,
    /// What local nodes run with.
    pub interpreter: Option<Interpreter>,
    /// The generation whose scale-down may lose results (`scale --force`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced_generation: Option<u64>,
    /// When somebody last asked for the cluster as it is to be: what failed before is tried again at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
}

/// Whether a cluster should exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Presence {
    /// It should.
    Present,
    /// It should not.
    Absent(Ending),
}

/// Why and since when a cluster should no longer exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: EndReason,
}

/// Why a cluster ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndReason {
    /// Somebody deleted it.
    Deleted,
    /// It had no work for its `idleTimeout`.
    Idle,
    /// Its `maxLifetime` has passed.
    MaxLifetime,
    /// Its `maxCost` is spent.
    MaxCost,
}

/// How far a cluster is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Progress {
    /// Intents, drains, failures.
    pub ledger: Ledger,
    /// The newest conditions.
    pub conditions: Vec<Condition>,
    /// The generation that the conditions speak of.
    pub observed_generation: u64,
}

/// Whether copies of records are kept where the clusters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordCopies {
    /// They are: what costs money outlives the machine with the store.
    Kept,
    /// They are not.
    NotKept,
}

impl Wanted {
    /// Notes that something else is wanted from `now` on, or the same once more.
    pub fn ask(&mut self, now: Timestamp) {
        self.generation += 1;
        self.asked_at = Some(now);
    }
}

impl ClusterRecord {
    /// Whether something has failed that is tried again ever less often.
    pub fn has_failures(&self) -> bool {
        let ledger = &self.progress.ledger;
        let mut failures =
            ledger.groups.values().map(|group| &group.failures).chain([&ledger.anchor_failures]);
        failures.any(|failures| !failures.is_none())
    }

    /// The cluster's name.
    pub fn name(&self) -> &ClusterName {
        &self.wanted.document.metadata.name
    }

    /// Which cluster this is.
    pub fn key(&self) -> ClusterKey {
        ClusterKey { uid: self.wanted.uid.clone(), name: self.name().clone() }
    }
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Deleted => "it was deleted",
            Self::Idle => "it was idle for its idleTimeout",
            Self::MaxLifetime => "its maxLifetime has passed",
            Self::MaxCost => "its maxCost is spent",
        })
    }
}
