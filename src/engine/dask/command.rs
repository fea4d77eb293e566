//! A Dask process as a command of its own: arguments, environment, configuration file. Pure.
//!
//! For providers that start each node from nothing, as a pod or a machine does. The commands are those of
//! distributed 2022.10 and later.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};

use super::{DaskLaunch, DaskRole, Nanny, SchedulerArguments, WorkerArguments};

/// What a nanny sets in the environment of its worker, unless somebody else has (`distributed.nanny` in
/// Dask's own `distributed.yaml`).
const NANNY_ENVIRONMENT: [(&str, &str); 4] = [
    ("MALLOC_TRIM_THRESHOLD_", "65536"),
    ("MKL_NUM_THREADS", "1"),
    ("OMP_NUM_THREADS", "1"),
    ("OPENBLAS_NUM_THREADS", "1"),
];

/// Where Dask's own server for the dashboard listens when the preload serves it to others.
const OWN_DASHBOARD: &str = "127.0.0.1:0";

/// Where a node finds what it is made from, and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surface {
    /// The program that runs Python: a name on the path, or a path.
    pub python: String,
    /// The path of the preload.
    pub preload: String,
    /// The path of the configuration file, whose text is [`configuration`].
    pub configuration: String,
    /// The scheduler's port for Dask's protocol.
    pub port: u16,
    /// Where the scheduler serves its dashboard: `HOST:PORT`. With TLS the preload does, and Dask's own server
    /// can be reached by the node alone.
    pub dashboard: String,
    /// Whether connections are authenticated.
    pub transport: Transport,
}

/// How Dask's connections are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Mutually authenticated.
    Tls,
    /// Open to everybody who reaches them.
    Plain,
}

impl Transport {
    /// As addresses begin.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Plain => "tcp",
        }
    }
}

/// Paths of a node's certificate, its key and its authority's certificate, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPaths {
    /// The authority's certificate.
    pub ca: String,
    /// The node's own.
    pub cert: String,
    /// Its key.
    pub key: String,
}

/// A process to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaskCommand {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment variables, over what the image or machine sets.
    pub environment: BTreeMap<String, String>,
    /// Names of the caller's variables whose values are secret, by the name they get here.
    pub secret_environment: BTreeMap<String, String>,
}

/// How a node is started.
pub fn command(launch: &DaskLaunch, surface: &Surface) -> DaskCommand {
    let mut environment = BTreeMap::from([("PYTHONUNBUFFERED".to_owned(), "1".to_owned())]);
    let arguments = match &launch.role {
        DaskRole::Scheduler(arguments) => scheduler(arguments, surface),
        DaskRole::Worker(arguments) => {
            environment.extend(nanny_environment(&launch.config));
            worker(arguments, surface)
        }
    };
    environment.extend(launch.environment.clone());
    environment.insert("DASK_CONFIG".to_owned(), surface.configuration.clone());
    if let DaskRole::Scheduler(SchedulerArguments { nannies: Nanny::Own, .. }) = &launch.role {
        environment.insert("CREWCALL_NANNIES".to_owned(), "own".to_owned());
    }
    if let DaskRole::Scheduler(SchedulerArguments { lifetime: Some(lifetime), .. }) = &launch.role {
        environment.insert("CREWCALL_LIFETIME".to_owned(), lifetime.to_string());
    }
    let (name, value) = match &launch.role {
        DaskRole::Worker(arguments) => ("CREWCALL_DRAIN_GRACE", arguments.drain_grace.to_string()),
        DaskRole::Scheduler(_) if surface.transport == Transport::Tls => {
            ("CREWCALL_DASHBOARD_TLS", surface.dashboard.clone())
        }
        DaskRole::Scheduler(_) => ("CREWCALL_DASHBOARD_TLS", String::new()),
    };
    environment.insert(name.to_owned(), value);
    DaskCommand {
        argv: [surface.python.clone()].into_iter().chain(arguments).collect(),
        environment,
        secret_environment: launch.secret_environment.clone(),
    }
}

fn module(name: &str) -> Vec<String> {
    vec!["-m".to_owned(), format!("distributed.cli.{name}")]
}

