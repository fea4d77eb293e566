//! The one question whose answer holds all that a controller decides by: the operation `crewcall_status`, which
//! Crewcall's preload adds to a scheduler.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rmpv::Value;
use serde::Deserialize;

use super::{RpcError, SchedulerClient, codec, scheduler::WorkerName};
use crate::model::{Demand, Departure, EngineStatus, WorkerState, WorkerStatus};

/// The shape of the reply that this version reads.
pub const STATUS_PROTOCOL: u64 = 1;
/// The longest wait that a scheduler grants.
pub const MAX_WAIT: Duration = Duration::from_mins(1);

const OP: &str = "crewcall_status";
const BELTS: &str = "crewcall_belts";

/// Whether workers are to be ranked by what their end would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranking {
    /// The reply ranks all workers.
    Wanted,
    /// Spares the scheduler the work.
    NotWanted,
}

/// What to ask, and how long the scheduler may wait for news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusQuestion {
    /// The last sequence number seen. `None`: an answer at once.
    pub since: Option<u64>,
    /// How long the reply may wait for a change after `since`; cut to [`MAX_WAIT`].
    pub wait: Duration,
    /// Whether to rank the workers.
    pub ranking: Ranking,
}

impl SchedulerClient {
    /// Asks for the status, and waits for a change if the question says so.
    ///
    /// [`RpcError::UnknownOp`] comes from a scheduler without Crewcall's preload; ask it with
    /// [`Self::status_from_stock_operations`].
    pub async fn status(&mut self, question: StatusQuestion) -> Result<EngineStatus, RpcError> {
        let wait = question.wait.min(MAX_WAIT);
        let arguments = vec![
            ("since", question.since.map_or(Value::Nil, Value::from)),
            ("wait", wait.as_secs_f64().into()),
            ("ranking", (question.ranking == Ranking::Wanted).into()),
        ];
        let within = wait + self.connection.bounds().call;
        let reply = self.connection.call(OP, arguments, within).await?;
        let protocol = codec::field(&reply, "protocol").and_then(Value::as_u64);
        if protocol != Some(STATUS_PROTOCOL) {
            let found = protocol.map_or_else(|| "none".to_owned(), |p| p.to_string());
            let problem = format!("its status has protocol {found}, this version reads {STATUS_PROTOCOL}");
            return Err(self.odd_reply(OP, problem));
        }
        let wire: WireStatus = self.decode(OP, reply)?;
        wire.status().map_err(|problem| self.odd_reply(OP, problem))
    }
}

impl SchedulerClient {
    /// Sets when the scheduler ends by itself: after so long without work, and so long from now; `None`: never.
    ///
    /// [`RpcError::UnknownOp`] comes from a scheduler without Crewcall's preload, or with that of an earlier release.
    pub async fn set_belts(
        &mut self,
        idle: Option<Duration>,
        lifetime: Option<Duration>,
    ) -> Result<(), RpcError> {
        let seconds = |limit: Option<Duration>| limit.map_or(Value::Nil, |limit| limit.as_secs_f64().into());
        let arguments = vec![("idle", seconds(idle)), ("lifetime", seconds(lifetime))];
        let within = self.connection.bounds().call;
        self.connection.call_nullable(BELTS, arguments, within).await.map(drop)
    }
}

/// A moment as Python's `time.time()` gives it.
pub(super) fn moment(epoch: f64) -> Result<Timestamp, String> {
    SignedDuration::try_from_secs_f64(epoch)
        .and_then(Timestamp::from_duration)
        .map_err(|_| format!("{epoch} is no moment"))
}

/// A span as Python computes it: sums of floats that should be 0 can be just below.
fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

#[derive(Deserialize)]
struct WireStatus {
    sequence: u64,
    idle_since: Option<f64>,
    clients: u32,
    workers: BTreeMap<WorkerName, WireWorker>,
    demand: Vec<WireDemand>,
    ranking: Option<Vec<WorkerName>>,
    departures: Vec<WireDeparture>,
    unavailable: Vec<String>,
}

#[derive(Deserialize)]
struct WireWorker {
    address: String,
    state: WireState,
    held_bytes: u64,
    held_results: u64,
    processing: u32,
    actors: u32,
    #[serde(default)]
    memory_limit: Option<u64>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct WireState(WorkerState);

impl TryFrom<String> for WireState {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(Self(match text.as_str() {
            "starting" => WorkerState::Starting,
            "running" => WorkerState::Running,
            "paused" => WorkerState::Paused,
            "retiring" => WorkerState::Retiring,
            _ => return Err(format!("{text:?} is no state of a worker")),
        }))
    }
}

#[derive(Deserialize)]
struct WireDemand {
    resources: BTreeMap<String, f64>,
    runnable: u64,
    unrunnable: u64,
    occupancy: f64,
}

#[derive(Deserialize)]
struct WireDeparture {
    worker: WorkerName,
    at: f64,
    expected: Option<bool>,
    lost_computed: u64,
    lost_scattered: u64,
}

impl WireStatus {
    fn status(self) -> Result<EngineStatus, String> {
        Ok(EngineStatus {
            sequence: self.sequence,
            idle_since: self.idle_since.map(moment).transpose()?,
            clients: self.clients,
            workers: self.workers.into_iter().map(|(name, worker)| (name.0, worker.into())).collect(),
            demand: self.demand.into_iter().map(Demand::from).collect(),
            ranking: self.ranking.map(|names| names.into_iter().map(|name| name.0).collect()),
            departures: self.departures.into_iter().map(Departure::try_from).collect::<Result<_, _>>()?,
            unavailable: self.unavailable,
        })
    }
}

impl From<WireWorker> for WorkerStatus {
    fn from(wire: WireWorker) -> Self {
        Self {
            address: wire.address,
            state: wire.state.0,
            held_bytes: wire.held_bytes,
            held_results: wire.held_results,
            processing: wire.processing,
            actors: wire.actors,
            memory_limit: wire.memory_limit.filter(|limit| *limit > 0),
        }
    }
}

impl From<WireDemand> for Demand {
    fn from(wire: WireDemand) -> Self {
        Self {
            resources: wire.resources,
            runnable: wire.runnable,
            unrunnable: wire.unrunnable,
            occupancy: span(wire.occupancy),
        }
    }
}

impl TryFrom<WireDeparture> for Departure {
    type Error = String;

    fn try_from(wire: WireDeparture) -> Result<Self, String> {
        Ok(Self {
            worker: wire.worker.0,
            at: moment(wire.at)?,
            expected: wire.expected,
            lost_computed: wire.lost_computed,
            lost_scattered: wire.lost_scattered,
        })
    }
}
