//! How a client starts a controller of its own version.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

use super::{ConnectError, announcement::Announcement};
use crate::controller::process::{Locations, last_lines};

/// How long a controller may take to answer its first request.
pub(super) const START_BOUND: Duration = Duration::from_secs(15);

/// How many lines of a log an error shows.
pub(super) const SHOWN_LINES: usize = 10;

/// The longest announcement that is read.
const MAX_ANNOUNCEMENT_BYTES: u64 = 64 << 10;

/// Variables that a controller gets from whoever starts it. All else comes with each request.
const KEPT: [&str; 7] = ["HOME", "USER", "LOGNAME", "PATH", "LANG", "TZ", "TMPDIR"];
/// Beginnings of the names of variables that it gets as well.
const KEPT_PREFIXES: [&str; 3] = ["LC_", "XDG_", "CREWCALL_"];

/// What to start as a controller.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// What makes it a controller.
    pub arguments: Vec<OsString>,
    /// Its environment variables, scrubbed already.
    pub environment: BTreeMap<OsString, OsString>,
    /// The version of the client: a controller that is older is replaced.
    pub version: String,
}

/// How a start went.
pub(super) enum Started {
    /// The controller answers.
    Ready,
    /// Another one is there.
    Taken,
}

impl Launcher {
    /// This program, with those of its environment variables that do not depend on what it is used
    /// for.
    pub fn of_this_process() -> Result<Self, ConnectError> {
        let program = std::env::current_exe().map_err(|error| ConnectError::Spawn {
            program: PathBuf::from("crewcall"),
            cause: error.to_string(),
        })?;
        Ok(Self {
            program,
            arguments: vec!["__controller".into()],
            environment: std::env::vars_os().filter(|(name, _)| is_kept(name)).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// Starts a controller and waits until it is ready.
    pub(super) async fn start(&self, locations: &Locations) -> Result<Started, ConnectError> {
        let log = locations.log();
        let logged = std::fs::metadata(&log).map_or(0, |found| found.len());
        let mut child = self.spawn(locations)?;
        let Ok(announced) = tokio::time::timeout(START_BOUND, announcement(&mut child)).await else {
            // It is ours, and nobody has talked to it yet.
            drop(child.start_kill());
            return Err(ConnectError::NotReady {
                seconds: START_BOUND.as_secs(),
                last_seen: "one that was started and has not said yet whether it can run".to_owned(),
                log: last_lines(&log, logged, SHOWN_LINES),
            });
        };
        match announced {
            Some(Announcement::Ready { .. }) => Ok(Started::Ready),
            Some(Announcement::Taken) => Ok(Started::Taken),
            Some(Announcement::Failed { message, hint }) => Err(ConnectError::Refused { message, hint }),
            None => Err(self.ended(child, &log, logged).await),
        }
    }

    fn spawn(&self, locations: &Locations) -> Result<Child, ConnectError> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(&self.environment).envs(locations.variables());
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(|error| self.not_spawned(&error))
    }

    fn not_spawned(&self, error: &std::io::Error) -> ConnectError {
        ConnectError::Spawn { program: self.program.clone(), cause: error.to_string() }
    }

    /// What a controller left that closed its output without a word.
    async fn ended(&self, mut child: Child, log: &std::path::Path, logged: u64) -> ConnectError {
        // It may have closed its output without ending.
        drop(child.start_kill());
        let mut printed = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            // What could be read is shown, whatever came then.
            let _ = stderr.take(MAX_ANNOUNCEMENT_BYTES).read_to_end(&mut printed).await;
        }
        match child.wait().await {
            Err(error) => self.not_spawned(&error),
            Ok(status) => {
                let printed = String::from_utf8_lossy(&printed);
                let mut lines = last_lines(log, logged, SHOWN_LINES);
                lines.extend(printed.lines().map(str::to_owned));
                let lines = lines.split_off(lines.len().saturating_sub(SHOWN_LINES));
                ConnectError::Ended { status, lines }
            }
        }
    }
}

/// The line that a controller prints once it knows whether it can run; `None` without one.
async fn announcement(child: &mut Child) -> Option<Announcement> {
    let mut line = String::new();
    let stdout = BufReader::new(child.stdout.take()?);
    stdout.take(MAX_ANNOUNCEMENT_BYTES).read_line(&mut line).await.ok()?;
    serde_json::from_str(&line).ok()
}

fn is_kept(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_that_say_who_and_where_the_person_is_are_handed_on() {
        for kept in ["HOME", "PATH", "LC_ALL", "XDG_RUNTIME_DIR", "CREWCALL_STATE_DIR"] {
            assert!(is_kept(OsStr::new(kept)), "{kept}");
        }
        for scrubbed in ["AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "VIRTUAL_ENV", "HOMEBREW", "LD_PRELOAD"] {
            assert!(!is_kept(OsStr::new(scrubbed)), "{scrubbed}");
        }
    }
}
