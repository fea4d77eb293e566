//! A log file whose end moves.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

/// What is written to a log file, also when it is put aside and another takes its place.
pub struct Tail {
    path: PathBuf,
    file: Option<File>,
}

impl Tail {
    /// Of that file, which may not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// What was written since the last call; at first all there is.
    pub fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut bytes)?;
            if !self.is_another()? {
                return Ok(bytes);
            }
        }
        match File::open(&self.path) {
            Ok(mut file) => {
                file.read_to_end(&mut bytes)?;
                self.file = Some(file);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(bytes)
    }

    /// Whether there is a file at the path, and another than the one that is read.
    fn is_another(&self) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(true) };
        let read = file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) != (read.dev(), read.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The last `count` lines of a text.
pub fn last_lines(text: &[u8], count: usize) -> &[u8] {
    let without_end = text.strip_suffix(b"\n").unwrap_or(text);
    let breaks = without_end.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    let start = match count.checked_sub(1) {
        None => text.len(),
        Some(before) => breaks.map(|(at, _)| at + 1).nth(before).unwrap_or(0),
    };
    text.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_log_is_followed_from_file_to_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut tail = Tail::new(path.clone());
        assert_eq!(tail.more().unwrap(), b"");
        let mut log = File::create(&path).unwrap();
        log.write_all(b"one\n").unwrap();
        assert_eq!(tail.more().unwrap(), b"one\n");
        assert_eq!(tail.more().unwrap(), b"");
        log.write_all(b"two\n").unwrap();
        fs::rename(&path, folder.path().join("log.1")).unwrap();
        assert_eq!(tail.more().unwrap(), b"two\n");
        log.write_all(b"late\n").unwrap();
        fs::write(&path, b"three\n").unwrap();
        assert_eq!(tail.more().unwrap(), b"late\nthree\n");
    }

    #[test]
    fn the_last_lines_are_counted_from_the_end() {
        assert_eq!(last_lines(b"a\nb\nc\n", 2), b"b\nc\n");
        assert_eq!(last_lines(b"a\nb", 1), b"b");
        assert_eq!(last_lines(b"a\nb\n", 9), b"a\nb\n");
        assert_eq!(last_lines(b"a\n", 0), b"");
        assert_eq!(last_lines(b"", 3), b"");
    }
}
