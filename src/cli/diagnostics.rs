//! Errors as people read them: one sentence that names the object and the cause, what was seen, and
//! the next step.

use std::{fmt::Write as _, io, path::PathBuf};

use owo_colors::Style;
use serde_json::json;

use super::{
    Exit,
    printer::{exit_for_output, paint},
};
use crate::{
    api::{ApiError, ErrorCode, process::ConnectError},
    model::Event,
    spec::{ClusterName, ColorChoice, LoadError},
    telemetry::LoggingError,
};

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The document is refused.
    #[error("{0}")]
    Document(Box<LoadError>),
    /// The document cannot be read.
    #[error("cannot read the document {name}: {cause}")]
    UnreadableDocument {
        /// What it is called.
        name: String,
        /// Why not.
        cause: String,
        /// The next step.
        hint: Option<String>,
    },
    /// No cluster of that name.
    #[error("there is no cluster named {name}")]
    NoCluster {
        /// The name.
        name: ClusterName,
        /// A name that there is and that looks like it.
        similar: Option<ClusterName>,
        /// The last that happened to the last cluster that had the name.
        ended: Option<Box<Event>>,
    },
    /// No node that is called so.
    #[error("cluster {cluster} has no node `{node}` with a log")]
    NoNode {
        /// The cluster.
        cluster: ClusterName,
        /// What was asked for.
        node: String,
        /// What there is.
        nodes: Vec<String>,
    },
    /// The controller refused.
    #[error("{0}")]
    Api(ApiError),
    /// The software environment of a new cluster cannot be had.
    #[error("{0}")]
    Software(ApiError),
    /// There is no controller.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The command asks for what this build or place does not have.
    #[error("{message}")]
    Usage {
        /// What.
        message: String,
        /// The next step.
        hint: Option<String>,
    },
    /// The cluster does not offer that now.
    #[error("{message}")]
    Refused {
        /// What is missing of what.
        message: String,
        /// The next step.
        hint: Option<String>,
    },
    /// What was waited for will not come by waiting.
    #[error("{message}")]
    Stuck {
        /// What, and why.
        message: String,
        /// What happened last.
        seen: Vec<String>,
        /// The next step.
        hint: String,
        /// How to end.
        exit: Exit,
    },
    /// What was waited for did not come in time.
    #[error("{waited_for} did not happen within {bound}; last seen: {last_seen}")]
    TimedOut {
        /// What.
        waited_for: String,
        /// How long.
        bound: String,
        /// What was last seen.
        last_seen: String,
        /// What happened last.
        seen: Vec<String>,
        /// The next step.
        hint: String,
    },
    /// Ctrl-C.
    #[error("interrupted: {goes_on}")]
    Interrupted {
        /// What goes on all the same, or that nothing does.
        goes_on: String,
        /// The next step.
        hint: Option<String>,
    },
    /// A program that cannot be run.
    #[error("cannot run {}: {cause}", program.display())]
    Program {
        /// Which.
        program: PathBuf,
        /// Why not.
        cause: String,
        /// How to end.
        exit: Exit,
    },
    /// Nobody takes the results.
    #[error("cannot print results: {0}")]
    Output(io::Error),
    /// A file that cannot be read or written.
    #[error("cannot {doing} {}: {cause}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Logging cannot be set up.
    #[error("{0}")]
    Logging(#[from] LoggingError),
    /// Several things failed, and each is said.
    #[error("{} of them failed", .0.len())]
    Several(Vec<CliError>),
    /// It was said already, in the results.
    #[error("the checks found a fault")]
    Said(Exit),
    /// A process of ours that cannot run.
    #[error("{message}")]
    Process {
        /// Why.
        message: String,
        /// The next step.
        hint: Option<String>,
        /// How to end.
        exit: Exit,
    },
    /// A fault in this program.
    #[error("{0}; this is a bug in crewcall")]
    Bug(String),
}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<LoadError> for CliError {
    fn from(error: LoadError) -> Self {
        Self::Document(Box::new(error))
    }
}

impl CliError {
    /// A value that cannot be written in the format asked for.
    pub(super) fn encode(error: impl std::fmt::Display) -> Self {
        Self::Bug(format!("cannot write a result: {error}"))
    }