fn scheduler(arguments: &SchedulerArguments, surface: &Surface) -> Vec<String> {
    let mut argv = module("dask_scheduler");
    let dashboard = match surface.transport {
        Transport::Tls => OWN_DASHBOARD,
        Transport::Plain => &surface.dashboard,
    };
    argv.extend(
        [
            "--host",
            "0.0.0.0",
            "--port",
            &surface.port.to_string(),
            "--protocol",
            surface.transport.scheme(),
            "--dashboard-address",
            dashboard,
        ]
        .map(str::to_owned),
    );
    if let Some(timeout) = arguments.idle_timeout {
        argv.extend(["--idle-timeout".to_owned(), seconds(timeout)]);
    }
    argv.extend(preloads("--preload", std::iter::once(&surface.preload).chain(&arguments.preload)));
    argv
}

fn worker(arguments: &WorkerArguments, surface: &Surface) -> Vec<String> {
    let mut argv = module("dask_worker");
    let memory = arguments.memory_limit.map_or_else(|| "auto".to_owned(), |bytes| bytes.to_string());
    argv.extend(
        [
            &arguments.scheduler,
            "--name",
            &arguments.name,
            "--nthreads",
            &arguments.threads.to_string(),
            "--memory-limit",
            &memory,
            "--death-timeout",
            &seconds(arguments.death_timeout),
            "--protocol",
            surface.transport.scheme(),
            "--no-dashboard",
        ]
        .map(str::to_owned),
    );
    if !arguments.resources.is_empty() {
        let each = arguments.resources.iter().map(|(name, amount)| format!("{name}={amount}"));
        argv.extend(["--resources".to_owned(), each.collect::<Vec<_>>().join(" ")]);
    }
    match arguments.nanny {
        Nanny::Posed => {
            argv.push("--no-nanny".to_owned());
            argv.extend(preloads("--preload", std::iter::once(&surface.preload)));
        }
        Nanny::Own => {
            argv.push("--nanny".to_owned());
            argv.extend(preloads("--preload-nanny", std::iter::once(&surface.preload)));
        }
    }
    argv.extend(preloads("--preload", arguments.preload.iter()));
    argv
}

fn preloads<'a>(option: &str, files: impl Iterator<Item = &'a String>) -> Vec<String> {
    files.flat_map(|file| [option.to_owned(), file.clone()]).collect()
}

/// A duration as Dask reads it.
fn seconds(seconds: f64) -> String {
    format!("{} s", Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).as_secs_f64())
}

/// What a nanny would set in its worker's environment, by the document's configuration.
fn nanny_environment(config: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> =
        NANNY_ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let nested = nested(config);
    for section in ["pre-spawn-environ", "environ"] {
        let found = nested.get("distributed").and_then(|all| all.get("nanny")?.get(section)?.as_object());
        for (name, value) in found.into_iter().flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            environment.insert(name.clone(), text);
        }
    }
    environment
}

/// The text of the configuration file of all nodes: JSON, which is YAML. What the document says goes over
/// Dask's own files; what encrypts goes over what the document says.
pub fn configuration(config: &BTreeMap<String, Value>, tls: Option<&TlsPaths>) -> String {
    let mut all = json!({ "temporary-directory": "/tmp" });
    merge(&mut all, nested(config));
    if let Some(paths) = tls {
        let leaf = json!({ "cert": paths.cert, "key": paths.key });
        merge(
            &mut all,
            json!({ "distributed": { "comm": {
                "require-encryption": true,
                "default-scheme": "tls",
                "tls": { "ca-file": paths.ca, "scheduler": leaf, "worker": leaf, "client": leaf },
            } } }),
        );
    }
    format!("{all:#}\n")
}

/// Dotted keys as maps within maps, which is how files have them.
fn nested(config: &BTreeMap<String, Value>) -> Value {
    let mut all = Value::Object(Map::new());
    for (key, value) in config {
        let whole = key.rsplit('.').fold(value.clone(), |inner, part| json!({ part: inner }));
        merge(&mut all, whole);
    }
    all
}

