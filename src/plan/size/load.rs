//! What the sizes of a cluster's groups are decided from.

use std::{collections::BTreeMap, time::Duration};

use super::desired::DEFAULT;
use crate::{
    model::Demand,
    spec::{GroupName, Size, WorkerGroupSpec},
};

/// The work and the workers of a cluster at one moment.
#[derive(Debug, Clone)]
pub(super) struct Load<'a> {
    /// What waits and runs.
    pub demand: &'a [Demand],
    /// All groups of the document, the default one first.
    pub groups: Vec<GroupLoad<'a>>,
}

/// One group.
#[derive(Debug, Clone)]
pub(super) struct GroupLoad<'a> {
    /// Its name.
    pub name: GroupName,
    /// At least so many workers; of a fixed group, its size.
    pub min: u32,
    /// At most so many workers; of a fixed group, its size.
    pub max: u32,
    /// Threads per worker.
    pub threads: u32,
    /// Resources per worker.
    pub resources: &'a BTreeMap<String, f64>,
    /// Bytes per worker, if there is a limit and somebody knows it.
    pub memory_limit: Option<u64>,
    /// Workers that are there or on their way.
    pub live: u32,
    /// Workers that take work.
    pub ready: u32,
    /// Bytes of results that its workers hold.
    pub held_bytes: u64,
    /// Results that its workers hold.
    pub held_results: u64,
    /// Workers with actors, which cannot move.
    pub with_actors: u32,
    /// How long starts take, if any was seen.
    pub startup: Option<Duration>,
    /// Whether its starts keep failing.
    pub failing: bool,
}

/// The least and the most workers that a group may have.
pub(in crate::plan) fn bounds(group: &WorkerGroupSpec) -> (u32, u32) {
    match group.size() {
        None => (DEFAULT, DEFAULT),
        Some(Size::Fixed(replicas)) => (replicas, replicas),
        Some(Size::Adaptive { min, max }) => (min, max),
    }
}
