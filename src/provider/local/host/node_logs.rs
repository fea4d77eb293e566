//! The host's part in nodes' logs: their last lines, and that they do not grow without end.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use super::super::paths::rotated_log;

/// A log that has become longer is moved aside; so much of its past is kept twice at most.
const LONGEST_LOG: u64 = 10 << 20;

/// How far back the last lines are looked for.
const TAIL_BYTES: u64 = 64 << 10;

/// The last lines of a log; none if it cannot be read.
pub fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(count)).map(|line| (*line).to_owned()).collect()
}

/// Moves the content of a log that has become too long to its `.1`, over what was there. Its writer
/// goes on at the new beginning, because it only ever appends.
pub fn rotate(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > LONGEST_LOG => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    fs::copy(path, rotated_log(path))?;
    OpenOptions::new().write(true).open(path)?.set_len(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_lines_of_a_log_are_whole_lines() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for line in 0..5000 {
            writeln!(file, "{line:0100}").unwrap();
        }
        let lines = last_lines(file.path(), 3);
        assert_eq!(lines, [4997, 4998, 4999].map(|line| format!("{line:0100}")));
        assert!(last_lines(Path::new("/nowhere"), 3).is_empty());
    }

    #[test]
    fn a_long_log_is_moved_aside_and_its_writer_goes_on_from_the_beginning() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("n.log");
        let mut writer = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        writer.write_all(&vec![b'x'; usize::try_from(LONGEST_LOG).unwrap()]).unwrap();
        rotate(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), LONGEST_LOG);
        writer.write_all(b"y").unwrap();
        rotate(&path).unwrap();
        writer.write_all(b"z").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"z");
        assert_eq!(fs::metadata(rotated_log(&path)).unwrap().len(), LONGEST_LOG + 1);
    }
}
