//! A cluster's history: one event per line, the newest last.
//!
//! Lines are added without waiting for the disk: the history explains, and nothing is decided by
//! it. A line that a crash has torn, or that a newer version wrote, is skipped.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::files;
use crate::model::Event;

/// A history is cut when it has more bytes than this.
pub(super) const MAX_BYTES: u64 = 2 << 20;

/// Most events that are left of a history that was cut.
const KEPT_EVENTS: usize = 1000;

/// Most bytes that are left, so that long messages do not have it cut again at once.
const KEPT_BYTES: usize = 1 << 20;

/// Most bytes that are read, from the end.
const READ_BYTES: u64 = 4 * MAX_BYTES;

/// Adds events: all of them, or none when the medium is full.
pub(super) fn append(path: &Path, events: &[Event]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
    let before = file.metadata()?.len();
    let mut lines = Vec::new();
    if is_torn(&mut file, before)? {
        lines.push(b'\n');
    }
    for event in events {
        serde_json::to_writer(&mut lines, event)?;
        lines.push(b'\n');
    }
    file.write_all(&lines).inspect_err(|_| {
        // Should this fail too, the torn line is skipped by whoever reads.
        drop(file.set_len(before));
    })
}

/// Cuts a history that has become long.
pub(super) fn trim(path: &Path) -> io::Result<()> {
    if path.metadata()?.len() <= MAX_BYTES {
        return Ok(());
    }
    files::write_whole(path, newest_lines(&tail(path)?))
}

/// The newest events, oldest first, at most `limit`.
pub(super) fn read(path: &Path, limit: usize) -> io::Result<Vec<Event>> {
    Ok(files::found(tail(path))?.map(|text| newest(&text, limit)).unwrap_or_default())
}

fn is_torn(file: &mut File, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(READ_BYTES)))?;
    let mut text = Vec::new();
    file.take(READ_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

fn newest(text: &[u8], limit: usize) -> Vec<Event> {
    let lines = text.split(|byte| *byte == b'\n').rev();
    let mut events: Vec<Event> =
        lines.filter_map(|line| serde_json::from_slice(line).ok()).take(limit).collect();
    events.reverse();
    events
}

/// The end of `text` that stays: whole lines, as they are, so that a newer version's are not lost.
fn newest_lines(text: &[u8]) -> &[u8] {
    let mut kept = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n').rev().take(KEPT_EVENTS) {
        // The newest event stays, however long it is.
        if kept > 0 && kept + line.len() > KEPT_BYTES {
            break;
        }
        kept += line.len();
    }
    text.get(text.len() - kept..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventKind, Severity};

    fn event(message: impl Into<String>) -> Event {
        Event {
            at: jiff::Timestamp::UNIX_EPOCH,
            severity: Severity::Normal,
            kind: EventKind::Scaled,
            node: None,
            message: message.into(),
        }
    }

    fn messages(path: &Path, limit: usize) -> Vec<String> {
        read(path, limit).unwrap().into_iter().map(|event| event.message).collect()
    }

    #[test]
    fn the_newest_events_are_given_oldest_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        assert!(messages(&path, 10).is_empty());
        append(&path, &[event("a"), event("b")]).unwrap();
        append(&path, &[event("c")]).unwrap();
        assert_eq!(messages(&path, 10), ["a", "b", "c"]);
        assert_eq!(messages(&path, 2), ["b", "c"]);
        assert!(messages(&path, 0).is_empty());
    }

    #[test]
    fn a_torn_line_is_skipped_and_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        append(&path, &[event("a"), event("b")]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for torn in whole.len() / 2 + 1..whole.len() - 1 {
            std::fs::write(&path, &whole[..torn]).unwrap();
            assert_eq!(messages(&path, 10), ["a"], "torn at {torn}");
            append(&path, &[event("c")]).unwrap();
            assert_eq!(messages(&path, 10), ["a", "c"], "torn at {torn}");
        }
    }

    #[test]
    fn a_long_history_is_cut_to_its_newest_events() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let batch: Vec<Event> = (0..30_000).map(|n| event(n.to_string())).collect();
        append(&path, &batch).unwrap();
        trim(&path).unwrap();
        let left = messages(&path, usize::MAX);
        assert_eq!(left.len(), 1000);
        assert_eq!(left.last().unwrap(), "29999");
        let length = path.metadata().unwrap().len();
        trim(&path).unwrap();
        assert_eq!(path.metadata().unwrap().len(), length, "a short history is left alone");
    }

    #[test]
    fn long_messages_leave_fewer_events_and_never_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let long = "x".repeat(300 << 10);
        for n in 0..8 {
            append(&path, &[event(format!("{n}{long}"))]).unwrap();
            trim(&path).unwrap();
        }
        assert!(path.metadata().unwrap().len() <= MAX_BYTES);
        assert!(messages(&path, 10).last().unwrap().starts_with('7'));
        append(&path, &[event("y".repeat(3 << 20))]).unwrap();
        trim(&path).unwrap();
        assert_eq!(messages(&path, 10).len(), 1);
    }
}
