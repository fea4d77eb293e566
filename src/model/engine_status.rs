//! What an engine says about itself, in terms that every engine can fill.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::NodeName;

/// The engine's own view of a cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// Rises with every change that [`EngineStatus`] reports; a long poll names the last one seen.
    pub sequence: u64,
    /// Since when nothing runs, is queued or waits; `None` while there is work.
    pub idle_since: Option<Timestamp>,
    /// Connected clients, pseudo-clients not counted.
    pub clients: u32,
    /// Workers that the scheduler knows, by node name.
    pub workers: BTreeMap<NodeName, WorkerStatus>,
    /// Work by what it asks for, largest first.
    pub demand: Vec<Demand>,
    /// Workers from the first to go to the last, if it was asked for.
    pub ranking: Option<Vec<NodeName>>,
    /// Workers that left since the sequence number that the question named.
    pub departures: Vec<Departure>,
    /// What this engine's version cannot say; shown in a condition.
    pub unavailable: Vec<String>,
}

impl EngineStatus {
    /// Whether `demand` is what the engine knows, and not just empty because it cannot say.
    pub fn knows_demand(&self) -> bool {
        !self.unavailable.iter().any(|what| what == "demand" || what.starts_with("demand:"))
    }
}

/// One worker as its scheduler sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Where it listens.
    pub address: String,
    /// Whether it takes work.
    pub state: WorkerState,
    /// Bytes of results held.
    pub held_bytes: u64,
    /// Results held.
    pub held_results: u64,
    /// Tasks assigned to it.
    pub processing: u32,
    /// Actors that live in it and cannot move.
    pub actors: u32,
    /// Bytes that it may use; `None`: no limit, or nobody knows it.
    #[serde(default)]
    pub memory_limit: Option<u64>,
}

/// Whether a worker takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WorkerState {
    /// Registered, not yet running.
    Starting,
    /// Takes work.
    Running,
    /// Out of memory; takes no new work for now.
    Paused,
    /// Hands its data over and takes no new work.
    Retiring,
}

/// Work that asks for the same resources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// What each task asks for; empty: nothing special.
    pub resources: BTreeMap<String, f64>,
    /// Tasks that some worker could run now: queued or assigned.
    pub runnable: u64,
    /// Tasks that no worker could run.
    pub unrunnable: u64,
    /// Expected run time of all of them on one thread.
    pub occupancy: Duration,
}

/// A worker that left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Departure {
    /// Which.
    pub worker: NodeName,
    /// When.
    pub at: Timestamp,
    /// Whether it was asked to go; `None` where this engine's version cannot say.
    pub expected: Option<bool>,
    /// Results that must be computed again.
    pub lost_computed: u64,
    /// Scattered objects that cannot be computed again.
    pub lost_scattered: u64,
}
