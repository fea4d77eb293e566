//! A controller, from the first line of its process to the last.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use super::{ControllerError, announcement::Announcement, serve::Serving};
use crate::{
    controller::{
        Installation,
        process::{LOG_LIMIT, Locations, open_log},
    },
    provider,
    store::ControllerLock,
    telemetry::{self, Detail, LoggingError},
};

/// For how long a controller without clusters waits for requests.
const LINGER: Duration = Duration::from_secs(10);
/// Another linger, in seconds.
const LINGER_VARIABLE: &str = "CREWCALL_CONTROLLER_LINGER";

/// How long work in the background may take when the process ends.
const SHUTDOWN_BOUND: Duration = Duration::from_secs(2);

/// How a controller runs.
#[derive(Debug, Clone)]
pub(super) struct ControllerOptions {
    /// Its directories.
    pub locations: Locations,
    /// The version it says it has.
    pub version: String,
    /// For how long it waits for requests while there is no cluster.
    pub linger: Duration,
    /// The program that it runs as a host.
    pub host_program: PathBuf,
}

/// The arguments of the hidden subcommand.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ControllerArguments {
    /// Says that it is of another version; for tests of what happens then.
    #[arg(long, hide = true)]
    pub as_version: Option<String>,
}

impl ControllerOptions {
    /// From the environment variables of this process.
    fn new(arguments: &ControllerArguments) -> Result<Self, ControllerError> {
        let linger = std::env::var(LINGER_VARIABLE).ok();
        let linger = linger.and_then(|text| Duration::try_from_secs_f64(text.parse().ok()?).ok());
        Ok(Self {
            locations: Locations::of_this_process()?,
            version: arguments.as_version.clone().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            linger: linger.unwrap_or(LINGER),
            host_program: std::env::current_exe()
                .map_err(ControllerError::system("find this program's own file"))?,
        })
    }
}

/// Runs this process as the controller until it has nothing left to look after, or is told to end.
///
/// Prints one line to standard output once it is known how that went, for the program that started
/// it; from then on everything goes to the log. When another process is the controller already,
/// that is what it says, and it has succeeded.
pub fn run_controller(arguments: &ControllerArguments) -> Result<(), ControllerError> {
    #[cfg(all(feature = "local", target_os = "linux"))]
    provider::local::close_inherited()
        .map_err(ControllerError::system("close the files of whoever started it"))?;
    // Fails in a process that leads its group: then a shell started it, and cares for it.
    let _ = rustix::process::setsid();
    ControllerOptions::new(arguments).and_then(|options| run(&options)).inspect_err(|error| {
        tracing::error!("{error}");
        announce(&Announcement::Failed { message: error.to_string(), hint: error.hint() });
    })
}

fn run(options: &ControllerOptions) -> Result<(), ControllerError> {
    let boot = provider::boot_id().map_err(ControllerError::system("tell this boot from others"))?;
    let installation = Installation { machine: provider::machine_id(), boot };
    let state = options.locations.state();
    let Some(lock) = ControllerLock::try_acquire(state, &installation.machine)? else {
        announce(&Announcement::Taken);
        return Ok(());
    };
    log_to_file(&options.locations)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(ControllerError::system("start threads"))?;
    let lock = runtime.block_on(async {
        let serving = Serving::begin(options, lock, installation).await?;
        announce(&Announcement::Ready { socket: serving.socket() });
        detach_output();
        Ok::<_, ControllerError>(serving.run(options).await)
    })?;
    // The next controller may begin only when no loop of this one runs any more.
    runtime.shutdown_timeout(SHUTDOWN_BOUND);
    drop(lock);
    Ok(())
}

/// Standard error becomes the log, so that a panic is found there too.
fn log_to_file(locations: &Locations) -> Result<(), ControllerError> {
    let log = open_log(&locations.log(), LOG_LIMIT)?;
    rustix::stdio::dup2_stderr(&log)
        .map_err(|error| ControllerError::system("write to the log")(error.into()))?;
    match telemetry::to_stderr(Detail::Steps) {
        // The command line may have been told to log, too.
        Ok(()) | Err(LoggingError::Again) => Ok(()),
        Err(error @ LoggingError::Filter { .. }) => {
            Err(ControllerError::System { doing: "choose what to log", cause: error.to_string() })
        }
    }
}

fn announce(announcement: &Announcement) {
    let mut stdout = io::stdout();
    // Whoever started it may be gone; that changes nothing.
    let _ = stdout.write_all(announcement.to_line().as_bytes()).and_then(|()| stdout.flush());
}

/// Lets go of what standard output was: a pipe to a program that has read what it wanted to know.
fn detach_output() {
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}
