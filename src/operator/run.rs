//! An operator, from the first line of its process to the last.

use std::{
    net::{Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::Timestamp;
use kube::Client;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
};

use super::{
    OperatorArguments, OperatorError,
    clusters::Clusters,
    following::follow,
    lease::{Held, Lease},
    metrics::Metrics,
    options::Options,
    serve::{Facts, serve},
};
use crate::{
    controller::{Clock as _, SystemClock},
    provider::kubernetes::connect,
    store::kubernetes::{KubernetesStore, ObjectReader},
    telemetry::{self, Detail, LoggingError},
};

/// How long telling the last events may take when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long what is left in the background may take then.
const SHUTDOWN_BOUND: Duration = Duration::from_secs(2);

fn now() -> Timestamp {
    SystemClock.now()
}

/// Runs this process as an operator until it is told to end, or loses its lease.
pub fn run_operator(arguments: &OperatorArguments, context: Option<String>) -> Result<(), OperatorError> {
    match telemetry::to_stderr_as(arguments.log_format, Detail::Steps) {
        Ok(()) | Err(LoggingError::Again) => {}
        Err(error) => return Err(error.into()),
    }
    let options = Options::new(arguments, context)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(OperatorError::system("start threads"))?;
    let ended = runtime.block_on(operate(options));
    runtime.shutdown_timeout(SHUTDOWN_BOUND);
    ended
}

/// The signals that end it.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, OperatorError> {
        let listen = |kind| signal(kind).map_err(OperatorError::system("listen to signals"));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn operate(options: Options) -> Result<(), OperatorError> {
    let mut signals = Signals::new()?;
    let metrics = Arc::new(Metrics::new());
    let counted = metrics.clone();
    let client =
        connect(&options.context, Arc::new(move |method, code| counted.called(method, code))).await?;
    let facts = Arc::new(Facts { health: Arc::default(), metrics, clusters: OnceLock::new() });
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, options.port));
    let listener = listen(address).await?;
    tokio::spawn(serve(listener, facts.clone()));
    tracing::info!(
        "{} {} looks after clusters of {}",
        options.identity,
        env!("CARGO_PKG_VERSION"),
        options.context.server
    );
    let lease = Lease::new(
        client.clone(),
        &options.lease_namespace,
        options.lease.clone(),
        options.identity.clone(),
        now,
    );
    let health = facts.health.clone();
    let mut held = tokio::select! {
        held = lease.acquire(|looked| health.lease(looked)) => held,
        () = signals.any() => return Ok(()),
    };
    tracing::info!("{} leads (term {})", options.identity, held.term);
    let leading = Leading::begin(&options, &client, &facts, &held);
    let lost = tokio::select! {
        lost = held.keep() => Some(lost),
        () = leading.work() => None,
        () = signals.any() => None,
    };
    facts.health.lease(Ok(""));
    let store = leading.end();
    if let Some((seconds, cause)) = lost {
        let lease = format!("{}/{}", options.lease_namespace, options.lease);
        return Err(OperatorError::LeaseLost { lease, seconds, cause });
    }
    held.release().await;
    store.drain_events(LAST_WORDS).await;
    tracing::info!("{} has ended", options.identity);
    Ok(())
}

/// On all addresses, of both families where there are two.
async fn listen(address: SocketAddr) -> Result<TcpListener, OperatorError> {
    let failed = |cause: std::io::Error| OperatorError::Port { address, cause: cause.to_string() };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(failed(error)),
        Err(_) => {
            let only = SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, address.port()));
            TcpListener::bind(only).await.map_err(failed)
        }
    }
}

/// What a leader does.
struct Leading {
    clusters: Arc<Clusters>,
    store: KubernetesStore,
    ended: tokio::sync::Mutex<mpsc::UnboundedReceiver<super::clusters::Place>>,
    watches: JoinSet<()>,
    /// Logs of pods that have ended, for as long as it leads.
    _state: Option<tempfile::TempDir>,
}

impl Leading {
    fn begin(options: &Options, client: &Client, facts: &Facts, held: &Held) -> Self {
        let reader =
            ObjectReader { context: options.context.clone(), default_image: options.default_image.clone() };
        let writer = format!("{}/{}", options.identity, held.term);
        let store = KubernetesStore::new(client.clone(), reader, writer, options.identity.clone());
        let (ended_in, ended) = mpsc::unbounded_channel();
        let state = tempfile::Builder::new().prefix("crewcall-operator-").tempdir();
        let state =
            state.inspect_err(|error| tracing::warn!("logs of ended pods are not kept: {error}")).ok();
        let below = state.as_ref().map_or_else(std::env::temp_dir, |state| state.path().to_owned());
        let clusters = Arc::new(Clusters::new(
            client.clone(),
            options.context.clone(),
            store.clone(),
            facts.metrics.clone(),
            below,
            ended_in,
        ));
        let _ = facts.clusters.set(clusters.clone());
        let namespaces: Vec<_> = match options.namespaces.as_slice() {
            [] => vec![None],
            named => named.iter().cloned().map(Some).collect(),
        };
        let names = namespaces.iter().map(|namespace| {
            namespace.as_ref().map_or_else(|| "all namespaces".to_owned(), ToString::to_string)
        });
        facts.health.leads(names);
        let mut watches = JoinSet::new();
        for namespace in namespaces {
            watches.spawn(follow(client.clone(), namespace, clusters.clone(), facts.health.clone()));
        }
        Self { clusters, store, ended: tokio::sync::Mutex::new(ended), watches, _state: state }
    }

    /// Makes room for successors of clusters that have ended. Never returns.
    async fn work(&self) {
        let mut ended = self.ended.lock().await;
        while let Some(place) = ended.recv().await {
            self.clusters.note_ended(&place);
        }
        std::future::pending::<()>().await;
    }

    /// Stops at once: what was begun is in the ledgers, for whoever leads next.
    fn end(mut self) -> KubernetesStore {
        self.watches.abort_all();
        self.clusters.stop();
        self.store
    }
}
