//! The operations of a scheduler that a controller uses, with types.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rmpv::Value;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::{Connection, RpcError, Target};
use crate::model::{NodeName, WorkerState};

/// More workers than any scheduler has: `workers_to_close` then ranks all of them.
const ALL_WORKERS: u32 = 1_000_000;

/// What becomes of a worker's process once its data is elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetireMode {
    /// The scheduler tells the worker to end; it exits with 0.
    CloseWorkers,
    /// The scheduler forgets the worker, whose process stays until somebody ends it.
    KeepProcess,
}

/// A scheduler and its workers by name.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerIdentity {
    /// The scheduler's own id, another one after each start.
    pub id: String,
    /// The port of its HTTP server, if it has one.
    pub dashboard_port: Option<u16>,
    /// Every worker that is registered, whoever started it.
    pub workers: BTreeMap<NodeName, RegisteredWorker>,
}

/// What a worker said when it registered and in its last heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisteredWorker {
    /// Where it listens.
    pub address: String,
    /// Who restarts it, if anybody.
    pub nanny: Option<String>,
    /// Whether it takes work.
    pub state: WorkerState,
    /// Threads that run tasks.
    pub threads: u32,
    /// What it may use, in bytes; 0: no limit.
    pub memory_limit: u64,
    /// As of its last heartbeat.
    pub activity: WorkerActivity,
}

/// What a worker does and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkerActivity {
    /// Bytes of results held, in memory or spilled.
    pub held_bytes: u64,
    /// Results held.
    pub held_results: u64,
    /// Tasks that it runs or will run.
    pub assigned: u32,
}

/// What a scheduler runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftwareVersions {
    /// Python's version, as in `3.11.7.final.0`.
    pub python: String,
    /// Packages that Dask compares between the members of a cluster; `None`: not installed.
    pub packages: BTreeMap<String, Option<String>>,
}

/// A connection to a scheduler. After any error but [`RpcError::UnknownOp`], [`RpcError::Remote`] and
/// [`RpcError::Reply`] it is of no more use.
#[derive(Debug)]
pub struct SchedulerClient {
    pub(super) connection: Connection,
}

impl SchedulerClient {
    /// Connects, each step within `target.bounds.connect`.
    pub async fn connect(target: &Target) -> Result<Self, RpcError> {
        Ok(Self { connection: Connection::open(target).await? })
    }

    /// Says farewell; never fails.
    pub async fn close(self) {
        self.connection.close().await;
    }

    /// Who the scheduler is and which workers it has. About 800 bytes a worker.
    pub async fn identity(&mut self) -> Result<SchedulerIdentity, RpcError> {
        const OP: &str = "identity";
        let wire: WireIdentity = self.ask(OP, vec![]).await?;
        let workers = wire.workers.into_iter().map(|(address, worker)| {
            let registered = RegisteredWorker {
                address,
                nanny: worker.nanny,
                state: state(&worker.status),
                threads: worker.nthreads,
                memory_limit: worker.memory_limit.unwrap_or(0),
                activity: worker.metrics.map(WireMetrics::activity).unwrap_or_default(),
            };
            (worker.name.0, registered)
        });
        let dashboard_port = wire.services.get("dashboard").copied();
        Ok(SchedulerIdentity { id: wire.id, dashboard_port, workers: workers.collect() })
    }

    /// What the scheduler's Python has installed.
    pub async fn versions(&mut self) -> Result<SoftwareVersions, RpcError> {
        let wire: WireVersions = self.ask("versions", vec![]).await?;
        Ok(SoftwareVersions { python: wire.host.python, packages: wire.packages })
    }

    /// Keys of the tasks that `worker` runs or will run, as Dask prints them. An error if the
    /// scheduler does not know it.
    pub async fn assigned_tasks(&mut self, worker: &NodeName) -> Result<Vec<String>, RpcError> {
        let arguments = vec![("workers", Value::Array(vec![worker.as_str().into()]))];
        let tasks: BTreeMap<String, Vec<Value>> = self.ask("processing", arguments).await?;
        Ok(tasks.values().flatten().map(key_text).collect())
    }

    /// All workers, from the one whose end costs least to the one whose end costs most.
    pub async fn workers_to_close_ranked(&mut self) -> Result<Vec<NodeName>, RpcError> {
        let arguments = vec![("n", ALL_WORKERS.into()), ("attribute", "name".into())];
        let names: Vec<WorkerName> = self.ask("workers_to_close", arguments).await?;
        Ok(names.into_iter().map(|name| name.0).collect())
    }

