//! From what an engine wants to run to what a host is told. Pure.

use serde_json::{Map, Value, json};

use super::host::protocol::{Claim, NodeLaunch, Tls};
use super::paths;
use crate::{
    engine::{
        Launch,
        dask::{DaskRole, Nanny, SchedulerArguments, WorkerArguments},
    },
    provider::{AnchorRequest, Directories, NodeRequest},
};

/// The argument of a worker that starts below a nanny of its own.
pub const OWN_NANNY: &str = "own_nanny";

/// Where local nodes listen.
const LOOPBACK: &str = "127.0.0.1";

/// What a host is told of a node.
pub fn launch(request: &NodeRequest) -> NodeLaunch {
    let Launch::Dask(dask) = &*request.launch;
    NodeLaunch {
        id: request.id.clone(),
        template: request.template.clone(),
        environment: dask.environment.clone(),
        secret_environment: dask.secret_environment.clone(),
        config: dask.config.clone(),
        arguments: match &dask.role {
            DaskRole::Scheduler(arguments) => scheduler(request, arguments),
            DaskRole::Worker(arguments) => worker(arguments),
        },
        tls: request.identity.as_ref().map(|identity| Tls {
            ca: identity.ca.clone(),
            cert: identity.cert.clone(),
            key: identity.key.expose().to_owned(),
        }),
    }
}

fn scheduler(request: &NodeRequest, arguments: &SchedulerArguments) -> Map<String, Value> {
    let mut object = object(json!({
        "host": LOOPBACK,
        "port": 0,
        "dashboard": "attach",
        "idle_timeout": arguments.idle_timeout,
        "preload": arguments.preload,
        "id": format!("Scheduler-{}", request.id),
    }));
    // A host of an earlier release refuses what it does not know.
    if arguments.nannies == Nanny::Own {
        object.insert("nannies".to_owned(), json!(true));
    }
    if let Some(lifetime) = arguments.lifetime {
        object.insert("lifetime".to_owned(), json!(lifetime));
    }
    object
}

/// `local_directory` and `nanny` are the host's to add: it makes that directory, and poses as that nanny.
fn worker(arguments: &WorkerArguments) -> Map<String, Value> {
    let mut object = object(json!({
        "host": LOOPBACK,
        "scheduler": arguments.scheduler,
        "name": arguments.name,
        "threads": arguments.threads,
        "memory_limit": arguments.memory_limit,
        "resources": arguments.resources,
        "preload": arguments.preload,
        "death_timeout": arguments.death_timeout,
        "drain_grace": arguments.drain_grace,
        "nanny": null,
    }));
    if arguments.nanny == Nanny::Own {
        object.insert(OWN_NANNY.to_owned(), json!(true));
    }
    object
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// What a spare is told when it becomes the host of a cluster.
pub fn claim(directories: &Directories, request: &AnchorRequest) -> Claim {
    // As Dask and then Python's tempfile have it; an empty variable counts as unset.
    let variable = |name: &str| request.environment.0.get(name).filter(|text| text.starts_with('/'));
    let temporary = variable("DASK_TEMPORARY_DIRECTORY").or_else(|| variable("TMPDIR"));
    let temporary = temporary.map_or("/tmp", String::as_str);
    Claim {
        cluster: request.cluster.clone(),
        logs: paths::logs(&directories.state, &request.cluster.name),
        temporary: temporary.into(),
        working_directory: request.context.working_directory.clone(),
        import_path: request.context.import_path.clone(),
        umask: request.context.umask,
        environment: request.environment.clone(),
    }
}
