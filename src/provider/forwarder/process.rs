//! The forwarder process: its arguments, its errors, its life.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tracing_subscriber::EnvFilter;

use super::{
    bounded_log::BoundedLog,
    gate::Gate,
    listen::{Hall, Listeners},
    startup::{self, ForwarderStarted, Started},
    status::Door,
    status_board::StatusBoard,
    way::Way,
};
use crate::provider::os;

/// Bytes of the log, and of the one before it.
const LOG_LIMIT: u64 = 1 << 20;

/// What is logged unless `CREWCALL_LOG` says otherwise.
const LOGGED: &str = "crewcall=info";

/// How often it looks whether its files are still its own.
const OWN_EVERY: Duration = Duration::from_secs(10);

/// Enough for the encryption of one large transfer beside everything else.
const THREADS: usize = 2;

/// Arguments of a forwarder.
#[derive(Debug, Clone, clap::Args)]
pub struct ForwarderArguments {
    /// The directory of durable state.
    #[arg(long)]
    pub state: PathBuf,
}

impl ForwarderArguments {
    /// As they are given to a process.
    pub fn to_arguments(&self) -> Vec<std::ffi::OsString> {
        vec!["--state".into(), self.state.clone().into()]
    }
}

/// Why a forwarder did not come up, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum ForwarderError {
    /// Nobody said what to forward.
    #[error("the forwarder was not told on its standard input what to forward: {0}")]
    NotTold(io::Error),
    /// It does not know how to get there.
    #[error("cannot forward: {0}")]
    NoWay(String),
    /// There are no ports.
    #[error("there is no free port on 127.0.0.1: {0}")]
    Listen(io::Error),
    /// The operating system refused something.
    #[error("cannot {doing} {}: {cause}", path.display())]
    Io {
        /// What was tried: `write`, `lock`, …
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system said.
        cause: String,
    },
}

impl ForwarderError {
    /// What the operating system refused.
    pub(super) fn io(doing: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), cause: error.to_string() }
    }
}

/// Is a forwarder, until SIGTERM or the end of its cluster. To be called on the main thread, before anything else.
///
/// # Errors
/// When it does not come up; its starter was told on standard output.
pub fn run_forwarder(arguments: &ForwarderArguments) -> Result<(), ForwarderError> {
    let closed = os::close_inherited()
        .map_err(|error| ForwarderError::io("close what is open in", Path::new("/proc/self/fd"), &error));
    let started = closed.and_then(|()| startup::start(arguments)).and_then(|started| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        let runtime = runtime.map_err(|error| {
            ForwarderError::io("start the runtime of", Path::new("the forwarder"), &error)
        })?;
        Ok(started.map(|started| (started, runtime)))
    });
    let (started, runtime) = match started {
        Ok(Some(started)) => started,
        Ok(None) => {
            announce(&ForwarderStarted::RunsAlready);
            return Ok(());
        }
        Err(error) => {
            announce(&ForwarderStarted::Failed(error.to_string()));
            return Err(error);
        }
    };
    announce(&ForwarderStarted::Listening(started.ports));
    startup::detach(&started.files.log)?;
    log_to(&started.files.log);
    let ended = runtime.block_on(serve(started));
    runtime.shutdown_background();
    ended
}

fn announce(started: &ForwarderStarted) {
    let line = serde_json::to_string(started).unwrap_or_default();
    // A starter that is gone finds the record.
    let _gone = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
}

fn log_to(path: &Path) {
    let log: &'static BoundedLog = Box::leak(Box::new(BoundedLog::new(path.to_owned(), LOG_LIMIT)));
    let wanted = std::env::var("CREWCALL_LOG").ok().filter(|text| !text.is_empty());
    let filter = wanted.and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(LOGGED));
    let lines = tracing_subscriber::fmt().with_ansi(false).with_env_filter(filter).with_writer(move || log);
    // Somebody else may have set one up; then that is used.
    let _set = lines.log_internal_errors(false).try_init();
}

async fn serve(started: Started) -> Result<(), ForwarderError> {
    let on = |kind| {
        signal(kind)
            .map_err(|error| ForwarderError::io("catch signals in", Path::new("the forwarder"), &error))
    };
    let mut terminate = on(SignalKind::terminate())?;
    // Caught and ignored: a Ctrl-C and the end of a terminal are not meant for it.
    let _interrupt = on(SignalKind::interrupt())?;
    let _hangup = on(SignalKind::hangup())?;

    let Started { files, request, lent, listeners, ports, .. } = &started;
    let request = Arc::new(request.clone());
    tracing::info!(
        cluster = %request.cluster.name, comm = ports.comm, dashboard = ports.dashboard,
        server = request.server(), "forwarding"
    );
    let board = StatusBoard::open(files.clone());
    let gate = Arc::new(Gate::new(request.cluster.uid.as_str()));
    let way =
        Way::new(&request, lent.clone(), &board, &gate, &files.directory).map_err(ForwarderError::NoWay)?;
    let hall = Hall { request, way: way.clone(), gate, board: Arc::clone(&board) };
    admit(&hall, listeners)?;
    tokio::spawn(async move { board.keep_written().await });
    tokio::select! {
        _ = terminate.recv() => {
            tracing::info!("told to end");
            way.close().await;
        }
        () = way.is_over() => {
            tracing::info!("no session can be started from here: another forwarder may have other credentials, and another path");
            way.close().await;
        }
        () = is_disowned(&started) => {
            tracing::info!("somebody has removed this forwarder's files: there may be another one");
            way.close().await;
        }
        () = way.is_gone() => {
            tracing::info!("the cluster is gone");
            way.close().await;
            // As long as the lock is held, nobody has begun to use it again.
            if has_its_files(&started) {
                os::remove_all(&files.directory)
                    .map_err(|error| ForwarderError::io("remove", &files.directory, &error))?;
            }
        }
    }
    Ok(())
}

/// Returns when its files are not there any more, or another forwarder's.
async fn is_disowned(started: &Started) {
    while has_its_files(started) {
        sleep(OWN_EVERY).await;
    }
}

fn has_its_files(started: &Started) -> bool {
    // What cannot be looked at now is not said to be gone.
    os::leads_to(&started.files.lock, &started.lock).unwrap_or(true)
}

fn admit(hall: &Hall, listeners: &Listeners) -> Result<(), ForwarderError> {
    for (door, listener) in [(Door::Comm, &listeners.comm), (Door::Dashboard, &listeners.dashboard)] {
        let own = listener.try_clone().and_then(TcpListener::from_std).map_err(ForwarderError::Listen)?;
        tokio::spawn(hall.clone().admit(door, own));
    }
    Ok(())
}
