//! What can be asked of the controller, and what it answers.

use serde::{Deserialize, Serialize};

use super::ClusterView;
use crate::{
    model::{CallerContext, CallerEnvironment, Money, Phase},
    provider::ProviderError,
    spec::{ClusterName, ComputeCluster, GroupName, ProviderKind, Size},
    store::{StoreError, Unreadable},
};

/// A document that is to become a cluster, or that of a cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateRequest {
    /// What is wanted.
    pub document: ComputeCluster,
    /// Who asks, in what surroundings.
    pub context: CallerContext,
    /// The caller's environment variables; held in memory only.
    pub environment: CallerEnvironment,
    /// What to do.
    pub mode: CreateMode,
}

/// A place in which clusters may be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meeting {
    /// Of which kind.
    pub provider: ProviderKind,
    /// Where, and as whom.
    pub context: CallerContext,
    /// The caller's environment variables; held in memory only.
    pub environment: CallerEnvironment,
}

/// What to do with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CreateMode {
    /// Create the cluster, or update it.
    Apply,
    /// Say what that would do.
    DryRun,
    /// Where that cannot be done to the cluster that exists, delete it and create it anew.
    Replace,
}

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateReply {
    /// What was done, or would be.
    pub outcome: CreateOutcome,
    /// One line per change.
    pub changes: Vec<String>,
    /// What the caller should know.
    pub warnings: Vec<String>,
    /// The cluster as it is now; `None` after a dry run of a new one.
    pub cluster: Option<ClusterView>,
}

/// What was done with a document, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CreateOutcome {
    /// A new cluster.
    Created,
    /// The cluster was changed.
    Updated,
    /// There was nothing to change.
    Unchanged,
    /// The cluster was deleted and created anew.
    Replaced,
}

/// A new size for a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleRequest {
    /// Which group; `None`: the default one.
    pub group: Option<GroupName>,
    /// How large.
    pub size: Size,
    /// What to do with workers whose data nobody can take.
    pub unplaced: Unplaced,
}

/// What to do with a worker whose data nobody can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unplaced {
    /// Keep the worker.
    Keep,
    /// Lose the data.
    Lose,
}

/// One line of a list: as much of a cluster as is asked for, or what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Listed<T = ClusterView> {
    /// A cluster whose record can be read.
    Cluster(Box<T>),
    /// A record that cannot be used.
    Unreadable {
        /// The cluster's name, from the record's place.
        name: String,
        /// Why, and what to do.
        problem: String,
    },
}

/// Something that was left behind, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// What it is.
    pub description: String,
    /// How old it is, in whole seconds.
    pub age_seconds: u64,
    /// What was done, or would be.
    pub fate: Fate,
    /// What it costs an hour, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<Money>,
}

/// What becomes of a leftover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// It would be removed (dry run).
    WouldBeRemoved,
    /// It was removed.
    Removed,
    /// It would be taken up again as a cluster of this controller's (dry run).
    WouldBeAdopted,
    /// Its record was lost, and it was taken up again as a cluster of this controller's.
    Adopted,
    /// It could not or should not be removed, and why.
    Kept(String),
}

/// Whether a sweep only looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sweep {
    /// It says what it would remove.
    DryRun,
    /// It removes.
    Remove,
    /// It removes what is dead; what may be a cluster at work is left to a person.
    RemoveDead,
}

/// A request that was refused.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No cluster of that name.
    #[error("there is no cluster named {0}")]
    NotFound(ClusterName),
    /// The document cannot be a cluster.
    #[error("the document is not valid: {}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The edit cannot be applied to a cluster that lives.
    #[error("cluster {name} cannot be changed like this while it lives: {}", changes.join("; "))]
    Fixed {
        /// Which cluster.
        name: ClusterName,
        /// What would have to change.
        changes: Vec<String>,
    },
    /// The request makes no sense for this cluster.
    #[error("{0}")]
    Refused(String),
    /// The cluster is of another machine.
    #[error("cluster {name} belongs to another machine ({machine}) that shares this state directory")]
    Elsewhere {
        /// Which cluster.
        name: ClusterName,
        /// That machine's id.
        machine: String,
    },
    /// The record cannot be used.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// This program was built without that provider.
    #[error("this build of crewcall has no provider `{0}`")]
    NoProvider(&'static str),
    /// The request does not say where clusters of that provider are.
    #[error("the request does not say where `{0}` is")]
    NoPlace(&'static str),
    /// The provider refused or failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// Something took too long.
    #[error("{waited_for} did not happen within {seconds} s; last seen: {last_seen}")]
    TooLong {
        /// What.
        waited_for: String,
        /// The bound.
        seconds: u64,
        /// What was last seen.
        last_seen: String,
    },
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unreadable(unreadable) => Self::Unreadable(unreadable),
            error => Self::Store(error),
        }
    }
}

impl RequestError {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound(_) => Some("`crewcall list` shows what there is".to_owned()),
            Self::Fixed { .. } => {
                Some("`crewcall create -f FILE --replace` deletes the cluster and creates it anew".to_owned())
            }
            Self::Elsewhere { .. } => Some("run the command on that machine".to_owned()),
            Self::Unreadable(unreadable) => Some(unreadable.hint.clone()),
            Self::NoProvider(name) => Some(format!("build it with `cargo build --features {name}`")),
            Self::NoPlace(_) => Some(
                "the command or package that asks is older than the controller: bring it up to date"
                    .to_owned(),
            ),
            Self::Provider(error) => error.hint.clone(),
            Self::Store(StoreError::Io { .. }) => {
                Some("mend that, and run the command again; clusters that run go on meanwhile".to_owned())
            }
            Self::Invalid(_) | Self::Refused(_) | Self::Store(_) | Self::TooLong { .. } => None,
        }
    }
}

/// Whether a phase means that nothing of the cluster runs here.
pub(super) fn is_dormant(phase: Phase) -> bool {
    matches!(phase, Phase::Lost | Phase::Elsewhere)
}
