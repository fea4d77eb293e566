//! What a controller that starts tells the program that started it: one line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a start went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Announcement {
    /// It answers.
    Ready {
        /// Where.
        socket: PathBuf,
    },
    /// Another process is the controller already.
    Taken,
    /// It cannot run.
    Failed {
        /// Why.
        message: String,
        /// The next step.
        hint: Option<String>,
    },
}

impl Announcement {
    /// The line, with its end.
    pub(super) fn to_line(&self) -> String {
        // Strings and paths; a path that is no text cannot be told.
        let line = serde_json::to_string(self).unwrap_or_else(|_| r#""taken""#.to_owned());
        format!("{line}\n")
    }
}
