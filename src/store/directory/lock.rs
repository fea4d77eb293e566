//! Locks between processes: who may write now, and who is the controller.
//!
//! A lock is the kernel's, on an open file; it ends with the process that holds it, however that
//! ends, and is not handed to children. That a lock's file exists says nothing.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::files::{self, io_error};
use crate::{
    model::{BootId, MachineId},
    store::StoreError,
};

/// How often a lock that is taken is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// Most bytes of what a controller says about itself.
const MAX_INFO_BYTES: u64 = 64 << 10;

/// The right to be this machine's controller of one state directory, until it is dropped or the
/// process ends.
#[derive(Debug)]
pub struct ControllerLock {
    held: Held,
    places: Places,
}

/// What a controller says about itself to whoever wants to talk to it.
///
/// It is a hint: a controller that was killed leaves it behind. Process id, start time and boot
/// together name one process for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControllerInfo {
    /// Its process id.
    pub pid: u32,
    /// When it was started, in clock ticks since the boot (field 22 of `/proc/<pid>/stat`, see
    /// proc(5)).
    pub start_time: u64,
    /// The boot in which it runs.
    pub boot: BootId,
    /// Its version of Crewcall.
    pub version: String,
    /// The socket it listens on.
    pub socket: PathBuf,
}

/// A locked file.
#[derive(Debug)]
pub(super) struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // Closing would not do while a child that another thread has just forked has the file, too.
        drop(self.0.unlock());
    }
}

#[derive(Debug)]
struct Places {
    lock: PathBuf,
    info: PathBuf,
}

impl ControllerLock {
    /// Takes the lock; `None` when another process has it.
    ///
    /// Blocks for the time of a few calls to the file system. Makes the state directory if need
    /// be, and refuses one that others could write to. What the previous holder said about itself
    /// is forgotten.
    pub fn try_acquire(state: &Path, machine: &MachineId) -> Result<Option<Self>, StoreError> {
        let places = Places::of(state, machine)?;
        files::own_directory(state)?;
        let Some(held) = try_lock(&places.lock)? else { return Ok(None) };
        files::found(fs::remove_file(&places.info)).map_err(io_error("remove", &places.info))?;
        Ok(Some(Self { held, places }))
    }

    /// Tells others who the controller is, all of it at once.
    pub fn publish(&self, info: &ControllerInfo) -> Result<(), StoreError> {
        let path = &self.places.info;
        let written = serde_json::to_vec(info).map_err(io::Error::from);
        written.and_then(|text| files::write_whole(path, &text)).map_err(io_error("write", path))
    }

    /// What the newest holder of the lock has published; `None` when it has not, or not in a form
    /// that this version reads.
    pub fn read_info(state: &Path, machine: &MachineId) -> Option<ControllerInfo> {
        let places = Places::of(state, machine).ok()?;
        let text = files::read(&places.info, MAX_INFO_BYTES).ok()??;
        serde_json::from_slice(&text).ok()
    }

    /// Whether the lock still keeps others out: `false` once its file was deleted or replaced,
    /// and another controller could start.
    pub fn is_effective(&self) -> bool {
        is_at(&self.held, &self.places.lock).unwrap_or(false)
    }
}

impl Drop for ControllerLock {
    fn drop(&mut self) {
        // Still under the lock, unless that was lost: then the file may be a successor's.
        if self.is_effective() {
            drop(fs::remove_file(&self.places.info));
        }
    }
}

impl Places {
    fn of(state: &Path, machine: &MachineId) -> Result<Self, StoreError> {
        let id = machine.as_str();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if id.is_empty() || id.len() > 128 || !id.bytes().all(fits) {
            return Err(StoreError::Io {
                doing: "keep a controller's lock in",
                path: state.to_owned(),
                cause: format!("the machine id `{}` cannot be part of a file's name", id.escape_default()),
            });
        }
        let place = |ending: &str| state.join(format!("controller-{id}.{ending}"));
        Ok(Self { lock: place("lock"), info: place("json") })
    }
}

/// Takes the lock at `path`, waiting at most `patience` for whoever has it.
pub(super) fn lock_within(path: &Path, patience: Duration) -> Result<Held, StoreError> {
    let begun = Instant::now();
    loop {
        if let Some(held) = try_lock(path)? {
            return Ok(held);
        }
        if begun.elapsed() >= patience {
            return Err(StoreError::Io {
                doing: "lock",
                path: path.to_owned(),
                cause: format!(
                    "another crewcall has been writing there for {} s; `fuser {}` names its process",
                    patience.as_secs(),
                    path.display()
                ),
            });
        }
        thread::sleep(RETRY);
    }
}

