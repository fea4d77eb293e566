//! What goes over the wire, beyond what the controller's own types say.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ApiError;
use crate::{
    controller::{ClusterView, CreateReply},
    model::Event,
};

/// The version of this interface. It rises when a client of the version before could not work any
/// more.
///
/// Whatever it is, `GET /v1/status` answers with at least what [`Hello`] has, and `POST /v1/stop`
/// ends the controller: so that programs of different versions can always take leave of each other.
pub const PROTOCOL: u32 = 1;

/// Who answers: the part of [`ControllerStatus`] that all versions share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// The controller's version of Crewcall.
    pub version: String,
    /// Its [`PROTOCOL`].
    pub protocol: u32,
    /// Its process.
    pub pid: u32,
}

/// What a controller says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControllerStatus {
    /// Its version of Crewcall.
    pub version: String,
    /// Its [`PROTOCOL`].
    pub protocol: u32,
    /// Its process.
    pub pid: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How many clusters it looks after.
    pub clusters: usize,
    /// How many changes that clients have asked for are being carried out.
    #[serde(default)]
    pub changes: usize,
    /// Where its durable state is.
    pub state_directory: PathBuf,
    /// Where its sockets are.
    pub runtime_directory: PathBuf,
    /// Where it listens.
    pub socket: PathBuf,
}

/// One line of the answer to a create.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CreateMessage {
    /// A step, for a person.
    Progress(String),
    /// The document is accepted and stored, and the cluster on its way. Nothing follows.
    Done(Box<CreateReply>),
}

/// One line of the story of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WatchMessage {
    /// The cluster as it is now; the first line of all is this.
    Cluster(Box<ClusterView>),
    /// Something that happened.
    Event(Event),
    /// The cluster is gone. Nothing follows.
    Gone,
}

/// The last line of a stream that ended early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failed {
    /// Why nothing follows.
    pub error: ApiError,
}

/// How many events are asked for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct EventsQuery {
    #[serde(default = "all_events")]
    pub limit: usize,
}

/// Which part of a log is asked for.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct LogQuery {
    #[serde(default)]
    pub tail: Option<usize>,
    #[serde(default)]
    pub follow: bool,
}

/// More than a history holds.
fn all_events() -> usize {
    10_000
}
