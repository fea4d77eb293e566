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
    let directory = cache.join("python").join(version);
    os::private_directory(&directory)?;
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
    fn a_damaged_script_is_written_anew() {
        let cache = tempfile::tempdir().unwrap();
        let path = fork_server(cache.path()).unwrap();
        fs::write(&path, "cut").unwrap();
        assert_eq!(fork_server(cache.path()).unwrap(), path);
        assert_eq!(fs::read_to_string(&path).unwrap(), SCRIPTS[0].1);
    }
}
