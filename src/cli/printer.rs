//! The only place that writes to stdout and stderr: results to the one, talk to the other.

use std::io::{self, IsTerminal, Write};

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use super::{CliError, Exit, args::ColorWhen, progress::Progress};
use crate::spec::ColorChoice;

/// How wide text for people is when nobody says.
const WIDTH: usize = 100;

/// Which talk is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// Errors only.
    Quiet,
    /// Warnings, notes and progress.
    Normal,
}

/// Who reads the progress of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A person.
    Person,
    /// A program that reads one JSON object per line from stdout.
    Program,
}

/// Owner of stdout and stderr.
#[derive(Debug)]
pub struct Printer {
    stdout: io::Stdout,
    stderr: io::Stderr,
    result_color: ColorChoice,
    error_color: ColorChoice,
    talk: Talk,
    is_terminal: bool,
}

/// What decides on colour.
#[derive(Debug, Clone, Copy)]
pub struct ColorInputs<'a> {
    /// What the command line says.
    pub when: ColorWhen,
    /// The value of `NO_COLOR`.
    pub no_color: Option<&'a str>,
    /// The value of `CLICOLOR_FORCE`.
    pub force: Option<&'a str>,
    /// Whether a terminal reads it.
    pub is_terminal: bool,
}

/// The command line first, then `NO_COLOR` (no-color.org), then `CLICOLOR_FORCE`, then whether a
/// terminal reads it.
pub fn choose_color(inputs: ColorInputs<'_>) -> ColorChoice {
    let colored = match inputs.when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto if inputs.no_color.is_some_and(|value| !value.is_empty()) => false,
        ColorWhen::Auto if inputs.force.is_some_and(|value| !value.is_empty() && value != "0") => true,
        ColorWhen::Auto => inputs.is_terminal,
    };
    if colored { ColorChoice::Always } else { ColorChoice::Never }
}

impl Printer {
    /// For this process's streams.
    pub fn new(when: ColorWhen, talk: Talk) -> Self {
        let (no_color, force) = (std::env::var("NO_COLOR").ok(), std::env::var("CLICOLOR_FORCE").ok());
        let choose = |is_terminal| {
            let (no_color, force) = (no_color.as_deref(), force.as_deref());
            choose_color(ColorInputs { when, no_color, force, is_terminal })
        };
        let is_terminal = io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        let (result_color, error_color) = (choose(io::stdout().is_terminal()), choose(is_terminal));
        Self { stdout: io::stdout(), stderr: io::stderr(), result_color, error_color, talk, is_terminal }
    }

    /// Prints a result, exactly as it is.
    pub fn result(&self, text: &str) -> Result<(), CliError> {
        self.result_bytes(text.as_bytes())
    }

    /// Prints a result line by line; a line break is added.
    pub fn result_line(&self, line: &str) -> Result<(), CliError> {
        self.result_bytes(format!("{line}\n").as_bytes())
    }

    /// Prints a result that need not be text.
    pub fn result_bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut out = self.stdout.lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(CliError::Output)
    }

    /// Prints one JSON object on one line.
    pub fn result_json_line(&self, value: &impl Serialize) -> Result<(), CliError> {
        self.result_line(&serde_json::to_string(value).map_err(CliError::encode)?)
    }

    /// A line that somebody may want to know and nobody must read.
    pub fn note(&self, text: &str) {
        if self.talk == Talk::Normal {
            say(&format!("{text}\n"));
        }
    }

    /// What the caller should know.
    pub fn warning(&self, text: &str) {
        if self.talk == Talk::Normal {
            say(&format!("{}: {text}\n", paint("warning", Style::new().yellow().bold(), self.error_color)));
        }
    }

    /// Text for stderr that was rendered elsewhere, for [`Self::error_color`].
    pub fn rendered(&self, text: &str) {
        if self.talk == Talk::Normal {
            say(text);
        }
    }

    /// Why the command failed, and what to do about it. Says nothing where nobody reads.
    pub fn error(&self, error: &CliError) {
        if !error.is_silent() {
            say(&error.render(self.error_color, self.width()));
        }
    }

    /// What goes on, for whoever reads it.
    pub fn progress(&self, reader: Reader) -> Progress {
        match (reader, self.talk) {
            (Reader::Program, _) => Progress::for_programs(),
            (Reader::Person, Talk::Quiet) => Progress::silent(),
            (Reader::Person, Talk::Normal) if self.is_terminal => Progress::for_a_terminal(self.error_color),
            (Reader::Person, Talk::Normal) => Progress::for_lines(self.error_color),
        }
    }

    /// Colour of results.
    pub fn result_color(&self) -> ColorChoice {
        self.result_color
    }

    /// Colour of talk and errors.
    pub fn error_color(&self) -> ColorChoice {
        self.error_color
    }

    /// Columns that text for people should have.
    pub fn width(&self) -> usize {
        let columns = rustix::termios::tcgetwinsize(&self.stderr).ok().map(|size| usize::from(size.ws_col));
        columns.filter(|columns| *columns > 0).map_or(WIDTH, |columns| columns.clamp(40, WIDTH))
    }
}

/// Writes to stderr. Nobody is left to hear that it failed.
pub(super) fn say(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// Colours a word.
pub(super) fn paint(text: &str, style: Style, color: ColorChoice) -> String {
    match color {
        ColorChoice::Never => text.to_owned(),
        ColorChoice::Always => text.style(style).to_string(),
    }
}

/// How a command ends for want of somebody who reads its results: as it should.
pub(super) fn exit_for_output(error: &io::Error) -> Exit {
    if error.kind() == io::ErrorKind::BrokenPipe { Exit::Done } else { Exit::Failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn color(when: ColorWhen, no_color: Option<&str>, force: Option<&str>, is_terminal: bool) -> bool {
        choose_color(ColorInputs { when, no_color, force, is_terminal }) == ColorChoice::Always
    }

    #[test]
    fn the_command_line_beats_the_environment_and_that_beats_the_terminal() {
        assert!(color(ColorWhen::Always, Some("1"), None, false));
        assert!(!color(ColorWhen::Never, None, Some("1"), true));
        assert!(!color(ColorWhen::Auto, Some("1"), Some("1"), true));
        assert!(color(ColorWhen::Auto, None, Some("1"), false));
        assert!(color(ColorWhen::Auto, None, None, true));
        assert!(!color(ColorWhen::Auto, None, None, false));
    }

    #[test]
    fn empty_variables_say_nothing() {
        assert!(color(ColorWhen::Auto, Some(""), Some(""), true));
        assert!(!color(ColorWhen::Auto, Some(""), Some("0"), false));
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        assert_eq!(exit_for_output(&io::ErrorKind::BrokenPipe.into()), Exit::Done);
        assert_eq!(exit_for_output(&io::ErrorKind::StorageFull.into()), Exit::Failed);
    }
}
