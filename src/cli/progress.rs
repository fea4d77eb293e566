//! What goes on while a command waits: a line that changes on a terminal, lines elsewhere, JSON
//! for programs.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use owo_colors::Style;
use serde::Serialize;
use serde_json::json;

use super::printer::{paint, say};
use crate::{
    controller::ClusterView,
    model::{Event, Severity},
    spec::ColorChoice,
};

/// Shows the progress of one command.
#[derive(Debug)]
pub struct Progress {
    to: To,
    /// What was last said of the state; the same is not said twice.
    last: Vec<String>,
}

#[derive(Debug)]
enum To {
    Nobody,
    Terminal(ProgressBar, ColorChoice),
    Lines(ColorChoice),
    Program,
}

/// One line for programs.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Line<'a> {
    Progress { message: &'a str },
    Cluster { cluster: &'a ClusterView },
    Event { event: &'a Event },
}

impl Progress {
    pub(super) fn silent() -> Self {
        Self { to: To::Nobody, last: Vec::new() }
    }

    pub(super) fn for_lines(color: ColorChoice) -> Self {
        Self { to: To::Lines(color), last: Vec::new() }
    }

    pub(super) fn for_programs() -> Self {
        Self { to: To::Program, last: Vec::new() }
    }

    pub(super) fn for_a_terminal(color: ColorChoice) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed:>4}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { to: To::Terminal(bar, color), last: Vec::new() }
    }

    /// A step that was begun.
    pub fn step(&mut self, message: &str) {
        match &self.to {
            To::Nobody => {}
            To::Terminal(bar, _) => bar.set_message(message.to_owned()),
            To::Lines(_) => say(&format!("{message}\n")),
            To::Program => line(&Line::Progress { message }),
        }
    }

    /// How far a cluster is: for people in `parts` such as `workers: 2 of 4 ready`, of which those
    /// that are new are said.
    pub fn state(&mut self, view: &ClusterView, parts: Vec<String>) {
        if parts == self.last && !matches!(self.to, To::Program) {
            return;
        }
        match &self.to {
            To::Nobody => {}
            To::Terminal(bar, _) => bar.set_message(parts.join(" · ")),
            To::Lines(_) => {
                for part in parts.iter().filter(|part| !self.last.contains(part)) {
                    say(&format!("{part}\n"));
                }
            }
            To::Program => line(&Line::Cluster { cluster: view }),
        }
        self.last = parts;
    }

    /// Something that happened; people hear of it when they may want to look.
    pub fn event(&mut self, event: &Event) {
        let warns = event.severity == Severity::Warning;
        match &self.to {
            To::Terminal(bar, color) if warns => bar.suspend(|| say(&warning(event, *color))),
            To::Lines(color) if warns => say(&warning(event, *color)),
            To::Program => line(&Line::Event { event }),
            To::Nobody | To::Terminal(..) | To::Lines(_) => {}
        }
    }

    /// For programs: the last line, with what came of it. People hear it from the command itself.
    pub fn outcome(&mut self, kind: &str, mut value: serde_json::Value) {
        if let To::Program = self.to {
            if let Some(object) = value.as_object_mut() {
                object.insert("type".to_owned(), json!(kind));
            }
            line(&value);
        }
    }

    /// Takes away what was only for the moment.
    pub fn clear(&mut self) {
        if let To::Terminal(bar, _) = &self.to {
            bar.finish_and_clear();
        }
    }
}

/// Writes a line for a program. One that stopped reading has seen enough; the command ends as it would.
fn line(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        drop(writeln!(io::stdout().lock(), "{text}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// One line: should the wait fail, its error shows the lines of the log.
fn warning(event: &Event, color: ColorChoice) -> String {
    let first = event.message.lines().next().unwrap_or_default();
    let first = first.strip_suffix("; the last lines of its log:").unwrap_or(first);
    format!("{}: {first}\n", paint("warning", Style::new().yellow().bold(), color))
}
