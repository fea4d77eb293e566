//! The host process: its arguments, its errors, its loop.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    net::UnixListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

use super::{
    super::paths::HostId,
    connections::Connections,
    protocol::{HostFailure, HostStarted},
    service::{Channels, Next, Service},
    startup::{self, Started},
};
use crate::provider::ErrorKind;

/// Arguments of a host.
#[derive(Debug, Clone, clap::Args)]
pub struct HostArguments {
    /// The directory of durable state.
    #[arg(long)]
    pub state: PathBuf,
    /// The directory of sockets.
    #[arg(long)]
    pub runtime: PathBuf,
    /// The host's id.
    #[arg(long)]
    pub id: HostId,
    /// What its nodes run with.
    #[arg(long)]
    pub interpreter: PathBuf,
    /// The fork server's script.
    #[arg(long)]
    pub fork_server: PathBuf,
}

impl HostArguments {
    /// As they are given to a process.
    pub fn to_arguments(&self) -> Vec<std::ffi::OsString> {
        vec![
            "--state".into(),
            self.state.clone().into(),
            "--runtime".into(),
            self.runtime.clone().into(),
            "--id".into(),
            self.id.to_string().into(),
            "--interpreter".into(),
            self.interpreter.clone().into(),
            "--fork-server".into(),
            self.fork_server.clone().into(),
        ]
    }
}

/// Why a host did not come up, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Nobody said what to start.
    #[error("the host was not told on its standard input what to start: {0}")]
    NotTold(io::Error),
    /// There is one already.
    #[error("host {0} runs already")]
    Running(HostId),
    /// The runtime directory is too deep.
    #[error(
        "the socket's path {} has {length} bytes; the system allows {}: set XDG_RUNTIME_DIR to a shorter directory",
        path.display(), super::super::paths::LONGEST_SOCKET_PATH
    )]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// Its bytes.
        length: usize,
    },
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

impl HostError {
    /// What the operating system refused.
    pub(super) fn io(doing: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), cause: error.to_string() }
    }
}

/// Is a host, until it is told to end, or nobody claims it. To be called on the main thread.
///
/// # Errors
/// When it does not come up; its starter was told on standard output.
pub fn run_host(arguments: &HostArguments) -> Result<(), HostError> {
    let closed = super::super::os::close_inherited()
        .map_err(|error| HostError::io("close what is open in", Path::new("/proc/self/fd"), &error));
    let started = closed.and_then(|()| startup::start(arguments)).and_then(|started| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| HostError::io("start the runtime of", Path::new("the host"), &error))?;
        Ok((started, runtime))
    });
    let (started, runtime) = match started {
        Ok(started) => started,
        Err(error) => {
            announce(&HostStarted::Failed(HostFailure::new(ErrorKind::Transient, error.to_string())));
            return Err(error);
        }
    };
    announce(&HostStarted::Listening(started.own.record.socket.clone()));
    startup::detach(&started.own.paths.log)?;
    // Somebody else may have set one up; then that is used.
    let _set = tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).try_init();
    runtime.block_on(serve(started))
}

fn announce(started: &HostStarted) {
    let line = serde_json::to_string(started).unwrap_or_default();
    // A starter that is gone reads nothing; the host then ends as an unclaimed spare.
    let _gone = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
}

async fn serve(started: Started) -> Result<(), HostError> {
    let on =
        |kind| signal(kind).map_err(|error| HostError::io("catch signals in", Path::new("the host"), &error));
    let mut child = on(SignalKind::child())?;
    let mut hangup = on(SignalKind::hangup())?;
    let mut terminate = on(SignalKind::terminate())?;
    // Caught and ignored: a Ctrl-C is not meant for it.
    let _interrupt = on(SignalKind::interrupt())?;

    let socket = started.own.record.socket.clone();
    let mut listener = UnixListener::from_std(started.listener)
        .map_err(|error| HostError::io("listen on", &socket, &error))?;
    let (inputs, mut input) = mpsc::channel(64);
    let (events, mut event) = mpsc::channel(1024);
    let (wishes, mut wish) = mpsc::channel(64);
    let (condemned, mut verdict) = mpsc::channel(64);
    let connections = Connections::new(inputs);
    let channels = Channels { connections, events, wishes, condemned };
    let mut service = Service::new(started.own, started.fork_server, channels, Instant::now());
    service.start_fork_server();
    loop {
        let next = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => service.accept(stream),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Without file descriptors this would be a busy loop.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    Next::GoOn
                }
            },
            Some(input) = input.recv() => service.input(input),
            Some(event) = event.recv() => service.event(event),
            Some(wanted) = wish.recv() => service.wish(wanted),
            Some(condemned) = verdict.recv() => service.condemn(condemned),
            _ = child.recv() => service.reap(),
            _ = hangup.recv() => {
                match startup::listen(&socket).map(UnixListener::from_std) {
                    Ok(Ok(new)) => listener = new,
                    Ok(Err(error)) => tracing::error!(%error, "cannot listen anew"),
                    Err(error) => tracing::error!(%error, "cannot listen anew"),
                }
                Next::GoOn
            }
            _ = terminate.recv() => Next::End,
            () = until(service.next_wakeup()) => service.on_time(),
        };
        if next == Next::End {
            return end(service, child, &socket).await;
        }
        service.settle();
    }
}

async fn until(wakeup: Option<Instant>) {
    match wakeup {
        Some(wakeup) => tokio::time::sleep_until(wakeup).await,
        None => std::future::pending().await,
    }
}

/// How long the kernel may take to end what was killed.
const LONGEST_END: Duration = Duration::from_secs(10);

async fn end(mut service: Service, mut child: Signal, socket: &Path) -> Result<(), HostError> {
    service.close_connections().await;
    let deadline = Instant::now() + LONGEST_END;
    while !service.kill_all() && Instant::now() < deadline {
        // The children of what was killed become this process's, one generation after the other; not
        // every one of them is announced.
        let _looked = tokio::time::timeout(Duration::from_millis(50), child.recv()).await;
    }
    // Its absence is what the controller would otherwise wait for in vain.
    let _gone = super::super::os::remove_all(socket);
    service.clean_up()
}

/// The time, for the records of nodes that ended.
#[expect(clippy::disallowed_methods, reason = "the host has no controller that could hand it a clock")]
pub(super) fn wall_clock() -> Timestamp {
    Timestamp::now()
}
