//! How nodes end and calls fail, in terms that policy tells apart.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How to end a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// At once.
    Now,
    /// With the chance to hand data over, so long, then at once.
    Gently(Duration),
}

/// Kinds of failure that policy tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// It does not exist.
    NotFound,
    /// Somebody else has it, or is at it.
    Conflict,
    /// No room there now.
    Capacity,
    /// Not allowed so many.
    Quota,
    /// Asked too often.
    Throttled,
    /// Not allowed, or credentials are missing.
    Auth,
    /// It will never work like this.
    Invalid,
    /// It may work when tried again.
    Transient,
    /// Not known.
    Unknown,
}

/// An error and its causes on one line, without what one repeats of the next.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = inner.source();
    }
    text
}

impl ErrorKind {
    /// In one word, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::Capacity => "Capacity",
            Self::Quota => "Quota",
            Self::Throttled => "Throttled",
            Self::Auth => "Auth",
            Self::Invalid => "Invalid",
            Self::Transient => "Transient",
            Self::Unknown => "Unknown",
        }
    }
}

/// Whether a failed call may have had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residue {
    /// It had none.
    None,
    /// It may have.
    Possible,
}
