//! What `doctor` looks at, each by itself.

use std::{
    borrow::Cow,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use crate::{
    controller::process::Locations,
    model::{CallerEnvironment, SoftwareVersions},
    spec::count_of,
};

/// When this was written: no clock that goes right shows an earlier time.
const WRITTEN: i64 = 1_767_225_600;

/// Open files that a scheduler of some dozen workers needs.
const OPEN_FILES: u64 = 4096;

const GIB: u64 = 1 << 30;
const LITTLE: u64 = 256 << 20;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Finding {
    /// As it should be.
    Ok,
    /// Something may not work.
    Warn,
    /// Clusters will not work.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was looked at.
    pub what: &'static str,
    /// How that ended.
    pub finding: Finding,
    /// What was seen.
    pub message: String,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    fn new(what: &'static str, finding: Finding, message: impl Into<String>) -> Self {
        Self { what, finding, message: message.into(), hint: None }
    }

    /// As it should be.
    pub fn ok(what: &'static str, message: impl Into<String>) -> Self {
        Self::new(what, Finding::Ok, message)
    }

    /// Something may not work.
    pub fn warn(what: &'static str, message: impl Into<String>) -> Self {
        Self::new(what, Finding::Warn, message)
    }

    /// Clusters will not work.
    pub fn fail(what: &'static str, message: impl Into<String>) -> Self {
        Self::new(what, Finding::Fail, message)
    }

    /// With the next step.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.or_hint(Some(hint.into()))
    }

    /// With the next step, if there is one.
    pub fn or_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// Certificates are only valid at the right time.
pub fn clock(now: Timestamp) -> Check {
    let shown = now.strftime("%FT%TZ").to_string();
    if now.as_second() < WRITTEN {
        Check::fail("clock", format!("{shown} is in the past"))
            .hint("set the clock, certificates depend on it")
    } else {
        Check::ok("clock", shown)
    }
}

/// The limit of open files, which the processes of a cluster inherit.
pub fn open_files() -> Check {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < OPEN_FILES => {
            Check::warn("open files", format!("at most {limit} for each process, too few for large clusters"))
                .hint(format!("`ulimit -n {OPEN_FILES}` before the controller starts"))
        }
        Some(limit) => Check::ok("open files", format!("at most {limit} for each process")),
        None => Check::ok("open files", "no limit"),
    }
}

/// The directories of state, cache and sockets.
pub fn directories(locations: &Locations) -> Vec<Check> {
    let mut found = vec![directory("state", locations.state()), directory("cache", locations.cache())];
    found.push(match locations.make_runtime() {
        Ok(path) => directory("sockets", &path),
        Err(error) => Check::fail("sockets", error.to_string()).or_hint(error.hint()),
    });
    found
}

/// A directory must be its owner's alone and have room; one that does not exist can be made.
fn directory(what: &'static str, path: &Path) -> Check {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => to_be_made(what, path),
        Err(error) => Check::fail(what, format!("cannot look at {shown}: {error}")),
        Ok(metadata) if !metadata.is_dir() => Check::fail(what, format!("{shown} is no directory")),
        Ok(metadata) if metadata.uid() != rustix::process::geteuid().as_raw() => {
            Check::fail(what, format!("{shown} belongs to user {}", metadata.uid()))
                .hint("only a directory of your own is used; CREWCALL_STATE_DIR and its like name another")
        }
        Ok(metadata) if metadata.mode() & 0o022 != 0 => {
            let mode = metadata.mode() & 0o777;
            Check::fail(what, format!("{shown} can be written to by others (mode {mode:o})"))
                .hint(format!("chmod go-w {shown}"))
        }
        Ok(_) => room(what, path, &shown.to_string()),
    }
}