/// Takes the lock at `path`; `None` when it is taken.
pub(super) fn try_lock(path: &Path) -> Result<Option<Held>, StoreError> {
    // Somebody who deletes the file between our opening and locking it makes the lock worthless.
    for _ in 0..8 {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(io_error("open", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(io_error("lock", path)(error)),
        }
        let held = Held(file);
        if is_at(&held, path).map_err(io_error("read", path))? {
            return Ok(Some(held));
        }
    }
    let cause = "it is replaced again and again by another program".to_owned();
    Err(StoreError::Io { doing: "lock", path: path.to_owned(), cause })
}

fn is_at(held: &Held, path: &Path) -> io::Result<bool> {
    let ours = held.0.metadata()?;
    Ok(files::found(fs::metadata(path))?.is_some_and(|it| (it.dev(), it.ino()) == (ours.dev(), ours.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> ControllerInfo {
        ControllerInfo {
            pid: 7,
            start_time: 8,
            boot: BootId::new("b"),
            version: "0.1.0".to_owned(),
            socket: "/run/s".into(),
        }
    }

    #[test]
    fn one_machine_has_one_controller_at_a_time() {
        let state = tempfile::tempdir().unwrap();
        let (here, there) = (MachineId::new("here"), MachineId::new("there"));
        let lock = ControllerLock::try_acquire(state.path(), &here).unwrap().unwrap();
        assert!(ControllerLock::try_acquire(state.path(), &here).unwrap().is_none());
        assert!(ControllerLock::try_acquire(state.path(), &there).unwrap().is_some());
        drop(lock);
        assert!(ControllerLock::try_acquire(state.path(), &here).unwrap().is_some());
    }

    #[test]
    fn what_a_controller_publishes_is_read_until_it_ends() {
        let state = tempfile::tempdir().unwrap();
        let machine = MachineId::new("m");
        assert_eq!(ControllerLock::read_info(state.path(), &machine), None);
        let lock = ControllerLock::try_acquire(state.path(), &machine).unwrap().unwrap();
        assert_eq!(ControllerLock::read_info(state.path(), &machine), None);
        lock.publish(&info()).unwrap();
        assert_eq!(ControllerLock::read_info(state.path(), &machine), Some(info()));
        drop(lock);
        assert_eq!(ControllerLock::read_info(state.path(), &machine), None);
    }

    #[test]
    fn what_a_killed_controller_published_is_forgotten_by_the_next() {
        let state = tempfile::tempdir().unwrap();
        let machine = MachineId::new("m");
        std::fs::write(state.path().join("controller-m.json"), serde_json::to_vec(&info()).unwrap()).unwrap();
        assert_eq!(ControllerLock::read_info(state.path(), &machine), Some(info()));
        let _lock = ControllerLock::try_acquire(state.path(), &machine).unwrap().unwrap();
        assert_eq!(ControllerLock::read_info(state.path(), &machine), None);
    }

    #[test]
    fn a_controller_notices_that_its_lock_was_deleted_and_leaves_its_successor_alone() {
        let state = tempfile::tempdir().unwrap();
        let machine = MachineId::new("m");
        let first = ControllerLock::try_acquire(state.path(), &machine).unwrap().unwrap();
        assert!(first.is_effective());
        std::fs::remove_file(state.path().join("controller-m.lock")).unwrap();
        assert!(!first.is_effective());
        let second = ControllerLock::try_acquire(state.path(), &machine).unwrap().unwrap();
        second.publish(&info()).unwrap();
        drop(first);
        assert_eq!(ControllerLock::read_info(state.path(), &machine), Some(info()));
    }

    #[test]
    fn a_machine_id_that_would_lead_elsewhere_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let error = ControllerLock::try_acquire(state.path(), &MachineId::new("../m")).unwrap_err();
        assert!(
            error.to_string().contains("the machine id `../m` cannot be part of a file's name"),
            "{error}"
        );
    }

    #[test]
    fn whoever_waits_for_a_lock_in_vain_is_told_what_for() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("store.lock");
        let held = try_lock(&path).unwrap().unwrap();
        let error = lock_within(&path, Duration::ZERO).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot lock {}: another crewcall has", path.display())),
            "{error}"
        );
        drop(held);
        assert!(lock_within(&path, Duration::ZERO).is_ok());
    }

    #[test]
    fn a_lock_ends_though_a_child_that_was_just_forked_has_its_file() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("store.lock");
        let held = try_lock(&path).unwrap().unwrap();
        let _forked = held.0.try_clone().unwrap();
        drop(held);
        assert!(try_lock(&path).unwrap().is_some());
    }
}
