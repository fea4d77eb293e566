//! A record as text, and what can be wrong with one.

use std::path::Path;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::error::Category;

use crate::{
    model::{ClusterRecord, ClusterUid, MachineId, RECORD_FORMAT},
    spec::ClusterName,
    store::{StoreError, Unreadable},
};

/// The most bytes of a record; ten thousand workers need about two million.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// As much of a record as says whose it is.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    format: u32,
    pub(super) wanted: HeadWanted,
}

/// The part of what is wanted that says whose it is.
#[derive(Debug, Deserialize)]
pub(super) struct HeadWanted {
    pub(super) uid: ClusterUid,
    pub(super) machine: MachineId,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// The text of a record that is to be kept at `path`.
pub(super) fn encode(path: &Path, record: &ClusterRecord) -> Result<Vec<u8>, StoreError> {
    let name = record.name().as_str();
    if record.format != RECORD_FORMAT {
        return Err(foreign_format(name, path, record.format).into());
    }
    let unfit = |error: serde_json::Error| StoreError::Io {
        doing: "write",
        path: path.to_owned(),
        cause: format!("what it is to hold does not fit into JSON: {error}"),
    };
    let mut text = serde_json::to_vec(record).map_err(unfit)?;
    // JSON has no infinite numbers, for one; better no write than a record that is never read again.
    serde_json::from_slice::<ClusterRecord>(&text).map_err(unfit)?;
    text.push(b'\n');
    Ok(text)
}

/// The record in the text that was found at `path`, in the folder called `name`.
pub(super) fn decode(name: &str, path: &Path, text: &[u8]) -> Result<ClusterRecord, Unreadable> {
    let record: ClusterRecord = parse(name, path, text)?;
    if record.format != RECORD_FORMAT {
        return Err(foreign_format(name, path, record.format));
    }
    if record.name().as_str() != name {
        return Err(unreadable(name, path, format!("it is that of cluster {}", record.name())));
    }
    Ok(record)
}

/// Whose record the text at `path` is, in a fraction of the time that all of it takes.
pub(super) fn decode_head(name: &ClusterName, path: &Path, text: &[u8]) -> Result<Head, Unreadable> {
    let head: Head = parse(name.as_str(), path, text)?;
    if head.format == RECORD_FORMAT {
        Ok(head)
    } else {
        Err(foreign_format(name.as_str(), path, head.format))
    }
}

/// A record that is there and cannot be used, for a reason that only a person can remove.
pub(super) fn unreadable(name: &str, path: &Path, problem: String) -> Unreadable {
    let folder = path.parent().unwrap_or(path);
    let hint = format!(
        "put a good copy in its place, or move {} elsewhere; \
         what the cluster left running then goes on alone, until `crewcall gc` ends it",
        folder.display()
    );
    Unreadable { name: name.to_owned(), path: path.to_owned(), problem, hint }
}

fn parse<T: DeserializeOwned>(name: &str, path: &Path, text: &[u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(text).map_err(|error| {
        // A newer format may well have another shape; its version is then the problem to name.
        match serde_json::from_slice::<Version>(text) {
            Ok(version) if version.format != RECORD_FORMAT => foreign_format(name, path, version.format),
            _ => unreadable(name, path, problem(&error)),
        }
    })
}

fn problem(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof if error.column() == 0 => "it is empty".to_owned(),
        Category::Eof => format!("it is cut off: {error}"),
        Category::Syntax | Category::Io => format!("it is not JSON: {error}"),
        Category::Data => format!("it does not hold what a record holds: {error}"),
    }
}

fn foreign_format(name: &str, path: &Path, format: u32) -> Unreadable {
    if format < RECORD_FORMAT {
        return unreadable(name, path, format!("its format is {format}, which no crewcall has written"));
    }
    Unreadable {
        name: name.to_owned(),
        path: path.to_owned(),
        problem: format!("its format is {format}, and this crewcall knows formats up to {RECORD_FORMAT}"),
        hint: "use the crewcall that wrote it, or a newer one".to_owned(),
    }
}
