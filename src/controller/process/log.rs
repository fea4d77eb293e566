//! The controller's log file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::LocationError;

/// A log larger than this, in bytes, is put aside when a controller starts.
pub const LOG_LIMIT: u64 = 5 << 20;

/// How much of the end of a log is looked at for its last lines.
const TAIL_BYTES: u64 = 16 << 10;

/// Opens a log for appending, for its owner only. One that has grown beyond `limit` bytes becomes
/// `<name>.1` first, in place of the one before.
pub fn open_log(path: &Path, limit: u64) -> Result<File, LocationError> {
    if fs::metadata(path).is_ok_and(|found| found.len() > limit) {
        let aside = path.with_added_extension("1");
        fs::rename(path, &aside).map_err(LocationError::io("rename", path))?;
    }
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.map_err(LocationError::io("open", path))
}

/// The last lines of a log, at most `count`, and only those behind byte `from`; none if it cannot
/// be read.
pub fn last_lines(path: &Path, from: u64, count: usize) -> Vec<String> {
    let text = tail(path, from).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.iter().skip(lines.len().saturating_sub(count)).map(|line| (*line).to_owned()).collect()
}

fn tail(path: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    // One that became shorter was put aside since.
    let from = if from > length { 0 } else { from };
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_large_log_is_put_aside_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("controller.log");
        open_log(&path, 4).unwrap().write_all(b"first line\n").unwrap();
        open_log(&path, 4).unwrap().write_all(b"2nd\n").unwrap();
        open_log(&path, 4).unwrap().write_all(b"3rd\n").unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("controller.log.1")).unwrap(), "first line\n");
        assert_eq!(last_lines(&path, 0, 5), ["2nd", "3rd"]);
        assert_eq!(last_lines(&path, 4, 5), ["3rd"]);
        assert_eq!(last_lines(&path, 0, 1), ["3rd"]);
        assert_eq!(last_lines(&path, 400, 1), ["3rd"]);
    }
}
