//! Where log lines go, and which.

use std::io;

use tracing_subscriber::EnvFilter;

/// The variable that chooses log lines by target and level, as `tracing_subscriber` reads them.
const FILTER: &str = "CREWCALL_LOG";

/// How much is logged, unless `CREWCALL_LOG` says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    Nothing,
    /// What was done.
    Steps,
    /// Every decision and call.
    Everything,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Logging that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The variable cannot be understood.
    #[error("CREWCALL_LOG is `{text}`, which is no filter for log lines: {cause}")]
    Filter {
        /// Its value.
        text: String,
        /// Why not.
        cause: String,
    },
    /// It was set up before.
    #[error("log lines of this process go somewhere already")]
    Again,
}

impl Detail {
    fn directive(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Steps => Some("crewcall=info"),
            Self::Everything => Some("crewcall=debug"),
        }
    }
}

/// Which lines are wanted; `None`: none at all.
fn filter(detail: Detail, variable: Option<String>) -> Result<Option<EnvFilter>, LoggingError> {
    let text = variable.filter(|text| !text.is_empty());
    let Some(text) = text.or_else(|| detail.directive().map(str::to_owned)) else { return Ok(None) };
    let parsed = EnvFilter::try_new(&text);
    parsed.map(Some).map_err(|error| LoggingError::Filter { text, cause: error.to_string() })
}

/// Sends log lines to stderr. Costs nothing when none are wanted.
pub fn to_stderr(detail: Detail) -> Result<(), LoggingError> {
    to_stderr_as(LogFormat::Text, detail)
}

/// The same, in the given form.
pub fn to_stderr_as(format: LogFormat, detail: Detail) -> Result<(), LoggingError> {
    let Some(filter) = filter(detail, std::env::var(FILTER).ok())? else { return Ok(()) };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(io::stderr);
    // It would say on stderr, too, that a full disk takes no line, and panic where that fails.
    let lines = lines.log_internal_errors(false);
    let set = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(lines.finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish()),
    };
    set.map_err(|_| LoggingError::Again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_has_the_last_word() {
        let shown = |detail, variable: Option<&str>| {
            filter(detail, variable.map(str::to_owned)).unwrap().map(|filter| filter.to_string())
        };
        assert_eq!(shown(Detail::Nothing, None), None);
        assert_eq!(shown(Detail::Nothing, Some("")), None);
        assert_eq!(shown(Detail::Steps, None).as_deref(), Some("crewcall=info"));
        assert_eq!(shown(Detail::Steps, Some("hyper=trace")).as_deref(), Some("hyper=trace"));
    }

    #[test]
    fn a_filter_that_cannot_be_understood_is_named() {
        let error = filter(Detail::Nothing, Some("crewcall=loud".to_owned())).unwrap_err().to_string();
        assert!(error.starts_with("CREWCALL_LOG is `crewcall=loud`"), "{error}");
    }
}