    /// Moves what `names` hold to other workers and lets them go; waits for that at most `within`, for gigabytes move.
    ///
    /// Gives those that were let go. The others hold something that nobody can take, and work on; names that the
    /// scheduler does not know are left out without an error.
    pub async fn retire_workers(
        &mut self,
        names: &BTreeSet<NodeName>,
        mode: RetireMode,
        within: Duration,
    ) -> Result<BTreeSet<NodeName>, RpcError> {
        const OP: &str = "retire_workers";
        // Without names the scheduler would choose workers by itself.
        if names.is_empty() {
            return Ok(BTreeSet::new());
        }
        let list = names.iter().map(|name| name.as_str().into()).collect();
        let arguments = vec![
            ("names", Value::Array(list)),
            ("close_workers", (mode == RetireMode::CloseWorkers).into()),
            ("remove", true.into()),
        ];
        let reply = self.connection.call(OP, arguments, within).await?;
        let wire: BTreeMap<String, WireRetired> = self.decode(OP, reply)?;
        Ok(wire.into_values().map(|worker| worker.name.0).collect())
    }

    /// Calls `op` within the bound for immediate replies and decodes what comes.
    pub(super) async fn ask<T: DeserializeOwned>(
        &mut self,
        op: &str,
        arguments: Vec<(&str, Value)>,
    ) -> Result<T, RpcError> {
        let within = self.connection.bounds().call;
        let reply = self.connection.call(op, arguments, within).await?;
        self.decode(op, reply)
    }

    /// Turns a reply into what `op` is known to give.
    pub(super) fn decode<T: DeserializeOwned>(&self, op: &str, reply: Value) -> Result<T, RpcError> {
        rmpv::ext::from_value(reply).map_err(|rmpv::ext::Error::Syntax(problem)| self.odd_reply(op, problem))
    }

    /// The error for a reply that makes no sense.
    pub(super) fn odd_reply(&self, op: &str, problem: impl Into<String>) -> RpcError {
        RpcError::Reply { peer: self.connection.peer().clone(), op: op.to_owned(), problem: problem.into() }
    }
}

/// A task's key: a text, or a tuple of a text and numbers.
fn key_text(key: &Value) -> String {
    match key {
        Value::String(text) => text.as_str().unwrap_or_default().to_owned(),
        Value::Array(parts) => {
            let parts: Vec<String> = parts.iter().map(key_text).collect();
            format!("({})", parts.join(", "))
        }
        other => other.to_string(),
    }
}

/// A worker's name; other programs give their workers numbers.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WorkerName(pub(super) NodeName);

impl<'de> Deserialize<'de> for WorkerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Number(i64),
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::Text(text) => NodeName::new(text),
            Either::Number(number) => NodeName::new(number.to_string()),
        }))
    }
}

#[derive(Deserialize)]
struct WireIdentity {
    id: String,
    #[serde(default)]
    services: BTreeMap<String, u16>,
    workers: BTreeMap<String, WireWorker>,
}

#[derive(Deserialize)]
struct WireWorker {
    name: WorkerName,
    status: String,
    nthreads: u32,
    memory_limit: Option<u64>,
    nanny: Option<String>,
    metrics: Option<WireMetrics>,
}

/// The part of a heartbeat that is of use; see `Worker.get_metrics` in distributed. `task_counts` came in 2023, the
/// single counts went then.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WireMetrics {
    managed_bytes: u64,
    task_counts: Option<BTreeMap<String, u32>>,
    in_memory: u32,
    executing: u32,
    ready: u32,
}

impl WireMetrics {
    fn activity(self) -> WorkerActivity {
        let (held, assigned) = match self.task_counts {
            None => (self.in_memory, self.executing.saturating_add(self.ready)),
            Some(counts) => {
                let count = |state| counts.get(state).copied().unwrap_or(0);
                // States of distributed's worker in which a task will run, runs, or has left the pool while running.
                let assigned =
                    ["waiting", "ready", "constrained", "executing", "long-running", "rescheduled"];
                let held = count("memory").saturating_add(count("disk"));
                (held, assigned.into_iter().map(count).fold(0, u32::saturating_add))
            }
        };
        WorkerActivity { held_bytes: self.managed_bytes, held_results: held.into(), assigned }
    }
}

#[derive(Deserialize)]
struct WireVersions {
    host: WireHost,
    packages: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
struct WireHost {
    python: String,
}

#[derive(Deserialize)]
struct WireRetired {
    name: WorkerName,
}

/// Names of distributed's `Status`; whatever is past running only gives things away.
fn state(status: &str) -> WorkerState {
    match status {
        "undefined" | "created" | "init" | "starting" => WorkerState::Starting,
        "running" => WorkerState::Running,
        "paused" => WorkerState::Paused,
        _ => WorkerState::Retiring,
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