/// Puts `over` on top of `base`: maps are merged, all else replaced.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(known) => merge(known, value),
                    None => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (base, over) => *base = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::dask::launch,
        model::{Incarnation, NodeId, Slot},
        spec::{ComputeCluster, GroupName, load},
    };

    fn surface() -> Surface {
        Surface {
            python: "python".to_owned(),
            preload: "/etc/crewcall/crewcall_preload.py".to_owned(),
            configuration: "/etc/crewcall/dask.yaml".to_owned(),
            port: 8786,
            dashboard: "0.0.0.0:8787".to_owned(),
            transport: Transport::Tls,
        }
    }

    fn cluster(rest: &str) -> ComputeCluster {
        let text = format!(
            "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: demo}}\n\
             spec:\n  provider: {{kubernetes: {{}}}}\n{rest}"
        );
        load("test", &text).unwrap().cluster
    }

    fn started_worker(rest: &str) -> DaskCommand {
        let cluster = cluster(rest);
        let id = NodeId {
            cluster: cluster.metadata.name.clone(),
            group: GroupName::workers(),
            slot: Slot(0),
            incarnation: Incarnation(2),
            instance: None,
        };
        let launch = launch::worker(&cluster, &id, &GroupName::workers(), "tls://demo-scheduler.ns.svc:8786");
        command(&launch, &surface())
    }

    #[test]
    fn a_scheduler_listens_on_its_port_and_ends_by_its_belt() {
        let started = command(&launch::scheduler(&cluster("  idleTimeout: 10m\n")), &surface());
        insta::assert_snapshot!(started.argv.join(" "), @"python -m distributed.cli.dask_scheduler --host 0.0.0.0 --port 8786 --protocol tls --dashboard-address 127.0.0.1:0 --idle-timeout 750 s --preload /etc/crewcall/crewcall_preload.py");
        assert_eq!(started.environment["DASK_CONFIG"], "/etc/crewcall/dask.yaml");
        assert_eq!(started.environment["CREWCALL_DASHBOARD_TLS"], "0.0.0.0:8787");
        let never = command(&launch::scheduler(&cluster("  idleTimeout: never\n")), &surface());
        assert!(!never.argv.iter().any(|argument| argument == "--idle-timeout"));
    }

    #[test]
    fn a_worker_is_told_all_that_the_document_says_of_it() {
        let started = started_worker(
            "  workers: {threads: 2, memory: 2GiB, resources: {GPU: 1, MEM: 2.5}, env: {OMP_NUM_THREADS: '4'}}\n  \
             engine: {dask: {workerPreload: [mine, /x/y.py]}}\n  drainGrace: 10s\n",
        );
        insta::assert_snapshot!(started.argv.join(" "), @"python -m distributed.cli.dask_worker tls://demo-scheduler.ns.svc:8786 --name demo-workers-0-2 --nthreads 2 --memory-limit 2147483648 --death-timeout 60 s --protocol tls --no-dashboard --resources GPU=1 MEM=2.5 --no-nanny --preload /etc/crewcall/crewcall_preload.py --preload mine --preload /x/y.py");
        assert_eq!(started.environment["CREWCALL_DRAIN_GRACE"], "10");
        assert_eq!(started.environment["OMP_NUM_THREADS"], "4", "the document goes over the defaults");
        assert_eq!(started.environment["MALLOC_TRIM_THRESHOLD_"], "65536");
    }

    #[test]
    fn a_nanny_has_the_preload_and_its_worker_those_of_the_document() {
        let started = started_worker("  workers: {nanny: true}\n  engine: {dask: {workerPreload: [mine]}}\n");
        insta::assert_snapshot!(started.argv.join(" "), @"python -m distributed.cli.dask_worker tls://demo-scheduler.ns.svc:8786 --name demo-workers-0-2 --nthreads 1 --memory-limit auto --death-timeout 60 s --protocol tls --no-dashboard --nanny --preload-nanny /etc/crewcall/crewcall_preload.py --preload mine");
    }

    #[test]
    fn the_environment_that_the_configuration_asks_of_nannies_is_set_without_one() {
        let started = started_worker(
            "  engine: {dask: {config: {distributed.nanny.environ: {MY: 3}, \
             distributed: {nanny: {pre-spawn-environ: {OMP_NUM_THREADS: '2'}}}}}}\n",
        );
        assert_eq!(started.environment["MY"], "3");
        assert_eq!(started.environment["OMP_NUM_THREADS"], "2");
    }

    #[test]
    fn the_document_configures_dask_but_cannot_turn_encryption_off() {
        let cluster = cluster(
            "  engine: {dask: {config: {distributed.scheduler.work-stealing: true, temporary-directory: /data, \
             distributed: {comm: {require-encryption: false, timeouts: {connect: 5s}}}}}}\n",
        );
        let crate::spec::EngineSpec::Dask(dask) = &cluster.spec.engine;
        let paths =
            TlsPaths { ca: "/tls/ca.crt".into(), cert: "/tls/tls.crt".into(), key: "/tls/tls.key".into() };
        insta::assert_snapshot!(configuration(&dask.config, Some(&paths)));
        let plain = configuration(&dask.config, None);
        assert!(plain.contains("\"require-encryption\": false") && !plain.contains("tls"));
    }
}
