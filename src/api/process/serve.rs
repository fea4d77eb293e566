//! The life of a controller that has the lock.

use std::{os::unix::net::UnixListener, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Activity, ControllerError, ControllerOptions, listen::Accepting, providers, providers::Means};
use crate::{
    api::{
        ControllerStatus, PROTOCOL,
        routes::{Service, router},
    },
    controller::{
        Clock, Fleet, FleetTools, Installation, Sweep, SystemClock,
        process::{BoundSocket, ProcessIdentity, bind},
    },
    engine::dask::DaskEngine,
    model::ClusterUid,
    store::{ControllerInfo, ControllerLock, DirectoryStore},
};

/// How long a new controller looks at the clusters before it answers.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// How long requests under way may take when the controller ends.
const FINISH_BOUND: Duration = Duration::from_secs(3);

/// How often it is checked that the lock still keeps others out.
const LOCK_CHECK: Duration = Duration::from_secs(5);

/// A controller that serves.
pub(super) struct Serving {
    lock: ControllerLock,
    info: ControllerInfo,
    runtime: PathBuf,
    fleet: Arc<Fleet>,
    activity: Arc<Activity>,
    router: Router,
    accepting: Accepting,
    socket: BoundSocket,
    signals: Signals,
}

struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Whoever reads the published process id may send a signal at once: they come first.
    fn new() -> Result<Self, ControllerError> {
        let on = |kind| signal(kind).map_err(ControllerError::system("listen to signals"));
        Ok(Self {
            hang_up: on(SignalKind::hangup())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }
}

impl Serving {
    /// Takes over what is in the store, and answers from then on.
    pub(super) async fn begin(
        options: &ControllerOptions,
        lock: ControllerLock,
        installation: Installation,
    ) -> Result<Self, ControllerError> {
        let signals = Signals::new()?;
        let locations = &options.locations;
        let runtime = locations.make_runtime()?;
        let path = locations.socket(&runtime);
        let identity = ProcessIdentity::of_this_process();
        let info = ControllerInfo {
            pid: identity.pid,
            start_time: identity.start_time,
            boot: installation.boot.clone(),
            version: options.version.clone(),
            socket: path.clone(),
        };
        let fleet = open_fleet(options, runtime.clone(), installation).await?;
        fleet.first_look(FIRST_LOOK).await;
        let activity = Activity::new();
        let service = Service::new(fleet.clone(), activity.clone(), status(options, &runtime, &path));
        let router = router(service);
        let (listener, socket) = bind(&path)?;
        let accepting = accept(listener, &router, &activity)?;
        lock.publish(&info)?;
        tracing::info!(
            version = info.version,
            pid = info.pid,
            clusters = fleet.size(),
            "listening at {}",
            path.display()
        );
        Ok(Self { lock, info, runtime, fleet, activity, router, accepting, socket, signals })
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.socket.path().to_owned()
    }

    /// Serves until there is a reason to end, and gives the lock back.
    pub(super) async fn run(mut self, options: &ControllerOptions) -> ControllerLock {
        let sweeping = tokio::spawn(sweep(self.fleet.clone()));
        let mut check = tokio::time::interval(LOCK_CHECK);
        let (activity, fleet) = (self.activity.clone(), self.fleet.clone());
        let mut idle = pin!(activity.idle_for(options.linger, &fleet));
        let reason = loop {
            tokio::select! {
                // Being idle is a way of stopping, and the reason to be told.
                biased;
                _ = self.signals.hang_up.recv() => {
                    if let Some(reason) = self.listen_anew(options) {
                        break reason;
                    }
                }
                _ = self.signals.terminate.recv() => break "it was told to (SIGTERM)",
                _ = self.signals.interrupt.recv() => break "it was told to (SIGINT)",
                () = &mut idle => break "there is nothing to do",
                () = activity.stopping() => break "a client asked for it",
                _ = check.tick() => {
                    if !self.lock.is_effective() {
                        break "its lock was deleted, and another controller may run";
                    }
                }
            }
        };
        tracing::info!(clusters = self.fleet.size(), "ending: {reason}");
        sweeping.abort();
        self.activity.stop();
        self.accepting.finish(FINISH_BOUND).await;
        self.lock
    }

    /// Makes the socket again; the reason to end where that cannot be done.
    fn listen_anew(&mut self, options: &ControllerOptions) -> Option<&'static str> {
        match self.reopen(options) {
            Ok(Reopened::Here) => None,
            // Providers have sockets there as well: a new controller starts afresh, clusters live on.
            Ok(Reopened::Elsewhere) => Some("its runtime directory is gone; the next one has another"),
            Err(error) => {
                tracing::error!("cannot make the socket anew: {error}");
                None
            }
        }
    }

    fn reopen(&mut self, options: &ControllerOptions) -> Result<Reopened, ControllerError> {
        let runtime = options.locations.make_runtime()?;
        if runtime != self.runtime {
            return Ok(Reopened::Elsewhere);
        }
        let (listener, socket) = bind(&self.info.socket)?;
        self.accepting = accept(listener, &self.router, &self.activity)?;
        self.socket = socket;
        self.lock.publish(&self.info)?;
        tracing::info!("listening anew at {}", self.info.socket.display());
        Ok(Reopened::Here)
    }
}

enum Reopened {
    Here,
    Elsewhere,
}

fn accept(
    listener: UnixListener,
    router: &Router,
    activity: &Arc<Activity>,
) -> Result<Accepting, ControllerError> {
    Accepting::new(listener, router.clone(), activity.clone())
}

fn status(
    options: &ControllerOptions,
    runtime: &std::path::Path,
    socket: &std::path::Path,
) -> ControllerStatus {
    ControllerStatus {
        version: options.version.clone(),
        protocol: PROTOCOL,
        pid: std::process::id(),
        started_at: SystemClock.now(),
        clusters: 0,
        changes: 0,
        state_directory: options.locations.state().to_owned(),
        runtime_directory: runtime.to_owned(),
        socket: socket.to_owned(),
    }
}

async fn open_fleet(
    options: &ControllerOptions,
    runtime: PathBuf,
    installation: Installation,
) -> Result<Arc<Fleet>, ControllerError> {
    let directories = options.locations.directories(runtime);
    let (state, of_machine) = (directories.state.clone(), installation.machine.clone());
    let store = tokio::task::spawn_blocking(move || DirectoryStore::new(state, of_machine)).await;
    let store =
        store.map_err(|error| ControllerError::system("open the state directory")(error.into()))??;
    let store = Arc::new(store);
    let means = Means {
        directories,
        program: options.host_program.clone(),
        installation: installation.clone(),
        #[cfg(any(feature = "kubernetes", feature = "ec2"))]
        store: store.clone(),
    };
    let tools = FleetTools {
        providers: providers::available(means),
        engine: Arc::new(DaskEngine::default()),
        store,
        clock: Arc::new(SystemClock),
        uids: Box::new(|| {
            let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
            // Each half has bits that say what kind of UUID it is; not in the same places.
            ClusterUid::from_random(high ^ low)
        }),
        installation,
    };
    Ok(Fleet::open(tools).await?)
}

/// Removes what an earlier controller left behind.
async fn sweep(fleet: Arc<Fleet>) {
    match fleet.gc(Sweep::RemoveDead).await {
        Ok(leftovers) => {
            for leftover in leftovers {
                tracing::info!(fate = ?leftover.fate, "left behind: {}", leftover.description);
            }
        }
        Err(error) => tracing::warn!("cannot look for what was left behind: {error}"),
    }
}
