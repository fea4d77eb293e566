//! Why there is no controller to talk to.

use std::{path::PathBuf, process::ExitStatus};

use crate::{api::ApiError, controller::process::LocationError, store::StoreError};

/// A controller that cannot be reached, or not be started.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Its directories cannot be used.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// This program cannot be run again as a controller.
    #[error("cannot start the controller {}: {cause}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        cause: String,
    },
    /// It started, and ended with a reason.
    #[error("the controller cannot run: {message}")]
    Refused {
        /// The reason.
        message: String,
        /// The next step.
        hint: Option<String>,
    },
    /// It started, and ended without a word.
    #[error("the controller ended while it was starting ({status}){}", indented(lines))]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// What it printed last.
        lines: Vec<String>,
    },
    /// None was ready in time.
    #[error("no controller was ready within {seconds} s; last seen: {last_seen}{}", indented(log))]
    NotReady {
        /// The bound.
        seconds: u64,
        /// What was last seen.
        last_seen: String,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// It is there and does not answer.
    #[error("the controller (process {pid}) does not answer: {cause}{}", indented(log))]
    Silent {
        /// Its process.
        pid: u32,
        /// What was tried.
        cause: String,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// It is newer, and speaks in another way.
    #[error("the controller is of version {controller}, and this program, {program}, cannot talk to it")]
    Newer {
        /// Its version.
        controller: String,
        /// Ours.
        program: String,
    },
    /// It did not end when it was asked to.
    #[error("cannot replace the controller: {0}")]
    NotReplaced(#[source] ApiError),
}

impl ConnectError {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Location(error) => error.hint(),
            Self::Spawn { .. } => None,
            Self::Refused { hint, .. } => hint.clone(),
            Self::Ended { .. } | Self::NotReady { .. } => Some(
                "`crewcall doctor` looks for the cause; `crewcall controller logs` shows more".to_owned(),
            ),
            Self::Silent { pid, .. } => Some(format!(
                "`kill -9 {pid}` ends it; clusters live on, and the next command starts a new one"
            )),
            Self::Newer { controller, .. } => Some(format!(
                "use crewcall {controller}, or end the controller with it: `crewcall controller stop`"
            )),
            Self::NotReplaced(error) => error.hint.clone(),
        }
    }
}

fn indented(lines: &[String]) -> String {
    lines.iter().flat_map(|line| ["\n  ", line]).collect()
}

/// A controller that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// Its directories cannot be used.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// Its state cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system refused something.
    #[error("cannot {doing}: {cause}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What it said.
        cause: String,
    },
}

impl ControllerError {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Location(error) => error.hint(),
            Self::Store(StoreError::Unreadable(unreadable)) => Some(unreadable.hint.clone()),
            Self::Store(StoreError::Io { .. }) => Some(
                "CREWCALL_STATE_DIR names another directory for crewcall's state, if that one cannot be used"
                    .to_owned(),
            ),
            Self::Store(_) | Self::System { .. } => None,
        }
    }

    pub(super) fn system(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::System { doing, cause: error.to_string() }
    }
}
