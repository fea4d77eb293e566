//! Files that are whole or not there: the blocking calls that all others here are made of.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::store::StoreError;

/// How the names of files begin that are still being written.
const TEMPORARY: &str = ".tmp-";

/// Names what was tried, and where.
pub(super) fn io_error(
    doing: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.into();
    move |error| StoreError::Io { doing, path, cause: error.to_string() }
}

/// Writes a file that only its owner may read, durably, and as a whole or not at all.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Opened and written by hand: the errors of `tempfile` name the temporary file.
    let open = |path: &Path| File::options().create_new(true).write(true).mode(0o600).open(path);
    let file = tempfile::Builder::new().prefix(TEMPORARY).make_in(folder, open)?;
    file.as_file().write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_directory(folder)
}

/// The content of a file of at most `limit` bytes; `None` when there is none.
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = found(File::open(path))? else { return Ok(None) };
    let mut content = Vec::new();
    // One byte more tells a file of just that size from a larger one.
    file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    if u64::try_from(content.len()).is_ok_and(|length| length <= limit) {
        Ok(Some(content))
    } else {
        Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {limit} bytes")))
    }
}

/// Makes what became of a directory's entries durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes a directory for its owner only, not yet durably.
pub(super) fn new_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Makes a directory for its owner only, unless it is there, and those above it; durably.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    match new_directory(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let Some(parent) = path.parent() else { return Err(error) };
            make_directory(parent)?;
            new_directory(path)?;
        }
        made => made?,
    }
    path.parent().map_or(Ok(()), sync_directory)
}

/// Makes an empty file for its owner only, unless there is one.
pub(super) fn make_empty(path: &Path) -> io::Result<()> {
    match File::options().create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Deletes a directory and all that is in it. Nothing to delete is a success.
pub(super) fn remove_directory(path: &Path) -> io::Result<()> {
    found(fs::remove_dir_all(path)).map(drop)
}

/// Deletes the files in a directory that a crash has left half written.
pub(super) fn remove_temporaries(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            found(fs::remove_file(entry.path()))?;
        }
    }
    Ok(())
}

/// Turns "there is none" into `None`.
pub(super) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a directory, or makes sure that the one that is there is ours alone to write to.
pub(super) fn own_directory(path: &Path) -> Result<(), StoreError> {
    make_directory(path).map_err(io_error("create", path))?;
    let metadata = fs::metadata(path).map_err(io_error("read", path))?;
    let objection = if metadata.is_dir() {
        objection(metadata.uid(), metadata.mode(), rustix::process::geteuid().as_raw())
    } else {
        Some("it is no directory; choose another place for the state, or move it away".to_owned())
    };
    match objection {
        None => Ok(()),
        Some(cause) => Err(StoreError::Io { doing: "use", path: path.to_owned(), cause }),
    }
}

/// Why the user `me` should not keep state in a directory of this owner and mode.
fn objection(owner: u32, mode: u32, me: u32) -> Option<String> {
    let shown = mode & 0o7777;
    if owner != me {
        Some(format!(
            "it belongs to user id {owner} and this program runs as user id {me}; \
             choose a state directory of your own"
        ))
    } else if mode & 0o022 != 0 {
        Some(format!("others may write to it (mode {shown:04o}); forbid that with `chmod go-w`"))
    } else if mode & 0o700 != 0o700 {
        Some(format!("its owner may not use it (mode {shown:04o}); allow that with `chmod u+rwx`"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_of_ones_own_that_others_cannot_write_to_is_used() {
        assert_eq!(objection(1000, 0o040_700, 1000), None);
        assert_eq!(objection(1000, 0o040_755, 1000), None);
        assert!(objection(0, 0o040_700, 1000).unwrap().contains("belongs to user id 0"));
        assert!(objection(1000, 0o040_700, 0).unwrap().contains("runs as user id 0"));
        assert!(objection(1000, 0o040_770, 1000).unwrap().contains("(mode 0770); forbid"));
        assert!(objection(1000, 0o041_777, 1000).unwrap().contains("chmod go-w"));
        assert!(objection(1000, 0o040_500, 1000).unwrap().contains("chmod u+rwx"));
    }

    #[test]
    fn a_file_larger_than_its_limit_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(read(&path, 4).unwrap(), None);
        write_whole(&path, b"four").unwrap();
        assert_eq!(read(&path, 4).unwrap().unwrap(), b"four");
        assert_eq!(read(&path, 3).unwrap_err().to_string(), "it has more than 3 bytes");
    }

    #[test]
    fn an_error_names_the_file_and_not_its_temporary_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/file");
        let error = io_error("write", &path)(write_whole(&path, b"x").unwrap_err()).to_string();
        assert_eq!(error, format!("cannot write {}: No such file or directory (os error 2)", path.display()));
    }
}
