//! Exit codes: part of the command line's contract, and the table in its reference.

use std::process::ExitCode;

use crate::api::ErrorCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// It did what it was asked to.
    Done,
    /// It failed in a way that has no code of its own.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// The document cannot be read, or is not valid.
    Document,
    /// There is no such cluster or node.
    NotFound,
    /// The request contradicts what is there.
    Refused,
    /// What was waited for did not come in time; it may still come.
    TimedOut,
    /// The Python environment cannot be used or built.
    Software,
    /// The provider refused or failed.
    Provider,
    /// The controller cannot be started or reached.
    Controller,
    /// `run`: the program may not be run.
    NotExecutable,
    /// `run`: there is no such program.
    NoProgram,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// Every code, in the order of its number.
    pub const ALL: [Self; 13] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Document,
        Self::NotFound,
        Self::Refused,
        Self::TimedOut,
        Self::Software,
        Self::Provider,
        Self::Controller,
        Self::NotExecutable,
        Self::NoProgram,
        Self::Interrupted,
    ];

    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Document => 3,
            Self::NotFound => 4,
            Self::Refused => 5,
            Self::TimedOut => 6,
            Self::Software => 7,
            Self::Provider => 8,
            Self::Controller => 9,
            Self::NotExecutable => 126,
            Self::NoProgram => 127,
            Self::Interrupted => 130,
        }
    }

    /// What it means, for the reference.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "The command did what it was asked to.",
            Self::Failed => "It failed in a way that has no code of its own; `doctor` found a fault.",
            Self::Usage => "The command line makes no sense.",
            Self::Document => "The document cannot be read, or is not valid.",
            Self::NotFound => "There is no such cluster or node.",
            Self::Refused => {
                "The request contradicts what is there: a field that is fixed for a cluster's life, a \
                 cluster of another machine, a worker whose data nobody can take."
            }
            Self::TimedOut => "What was waited for did not come in time. It may still come.",
            Self::Software => "The Python environment cannot be used or built.",
            Self::Provider => "The provider refused or failed, or what runs there keeps failing.",
            Self::Controller => "The controller on this machine cannot be started or reached.",
            Self::NotExecutable => "`run`: the program cannot be started.",
            Self::NoProgram => "`run`: there is no such program.",
            Self::Interrupted => "Ctrl-C ended the command. What it asked for goes on.",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<ErrorCode> for Exit {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::Invalid => Self::Document,
            ErrorCode::Conflict | ErrorCode::Refused | ErrorCode::Elsewhere | ErrorCode::Unsupported => {
                Self::Refused
            }
            ErrorCode::Timeout => Self::TimedOut,
            ErrorCode::Provider => Self::Provider,
            ErrorCode::Unreachable => Self::Controller,
            ErrorCode::Store | ErrorCode::Unreadable | ErrorCode::Internal => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_number_of_its_own_and_they_rise() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert!(codes.is_sorted());
        assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
    }
}
