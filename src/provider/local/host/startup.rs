//! How a host comes up: its lock, its record, its socket, its log.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufRead, Write},
    os::unix::{
        fs::{OpenOptionsExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    super::{
        os::{self, ProcessId},
        paths::{self, HostPaths, LONGEST_SOCKET_PATH},
        record::HostRecord,
        variables,
    },
    fork_server::ForkServerPlan,
    protocol::{HostStart, PROTOCOL},
    run::{HostArguments, HostError},
};

/// What a host has once it is up.
pub struct Started {
    /// What it keeps for life.
    pub own: Own,
    /// Where it listens.
    pub listener: UnixListener,
    /// How to start its fork server.
    pub fork_server: ForkServerPlan,
}

/// What a host keeps for life.
pub struct Own {
    /// The directory of durable state.
    pub state: PathBuf,
    /// Its files.
    pub paths: HostPaths,
    /// What it has written down.
    pub record: HostRecord,
    /// How long it lives without a controller while it is a spare.
    pub spare_life: Duration,
    /// Held, never looked at.
    _lock: File,
}

/// Takes the process out of its caller's session, and makes all that a host needs.
pub fn start(arguments: &HostArguments) -> Result<Started, HostError> {
    let told = read_start()?;
    // Fails only when this is a session's leader already.
    let _already = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(|error| {
        HostError::io("adopt what its children leave behind", Path::new("/proc"), &error.into())
    })?;
    std::env::set_current_dir("/").map_err(|error| HostError::io("enter", Path::new("/"), &error))?;

    let paths = paths::host(&arguments.state, &arguments.id);
    os::private_directory(&paths.directory)
        .map_err(|error| HostError::io("make the directory", &paths.directory, &error))?;
    let lock = os::try_lock(&paths.lock)
        .map_err(|error| HostError::io("lock", &paths.lock, &error))?
        .ok_or_else(|| HostError::Running(arguments.id.clone()))?;
    let mut environment = told.environment;
    let start_environment = variables::fingerprint(&environment);
    environment.extend(variables::marks(&arguments.id, &arguments.state.to_string_lossy()));
    let record = HostRecord {
        protocol: PROTOCOL,
        id: arguments.id.clone(),
        process: ProcessId::own()
            .map_err(|error| HostError::io("read", Path::new("/proc/self/stat"), &error))?,
        boot: told.boot,
        machine: told.machine,
        socket: paths::socket(&arguments.runtime, &arguments.id),
        interpreter: arguments.interpreter.clone(),
        start_environment,
        claimed_by: None,
        scratch: BTreeSet::new(),
    };
    record.write(&paths).map_err(|error| HostError::io("write", &paths.record, &error))?;
    let listener = listen(&record.socket)?;
    Ok(Started {
        own: Own { state: arguments.state.clone(), paths, record, spare_life: told.spare_life, _lock: lock },
        listener,
        fork_server: ForkServerPlan {
            interpreter: arguments.interpreter.clone(),
            script: arguments.fork_server.clone(),
            environment,
        },
    })
}

fn read_start() -> Result<HostStart, HostError> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(HostError::NotTold)?;
    serde_json::from_str(&line).map_err(|error| HostError::NotTold(error.into()))
}

/// Listens on a socket of this path, in place of any that was there.
pub fn listen(path: &Path) -> Result<UnixListener, HostError> {
    let length = path.as_os_str().len();
    if length > LONGEST_SOCKET_PATH {
        return Err(HostError::SocketPath { path: path.to_owned(), length });
    }
    if let Some(directory) = path.parent() {
        os::private_directory(directory)
            .map_err(|error| HostError::io("make the directory", directory, &error))?;
        // Whoever owns it could put another socket in the place of this one, and be told keys.
        os::check_private(directory).map_err(|error| HostError::io("listen in", directory, &error))?;
    }
    os::remove_all(path).map_err(|error| HostError::io("remove the old", path, &error))?;
    let listener = UnixListener::bind(path).map_err(|error| HostError::io("listen on", path, &error))?;
    // The directory keeps others out already; on some systems the socket's own mode counts as well.
    fs::set_permissions(path, Permissions::from_mode(0o600))
        .and_then(|()| listener.set_nonblocking(true))
        .map_err(|error| HostError::io("listen on", path, &error))?;
    Ok(listener)
}

/// Sends what the host prints to its own log, and lets go of its caller's.
pub fn detach(log: &Path) -> Result<(), HostError> {
    let failed = |error: &io::Error| HostError::io("write", log, error);
    io::stdout().flush().map_err(|error| failed(&error))?;
    let file =
        OpenOptions::new().create(true).append(true).mode(0o600).open(log).map_err(|error| failed(&error))?;
    let null =
        File::open("/dev/null").map_err(|error| HostError::io("open", Path::new("/dev/null"), &error))?;
    rustix::stdio::dup2_stdin(&null)
        .and_then(|()| rustix::stdio::dup2_stdout(&file))
        .and_then(|()| rustix::stdio::dup2_stderr(&file))
        .map_err(|error| failed(&error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_does_not_listen_where_others_may_put_a_socket() {
        let place = tempfile::tempdir().unwrap();
        let (own, open) = (place.path().join("own"), place.path().join("open"));
        listen(&own.join("h.sock")).unwrap();
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let error = listen(&open.join("h.sock")).unwrap_err();
        assert!(error.to_string().ends_with("open: others may enter it"), "{error}");
        fs::set_permissions(&open, Permissions::from_mode(0o700)).unwrap();
        if std::os::unix::fs::chown(&open, Some(65_534), None).is_err() {
            eprintln!("SKIPPED: only root can make a directory of somebody else");
            return;
        }
        let error = listen(&open.join("h.sock")).unwrap_err();
        assert!(error.to_string().ends_with("open: it belongs to another user"), "{error}");
    }
}
