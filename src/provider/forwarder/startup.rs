//! How a forwarder comes up: its lock, its ports, its record, its log.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    files::{self, Files},
    listen::Listeners,
    ports::{self, Ports},
    process::{ForwarderArguments, ForwarderError},
    record::{ForwarderRecord, PROTOCOL},
    request::ForwardRequest,
};
use crate::{
    model::{BootId, CallerEnvironment, MachineId},
    provider::os::{self, ProcessId},
};

/// What a forwarder is told on its standard input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwarderStart {
    /// What to do.
    pub request: ForwardRequest,
    /// The machine, as the controller knows it.
    pub machine: MachineId,
    /// The boot of that machine.
    pub boot: BootId,
    /// What the kubeconfig's credential programs need of a caller.
    #[serde(default)]
    pub lent: CallerEnvironment,
}

/// The first and only line of a forwarder's standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ForwarderStarted {
    /// It listens there.
    Listening(Ports),
    /// There is one for this cluster already; this one has ended.
    RunsAlready,
    /// It could not be started.
    Failed(String),
}

/// What a forwarder has once it is up.
pub struct Started {
    /// Its files.
    pub files: Files,
    /// What it is for.
    pub request: ForwardRequest,
    /// What the kubeconfig's credential programs need of a caller.
    pub lent: CallerEnvironment,
    /// Where it listens.
    pub ports: Ports,
    /// The sockets themselves.
    pub listeners: Listeners,
    /// Held for the forwarder's life.
    pub lock: File,
}

/// Takes the process out of its caller's session, and makes all that a forwarder needs; `None`: there is one already.
pub fn start(arguments: &ForwarderArguments) -> Result<Option<Started>, ForwarderError> {
    let told = read_start()?;
    // Fails only when this is a session's leader already.
    let _already = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    std::env::set_current_dir("/").map_err(|error| ForwarderError::io("enter", Path::new("/"), &error))?;

    let files = files::of_cluster(&arguments.state, &told.request.cluster.uid);
    os::private_directory(&files.directory)
        .map_err(|error| ForwarderError::io("make the directory", &files.directory, &error))?;
    let lock = os::try_lock(&files.lock).map_err(|error| ForwarderError::io("lock", &files.lock, &error))?;
    let Some(lock) = lock else { return Ok(None) };
    let before = ForwarderRecord::read(&files).ok().flatten();
    let candidates = ports::candidates(&told.request.cluster.uid, before.map(|record| record.ports));
    let listeners = Listeners::open(candidates).map_err(ForwarderError::Listen)?;
    let ports = listeners.ports().map_err(ForwarderError::Listen)?;
    let record = ForwarderRecord {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        process: ProcessId::own()
            .map_err(|error| ForwarderError::io("read", Path::new("/proc/self/stat"), &error))?,
        boot: told.boot,
        machine: told.machine,
        ports,
        cluster: told.request.cluster.clone(),
        server: told.request.server().to_owned(),
        scheduler: told.request.scheduler(),
    };
    record.write(&files).map_err(|error| ForwarderError::io("write", &files.record, &error))?;
    let ForwarderStart { request, lent, .. } = told;
    Ok(Some(Started { files, request, lent, ports, listeners, lock }))
}

fn read_start() -> Result<ForwarderStart, ForwarderError> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(ForwarderError::NotTold)?;
    serde_json::from_str(&line).map_err(|error| ForwarderError::NotTold(error.into()))
}

/// Lets go of the caller's standard input, output and error. What the runtime of Rust itself prints goes to the log.
pub fn detach(log: &Path) -> Result<(), ForwarderError> {
    let failed = |error: &io::Error| ForwarderError::io("write", log, error);
    io::stdout().flush().map_err(|error| failed(&error))?;
    let file =
        OpenOptions::new().create(true).append(true).mode(0o600).open(log).map_err(|error| failed(&error))?;
    let null = File::open("/dev/null")
        .map_err(|error| ForwarderError::io("open", Path::new("/dev/null"), &error))?;
    rustix::stdio::dup2_stdin(&null)
        .and_then(|()| rustix::stdio::dup2_stdout(&file))
        .and_then(|()| rustix::stdio::dup2_stderr(&file))
        .map_err(|error| failed(&error.into()))
}
