//! What depends on the person who asked: resolved by the command line, sent along.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// The part of the caller's context that is kept with the cluster. No secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerContext {
    /// Where local nodes run; absolute.
    pub working_directory: PathBuf,
    /// What local nodes put in front of their import path; absolute.
    #[serde(default)]
    pub import_path: Vec<PathBuf>,
    /// The caller's interpreter, if there is one.
    #[serde(default)]
    pub interpreter: Option<Interpreter>,
    /// The folder of the document, against which its relative paths are read.
    #[serde(default)]
    pub document_directory: PathBuf,
    /// The caller's file mode creation mask, which local nodes take over; without it they keep their
    /// host's, 077.
    #[serde(default)]
    pub umask: Option<u32>,
}

/// A Python interpreter and what is installed for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interpreter {
    /// Absolute path.
    pub path: PathBuf,
    /// What is installed.
    pub versions: SoftwareVersions,
}

/// Versions by package name (`python` among them); `None`: not installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SoftwareVersions(pub BTreeMap<String, Option<String>>);

/// The caller's environment variables: handed over, held in memory, never written.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallerEnvironment(pub BTreeMap<String, String>);

impl fmt::Debug for CallerEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallerEnvironment({} variables)", self.0.len())
    }
}

impl SoftwareVersions {
    /// The version of a package; `None` when it is not installed or was not asked for.
    pub fn get(&self, package: &str) -> Option<&str> {
        self.0.get(package)?.as_deref()
    }
}
