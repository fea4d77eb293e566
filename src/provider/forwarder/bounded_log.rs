//! A log that never grows beyond a bound.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Appends to a file. One that would grow beyond the bound becomes `<name>.1` first, in place of the one before.
pub struct BoundedLog {
    path: PathBuf,
    limit: u64,
    open: Mutex<Option<Open>>,
}

struct Open {
    file: File,
    length: u64,
}

impl BoundedLog {
    /// The log of a path, of at most `limit` bytes; it is made with the first line.
    pub fn new(path: PathBuf, limit: u64) -> Self {
        Self { path, limit, open: Mutex::new(None) }
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if open.as_ref().is_some_and(|open| open.length.saturating_add(count) > self.limit) {
            *open = None;
            fs::rename(&self.path, self.path.with_added_extension("1"))?;
        }
        let open = match &mut *open {
            Some(open) => open,
            none => none.insert(Open::at(&self.path)?),
        };
        open.file.write_all(bytes)?;
        open.length = open.length.saturating_add(count);
        Ok(())
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }
}

impl Write for &BoundedLog {
    /// Takes each piece as a whole, so that no line is torn apart.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_never_grows_beyond_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "x".repeat(90)).unwrap();
        let log = BoundedLog::new(path.clone(), 100);
        for number in 10..60 {
            writeln!(&log, "line {number}").unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() <= 100);
        let kept = fs::read_to_string(path.with_added_extension("1")).unwrap();
        assert!(kept.len() <= 100 && kept.ends_with('\n'), "{kept}");
        assert!(fs::read_to_string(&path).unwrap().ends_with("line 59\n"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
