//! The Python scripts that the binary carries, as files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{fingerprint::fingerprint, os};
use crate::engine::dask::python::{FORK_SERVER, SCRIPTS};

/// Writes the scripts below `cache`, unless they are there, and returns the path of the fork server.
/// Each version has a directory of its own: hosts of the release before may still start theirs.
pub fn fork_server(cache: &Path) -> io::Result<PathBuf> {
    let version = fingerprint(SCRIPTS.into_iter().flat_map(|(name, content)| [name, content]));
    let all = cache.join("python");
    let directory = all.join(version);
    for directory in [cache, &all, &directory] {
        os::own_directory(directory)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", directory.display())))?;
    }
    for (name, content) in SCRIPTS {
        let path = directory.join(name);
        if fs::read(&path).is_ok_and(|found| found == content.as_bytes()) {
            continue;
        }
        os::write_durably(&path, content.as_bytes())?;
    }
    Ok(directory.join(FORK_SERVER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_not_run_from_where_others_may_write() {
        use std::os::unix::fs::PermissionsExt as _;

        let cache = tempfile::tempdir().unwrap();
        let directory = fork_server(cache.path()).unwrap().parent().unwrap().to_owned();
        let levels = [cache.path(), directory.parent().unwrap(), &directory];
        for level in levels {
            fs::set_permissions(level, fs::Permissions::from_mode(0o777)).unwrap();
            let error = fork_server(cache.path()).unwrap_err();
            assert!(error.to_string().contains("others may write to it"), "{error}");
            fs::set_permissions(level, fs::Permissions::from_mode(0o700)).unwrap();
        }
        fork_server(cache.path()).unwrap();
    }

    #[test]
    fn a_damaged_script_is_written_anew() {
        let cache = tempfile::tempdir().unwrap();
        let path = fork_server(cache.path()).unwrap();
        fs::write(&path, "cut").unwrap();
        assert_eq!(fork_server(cache.path()).unwrap(), path);
        assert_eq!(fs::read_to_string(&path).unwrap(), SCRIPTS[0].1);
    }
}
