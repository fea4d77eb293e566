//! The directory for sockets: private, short, and not there for ever.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::LocationError;

/// Bytes of a socket's path, its terminating zero not counted: `sun_path` of unix(7) has 108.
const MAX_SOCKET_PATH: usize = 107;

/// The longest name of a socket that is made in the directory.
const LONGEST_NAME: usize = 32;

/// A place where the runtime directory may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Candidate {
    /// Named by a variable of ours: made if need be, with its parents.
    Asked(PathBuf),
    /// Below a directory that somebody else makes and removes, and that must be there.
    Session(PathBuf),
    /// Below a directory for temporary files, where others may write too; perhaps with a directory
    /// between the two, of ours as well.
    Private(PathBuf, Option<PathBuf>),
}

impl Candidate {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Asked(path)
            | Self::Session(path)
            | Self::Private(path, None)
            | Self::Private(_, Some(path)) => path,
        }
    }

    fn is_short_enough(&self) -> bool {
        self.path().as_os_str().len() + 1 + LONGEST_NAME <= MAX_SOCKET_PATH
    }
}

/// Where the directory may be, best first.
///
/// Those whose path is too long for a socket give way to a directory of the same controller, named
/// by `fingerprint`, in the private one.
pub(super) fn candidates(
    asked: Option<PathBuf>,
    session: Option<PathBuf>,
    temporary: impl Iterator<Item = PathBuf>,
    fingerprint: &str,
) -> Vec<Candidate> {
    let uid = rustix::process::geteuid().as_raw();
    let private: Vec<PathBuf> = temporary.map(|base| base.join(format!("crewcall-{uid}"))).collect();
    let plain = private.iter().map(|path| Candidate::Private(path.clone(), None));
    let named = match (asked, session) {
        (Some(path), _) => Some(Candidate::Asked(path)),
        (None, Some(base)) => Some(Candidate::Session(base.join("crewcall"))),
        (None, None) => None,
    };
    match named {
        // What was asked for is taken or fails: silently taking another place would hide a mistake.
        Some(asked @ Candidate::Asked(_)) if asked.is_short_enough() => vec![asked],
        Some(Candidate::Asked(_)) => private
            .iter()
            .map(|path| Candidate::Private(path.clone(), Some(path.join(fingerprint))))
            .filter(Candidate::is_short_enough)
            .collect(),
        named => named.into_iter().chain(plain).filter(Candidate::is_short_enough).collect(),
    }
}

/// The first that can be used, made if need be.
pub(super) fn first_usable(candidates: &[Candidate]) -> Result<PathBuf, LocationError> {
    let mut tried = Vec::new();
    for candidate in candidates {
        match make(candidate) {
            Ok(()) => return Ok(candidate.path().to_owned()),
            Err(problem) => tried.push(format!("{candidate}: {problem}")),
        }
    }
    if tried.is_empty() {
        tried.push(format!("all paths are longer than {} bytes", MAX_SOCKET_PATH - LONGEST_NAME - 1));
    }
    Err(LocationError::NoRuntime { tried })
}

/// The first that could be used, if nothing is wrong with it.
pub(super) fn likely(candidates: &[Candidate]) -> Option<&Path> {
    let there = |candidate: &&Candidate| match candidate {
        Candidate::Session(path) => path.parent().is_some_and(Path::is_dir),
        Candidate::Asked(_) | Candidate::Private(..) => true,
    };
    candidates.iter().find(there).map(Candidate::path)
}

fn make(candidate: &Candidate) -> Result<(), String> {
    match candidate {
        Candidate::Asked(path) => {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(|error| error.to_string())?;
            }
            make_own(path)
        }
        Candidate::Session(path) => make_own(path),
        Candidate::Private(path, inner) => {
            make_own(path)?;
            inner.as_deref().map_or(Ok(()), make_own)
        }
    }
}

/// Makes a directory that only its owner can enter; one that is there must be like that already.
fn make_own(path: &Path) -> Result<(), String> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.to_string()),
    }
    // Not followed: a link here is somebody else's trap.
    let found = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    let uid = rustix::process::geteuid().as_raw();
    if !found.is_dir() {
        return Err("it is not a directory".to_owned());
    }
    if found.uid() != uid {
        return Err(format!("it belongs to the user with id {}, not to you ({uid})", found.uid()));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("others may enter it (mode {mode:03o}; it must be 700)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private(base: &Path) -> PathBuf {
        base.join(format!("crewcall-{}", rustix::process::geteuid().as_raw()))
    }

    fn candidates_in(base: &Path, asked: Option<PathBuf>, session: Option<PathBuf>) -> Vec<Candidate> {
        candidates(asked, session, [base.to_owned()].into_iter(), "0123abcd")
    }

    #[test]
    fn a_session_directory_that_is_gone_gives_way_to_the_private_one() {
        let base = tempfile::tempdir().unwrap();
        let session = base.path().join("run");
        let places = candidates_in(base.path(), None, Some(session.clone()));
        assert_eq!(first_usable(&places).unwrap(), private(base.path()));
        fs::create_dir(&session).unwrap();
        assert_eq!(first_usable(&places).unwrap(), session.join("crewcall"));
        let mode = fs::metadata(session.join("crewcall")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_private_directory_that_others_may_enter_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let place = private(base.path());
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        let error = first_usable(&candidates_in(base.path(), None, None)).unwrap_err();
        assert!(error.to_string().contains("others may enter it (mode 755; it must be 700)"), "{error}");
    }

    #[test]
    fn a_link_in_place_of_the_private_directory_is_never_followed() {
        let base = tempfile::tempdir().unwrap();
        let target = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(target.path(), private(base.path())).unwrap();
        let error = first_usable(&candidates_in(base.path(), None, None)).unwrap_err();
        assert!(error.to_string().contains("it is not a directory"), "{error}");
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_private_directory_of_somebody_else_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let place = private(base.path());
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
        if std::os::unix::fs::chown(&place, Some(65_534), None).is_err() {
            eprintln!("SKIPPED: only root can make a directory of somebody else");
            return;
        }
        let error = first_usable(&candidates_in(base.path(), None, None)).unwrap_err();
        assert!(error.to_string().contains("it belongs to the user with id 65534"), "{error}");
    }

    #[test]
    fn a_path_too_long_for_a_socket_gives_way_to_a_short_one_of_the_same_controller() {
        let base = tempfile::tempdir().unwrap();
        let long = base.path().join("x".repeat(100));
        let places = candidates_in(base.path(), Some(long.clone()), None);
        let found = first_usable(&places).unwrap();
        assert_eq!(found, private(base.path()).join("0123abcd"));
        assert!(!long.exists());
    }

    #[test]
    fn a_directory_that_was_asked_for_is_taken_or_fails() {
        let base = tempfile::tempdir().unwrap();
        let asked = base.path().join("a/b");
        fs::write(base.path().join("a"), "").unwrap();
        let error = first_usable(&candidates_in(base.path(), Some(asked), None)).unwrap_err();
        assert!(matches!(error, LocationError::NoRuntime { tried } if tried.len() == 1));
    }
}
