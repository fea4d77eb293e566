//! The controller's socket in the file system.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use super::LocationError;

/// A socket under its name. Dropping it removes the name, if that is still this socket's.
#[derive(Debug)]
pub struct BoundSocket {
    path: PathBuf,
    inode: (u64, u64),
}

/// Listens under `path`, for its owner only, in place of whatever socket had that name.
///
/// The name appears when everything is ready: whoever finds it can connect.
pub fn bind(path: &Path) -> Result<(UnixListener, BoundSocket), LocationError> {
    let failed = |doing| LocationError::io(doing, path);
    // Shorter than the final name; the number of this process makes it nobody else's.
    let draft = path.with_file_name(format!(".c{}", std::process::id()));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("listen at")(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&draft).map_err(failed("listen at"))?;
    listener.set_nonblocking(true).map_err(failed("listen at"))?;
    let named = fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))
        .and_then(|()| inode(&draft))
        .and_then(|inode| fs::rename(&draft, path).map(|()| inode));
    let inode = named.map_err(|error| {
        drop(fs::remove_file(&draft));
        failed("listen at")(error)
    })?;
    Ok((listener, BoundSocket { path: path.to_owned(), inode }))
}

impl BoundSocket {
    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|found| found == self.inode) {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_replaces_a_stale_one_and_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).is_err());
        let (_listener, socket) = bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_end_of_a_socket_leaves_its_successor_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.sock");
        let (_first_listener, first) = bind(&path).unwrap();
        let (_second_listener, _second) = bind(&path).unwrap();
        drop(first);
        assert!(UnixStream::connect(&path).is_ok());
    }
}
