//! Histories of clusters that are no more: whoever finds nothing can read why.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{events, files};
use crate::{model::Event, spec::ClusterName};

/// How many are kept, the newest of each name.
const KEPT: usize = 100;

/// The histories below one state directory.
#[derive(Debug)]
pub struct Past {
    directory: PathBuf,
}

impl Past {
    /// Those below `state`; nothing need be there.
    pub fn of(state: &Path) -> Self {
        Self { directory: state.join("past") }
    }

    /// The newest events of the last cluster of that name that has ended, oldest first, at most `limit`.
    /// None where nothing is known of one.
    ///
    /// # Errors
    /// The history is there and cannot be read.
    pub fn events(&self, cluster: &ClusterName, limit: usize) -> io::Result<Vec<Event>> {
        events::read(&self.path(cluster), limit)
    }

    /// Takes the history of a cluster that ends over, in the place of an earlier one's.
    pub(super) fn keep(&self, cluster: &ClusterName, history: &Path) -> io::Result<()> {
        files::make_directory(&self.directory)?;
        if files::found(fs::rename(history, self.path(cluster)))?.is_some() {
            self.trim()?;
        }
        Ok(())
    }

    fn trim(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            kept.push((entry.metadata()?.modified()?, entry.path()));
        }
        kept.sort();
        let surplus = kept.len().saturating_sub(KEPT);
        kept.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }

    fn path(&self, cluster: &ClusterName) -> PathBuf {
        self.directory.join(format!("{cluster}.jsonl"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventKind, Severity};

    #[test]
    fn the_newest_histories_are_kept_and_only_so_many() {
        let folder = tempfile::tempdir().unwrap();
        let past = Past::of(folder.path());
        let name = |n: usize| format!("c{n}").parse::<ClusterName>().unwrap();
        assert_eq!(past.events(&name(0), 9).unwrap(), []);
        for n in 0..KEPT + 2 {
            let history = folder.path().join("events.jsonl");
            let event = Event {
                at: jiff::Timestamp::UNIX_EPOCH,
                severity: Severity::Normal,
                kind: EventKind::Deleting,
                node: None,
                message: n.to_string(),
            };
            events::append(&history, &[event]).unwrap();
            past.keep(&name(n), &history).unwrap();
            assert!(!history.exists());
        }
        assert_eq!(fs::read_dir(folder.path().join("past")).unwrap().count(), KEPT);
        assert_eq!(past.events(&name(KEPT + 1), 9).unwrap().len(), 1);
        past.keep(&name(7), Path::new("/nonexistent")).unwrap();
    }
}