/// What has to exist for a directory to be made is looked at instead of it.
fn to_be_made(what: &'static str, path: &Path) -> Check {
    let Some(ancestor) = path.ancestors().skip(1).find(|ancestor| ancestor.exists()) else {
        return Check::fail(what, format!("{} cannot be made", path.display()));
    };
    if rustix::fs::access(ancestor, rustix::fs::Access::WRITE_OK).is_err() {
        let message =
            format!("{} does not exist, and {} cannot be written to", path.display(), ancestor.display());
        return Check::fail(what, message);
    }
    room(what, ancestor, &format!("{} (will be made)", path.display()))
}

fn room(what: &'static str, path: &Path, shown: &str) -> Check {
    let Ok(space) = rustix::fs::statvfs(path) else {
        return Check::warn(what, format!("{shown}: cannot see how much room there is"));
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let tenths = free.saturating_mul(10) / GIB;
    let message = format!("{shown}, {}.{} GiB free", tenths / 10, tenths % 10);
    if free < LITTLE && what != "sockets" {
        Check::warn(what, message).hint("make room; what cannot be written down is not begun")
    } else {
        Check::ok(what, message)
    }
}

/// The records, all of which can be used.
pub fn records(count: usize) -> Check {
    Check::ok("records", count_of(u64::try_from(count).unwrap_or(u64::MAX), "cluster"))
}

/// The caller's Python and its Dask.
pub fn software(what: &'static str, path: &Path, versions: &SoftwareVersions) -> Check {
    let python = versions.get("python").unwrap_or("of unknown version");
    let shown = format!("{} ({python})", path.display());
    match (versions.get("dask"), versions.get("distributed")) {
        (Some(dask), Some(distributed)) => {
            Check::ok(what, format!("{shown}, dask {dask}, distributed {distributed}"))
        }
        (None, _) | (_, None) => Check::warn(what, format!("{shown} has no Dask"))
            .hint("`python -m pip install 'dask[distributed]' bokeh`, or say `environment` in the document"),
    }
}

/// uv installs packages faster than pip.
pub fn uv(environment: &CallerEnvironment, directory: &Path) -> Check {
    let path = environment.0.get("PATH").map_or(Cow::Borrowed(""), |path| Cow::Borrowed(path.as_str()));
    let candidates = path.split(':').map(|entry| directory.join(entry).join("uv"));
    let found: Option<PathBuf> = candidates.into_iter().find(|candidate| candidate.is_file());
    match found {
        Some(path) => Check::ok("uv", path.display().to_string()),
        None => Check::ok("uv", "not installed; packages are installed with pip, which takes longer"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_that_others_can_write_to_fails_with_the_command_that_helps() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let check = directory("state", root.path());
        assert_eq!(check.finding, Finding::Fail);
        assert!(check.hint.unwrap().starts_with("chmod go-w /"));
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_ne!(directory("state", root.path()).finding, Finding::Fail);
    }

    #[test]
    fn one_record_is_one_cluster() {
        assert_eq!([0, 1, 2].map(|count| records(count).message), ["0 clusters", "1 cluster", "2 clusters"]);
    }

    #[test]
    fn a_directory_that_can_be_made_is_no_failure() {
        let root = tempfile::tempdir().unwrap();
        let check = directory("cache", &root.path().join("a/b"));
        assert_ne!(check.finding, Finding::Fail);
        assert!(check.message.contains("will be made"), "{check:?}");
    }

    #[test]
    fn a_clock_before_this_program_was_written_is_wrong() {
        assert_eq!(clock(Timestamp::from_second(WRITTEN - 1).unwrap()).finding, Finding::Fail);
        assert_eq!(clock(Timestamp::from_second(WRITTEN).unwrap()).finding, Finding::Ok);
    }

    #[test]
    fn python_without_dask_is_a_warning_with_a_way_out() {
        let python = [("python".to_owned(), Some("3.12.1".to_owned())), ("dask".to_owned(), None)];
        let check = software("python", Path::new("/p"), &SoftwareVersions(python.into()));
        assert_eq!((check.finding, check.message.as_str()), (Finding::Warn, "/p (3.12.1) has no Dask"));
    }
}