    /// How the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Document(_) | Self::UnreadableDocument { .. } => Exit::Document,
            Self::NoCluster { .. } | Self::NoNode { .. } => Exit::NotFound,
            Self::Api(error) => error.code.into(),
            Self::Software(_) => Exit::Software,
            Self::Connect(_) => Exit::Controller,
            Self::Usage { .. } | Self::Logging(_) => Exit::Usage,
            Self::Refused { .. } => Exit::Refused,
            Self::Stuck { exit, .. }
            | Self::Program { exit, .. }
            | Self::Process { exit, .. }
            | Self::Said(exit) => *exit,
            Self::TimedOut { .. } => Exit::TimedOut,
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::Output(error) => exit_for_output(error),
            Self::File { .. } | Self::Bug(_) => Exit::Failed,
            Self::Several(errors) => errors.first().map_or(Exit::Failed, Self::exit),
        }
    }

    /// The next step.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoCluster { similar: Some(similar), .. } => {
                Some(format!("did you mean `{similar}`? `crewcall list` shows what there is"))
            }
            Self::NoCluster { similar: None, ended: Some(last), name } => Some(format!(
                "there was one until {}, the last of it: {}; `crewcall events {name}` shows its history",
                last.at.strftime("%Y-%m-%d %H:%M:%SZ"),
                last.message
            )),
            Self::NoCluster { similar: None, .. } => Some("`crewcall list` shows what there is".to_owned()),
            Self::NoNode { nodes, .. } if nodes.is_empty() => {
                Some("none of its nodes has started".to_owned())
            }
            Self::NoNode { nodes, .. } => Some(format!("there are {}", nodes.join(", "))),
            Self::Api(error) | Self::Software(error) => error.hint.clone(),
            Self::Connect(error) => error.hint(),
            Self::UnreadableDocument { hint, .. }
            | Self::Usage { hint, .. }
            | Self::Refused { hint, .. }
            | Self::Interrupted { hint, .. }
            | Self::Process { hint, .. } => hint.clone(),
            Self::Stuck { hint, .. } | Self::TimedOut { hint, .. } => Some(hint.clone()),
            Self::Document(_)
            | Self::Program { .. }
            | Self::Output(_)
            | Self::File { .. }
            | Self::Logging(_)
            | Self::Several(_)
            | Self::Said(_)
            | Self::Bug(_) => None,
        }
    }

    /// Whether nobody is to be told.
    pub(super) fn is_silent(&self) -> bool {
        match self {
            Self::Output(error) => exit_for_output(error) == Exit::Done,
            Self::Said(_) => true,
            _ => false,
        }
    }

    /// The lines under the sentence: what was seen.
    fn seen(&self) -> &[String] {
        match self {
            Self::Stuck { seen, .. } | Self::TimedOut { seen, .. } => seen,
            _ => &[],
        }
    }

    /// For stderr; ends with a line break.
    pub fn render(&self, color: ColorChoice, width: usize) -> String {
        match self {
            Self::Document(error) => return error.render(color, width),
            Self::Several(errors) => return errors.iter().map(|error| error.render(color, width)).collect(),
            _ => {}
        }
        let message = self.to_string();
        let mut lines = message.lines();
        let first = lines.next().unwrap_or_default();
        let mut text = format!("{}: {first}\n", paint("error", Style::new().red().bold(), color));
        for line in lines.chain(self.seen().iter().flat_map(|seen| seen.lines())) {
            let _ = writeln!(text, "  {line}");
        }
        if let Some(hint) = self.hint() {
            let word = paint("hint", Style::new().cyan().bold(), color);
            let _ = writeln!(text, "{word}: {hint}");
        }
        text
    }

    /// For programs, as the last line that they read.
    pub fn to_json_line(&self) -> serde_json::Value {
        let code = match self {
            Self::Api(error) | Self::Software(error) => json!(error.code),
            Self::NoCluster { .. } | Self::NoNode { .. } => json!(ErrorCode::NotFound),
            _ => serde_json::Value::Null,
        };
        let message = match self {
            Self::Document(error) => error.render(ColorChoice::Never, usize::MAX),
            _ => self.to_string(),
        };
        json!({"type": "error", "error": {
            "code": code,
            "exit": self.exit().code(),
            "message": message,
            "seen": self.seen(),
            "hint": self.hint(),
        }})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_sentence_what_was_seen_and_the_next_step() {
        let error = CliError::TimedOut {
            waited_for: "cluster demo being ready".to_owned(),
            bound: "10m".to_owned(),
            last_seen: "workers: 2 of 4 ready".to_owned(),
            seen: vec!["10:00:00  NodeLate  demo-workers-2-0".to_owned()],
            hint: "`crewcall describe demo` shows more".to_owned(),
        };
        assert_eq!(
            error.render(ColorChoice::Never, 80),
            "error: cluster demo being ready did not happen within 10m; last seen: workers: 2 of 4 ready\n  \
             10:00:00  NodeLate  demo-workers-2-0\nhint: `crewcall describe demo` shows more\n"
        );
        assert_eq!(error.exit(), Exit::TimedOut);
    }

    #[test]
    fn the_first_of_several_failures_decides_the_exit_code() {
        let missing =
            |name: &str| CliError::NoCluster { name: name.parse().unwrap(), similar: None, ended: None };
        let several = CliError::Several(vec![missing("a"), CliError::Bug("x".to_owned())]);
        assert_eq!(several.exit(), Exit::NotFound);
        assert_eq!(several.render(ColorChoice::Never, 80).matches("error: ").count(), 2);
    }

    #[test]
    fn colour_appears_only_when_asked_for() {
        let error = CliError::Bug("x".to_owned());
        assert!(!error.render(ColorChoice::Never, 80).contains('\u{1b}'));
        assert!(error.render(ColorChoice::Always, 80).contains('\u{1b}'));
    }
}
