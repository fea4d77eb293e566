//! What to run as a Dask scheduler or worker. Pure; each provider turns it into its own form.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use serde_json::Value;

use crate::{
    engine::belts,
    model::NodeId,
    spec::{ComputeCluster, EngineSpec, GroupName},
};

/// How long a worker looks for its scheduler before it gives up.
const DEATH_TIMEOUT: Duration = Duration::from_mins(1);

/// A Dask process.
#[derive(Debug, Clone, PartialEq)]
pub struct DaskLaunch {
    /// Environment variables that the document sets, over whatever the provider has.
    pub environment: BTreeMap<String, String>,
    /// Names of the caller's variables whose values are secret, by the name they get here.
    pub secret_environment: BTreeMap<String, String>,
    /// Dask configuration by dotted key.
    pub config: BTreeMap<String, Value>,
    /// What it is.
    pub role: DaskRole,
}

/// Scheduler or worker, with its own arguments.
#[derive(Debug, Clone, PartialEq)]
pub enum DaskRole {
    /// The scheduler.
    Scheduler(SchedulerArguments),
    /// A worker.
    Worker(WorkerArguments),
}

/// Arguments of a scheduler.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SchedulerArguments {
    /// Seconds without work after which it ends by itself: the belt when no controller lives.
    pub idle_timeout: Option<f64>,
    /// Seconds after which it ends by itself, whatever it does: the same belt.
    pub lifetime: Option<f64>,
    /// Modules or files to load first.
    pub preload: Vec<String>,
    /// Who the nannies of the workers are: [`Nanny::Own`] where any of them has its own.
    pub nannies: Nanny,
}

/// Arguments of a worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerArguments {
    /// The scheduler's address.
    pub scheduler: String,
    /// Its name in the scheduler.
    pub name: String,
    /// Threads that run tasks.
    pub threads: u32,
    /// Bytes; `None`: Dask's own default.
    pub memory_limit: Option<u64>,
    /// Abstract resources.
    pub resources: BTreeMap<String, f64>,
    /// Modules or files to load first.
    pub preload: Vec<String>,
    /// Seconds to look for the scheduler.
    pub death_timeout: f64,
    /// Seconds to hand data over when told to stop.
    pub drain_grace: f64,
    /// Who is its nanny.
    pub nanny: Nanny,
}

/// Who restarts a worker when a client asks, and ends it when it uses too much memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Nanny {
    /// Whoever starts the worker poses as one.
    #[default]
    Posed,
    /// A process of Dask's own between the two, which runs plugins of nannies.
    Own,
}

/// What to run as the scheduler.
pub fn scheduler(cluster: &ComputeCluster) -> DaskLaunch {
    let spec = &cluster.spec;
    let EngineSpec::Dask(dask) = &spec.engine;
    DaskLaunch {
        environment: merged(&spec.env, &spec.scheduler.env),
        secret_environment: spec.secret_env.clone(),
        config: dask.config.clone(),
        role: DaskRole::Scheduler(SchedulerArguments {
            idle_timeout: belts::idle(spec).map(|limit| limit.as_secs_f64()),
            lifetime: belts::lifetime(spec).map(|limit| limit.as_secs_f64()),
            preload: dask.scheduler_preload.clone(),
            nannies: if spec.groups().any(|(_, group)| group.nanny) { Nanny::Own } else { Nanny::Posed },
        }),
    }
}

/// What to run as a worker. A group that the document does not have gets the defaults.
pub fn worker(cluster: &ComputeCluster, node: &NodeId, group: &GroupName, scheduler: &str) -> DaskLaunch {
    let spec = &cluster.spec;
    let EngineSpec::Dask(dask) = &spec.engine;
    let group = spec.group(group).cloned().unwrap_or_default();
    DaskLaunch {
        environment: merged(&spec.env, &group.env),
        secret_environment: merged(&spec.secret_env, &group.secret_env),
        config: dask.config.clone(),
        role: DaskRole::Worker(WorkerArguments {
            scheduler: scheduler.to_owned(),
            name: node.to_string(),
            threads: group.threads(),
            memory_limit: group.memory.map(crate::spec::Memory::bytes),
            resources: group.resources.clone(),
            preload: dask.worker_preload.clone(),
            death_timeout: DEATH_TIMEOUT.as_secs_f64(),
            drain_grace: spec.drain_grace().as_secs_f64(),
            nanny: if group.nanny { Nanny::Own } else { Nanny::Posed },
        }),
    }
}

fn merged(base: &BTreeMap<String, String>, over: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    base.iter().chain(over).map(|(name, value)| (name.clone(), value.clone())).collect()
}
