//! What the operating system is asked: process identities, signals, file locks.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::RawFd,
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
    path::Path,
    time::Duration,
};

use rustix::{
    fs::FlockOperation,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions},
};
use serde::{Deserialize, Serialize};

/// How often a lock is tried, and the pause after each try but the last.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(3);

/// A process for as long as the machine is up: a pid alone may be another's by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessId {
    /// The pid.
    pub pid: i32,
    /// Clock ticks from boot to the process's start (field 22 of `/proc/<pid>/stat`).
    pub start_time: u64,
}

impl ProcessId {
    /// The process that has this pid now; `None` when there is none.
    pub fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, start_time: stat(pid)?.start_time })
    }

    /// This process.
    pub fn own() -> io::Result<Self> {
        let pid = rustix::process::getpid().as_raw_pid();
        Self::of(pid).ok_or_else(|| io::Error::other("/proc shows nothing of this process"))
    }

    /// Whether it exists and is more than a zombie.
    pub fn is_running(self) -> bool {
        stat(self.pid)
            .is_some_and(|stat| stat.start_time == self.start_time && !matches!(stat.state, 'Z' | 'X'))
    }

    /// Sends a signal to the process, never to a later owner of its pid. Returns whether it was there.
    pub fn signal(self, signal: Signal) -> io::Result<bool> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(false) };
        // The pidfd comes first: what it names is checked after it can no longer change.
        let process = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(rustix::io::Errno::SRCH) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if !self.is_running() {
            return Ok(false);
        }
        match rustix::process::pidfd_send_signal(&process, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the process group that this process leads. For children that are not yet reaped, and
    /// whose id can therefore be nobody else's.
    pub fn kill_group(self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            // A group that is gone is what was wanted.
            let _gone = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}

/// What `/proc/<pid>/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: i32,
    start_time: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Memory that a process has in RAM, in bytes; pages that it shares with others count for each.
pub fn resident_bytes(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(u64::try_from(rustix::param::page_size()).ok()?))
}

/// The command name, in parentheses, may contain anything; what follows it does not.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let start_time = fields.nth(17)?.parse().ok()?;
    Some(Stat { state, parent, start_time })
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal.
    pub signal: Option<i32>,
}

/// Whether a child of this process has ended and was not yet reaped.
pub fn has_ended(child: ProcessId) -> bool {
    let Some(pid) = Pid::from_raw(child.pid) else { return false };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(rustix::process::waitid(WaitId::Pid(pid), options), Ok(Some(_)))
}

/// What there is to reap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    /// A child, now gone.
    Child(i32, ExitStatus),
    /// Nothing; all children run.
    Nothing,
    /// Nothing; there is no child.
    NoChildren,
}

/// Reaps one child, if one has ended.
pub fn reap() -> Reaped {
    match rustix::process::wait(WaitOptions::NOHANG) {
        Ok(Some((pid, status))) => Reaped::Child(
            pid.as_raw_pid(),
            ExitStatus { code: status.exit_status(), signal: status.terminating_signal() },
        ),
        Err(rustix::io::Errno::CHILD) => Reaped::NoChildren,
        Ok(None) | Err(_) => Reaped::Nothing,
    }
}

/// All processes whose parent this process is.
pub fn children() -> Vec<ProcessId> {
    let own = rustix::process::getpid().as_raw_pid();
    let child = |pid: i32| {
        let stat = stat(pid)?;
        (stat.parent == own).then_some(ProcessId { pid, start_time: stat.start_time })
    };
    all_pids().filter_map(child).collect()
}

fn all_pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Closes all files that this process was started with but standard input, output and error: a process
/// that outlives its caller must keep none of the caller's locks and pipes.
///
/// To be called before anything in this process opens a file or starts a thread.
pub fn close_inherited() -> io::Result<()> {
    let numbers = fs::read_dir("/proc/self/fd")?.flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    let numbers: Vec<RawFd> = numbers.filter(|number| *number > 2).collect();
    for number in numbers {
        // That of the directory itself is closed already.
        if fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_err() {
            continue;
        }
        #[expect(unsafe_code, reason = "a file that was inherited has no owner in this process to drop")]
        // SAFETY: nothing in this process has opened a file yet, so nothing in it owns this one.
        unsafe {
            rustix::io::close(number);
        }
    }
    Ok(())
}

/// Makes a directory, and its parents, that only its owner can enter.
pub fn private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a directory from which programs are run, and its parents; one that is there must be this user's,
/// and nobody else's to write to.
pub fn own_directory(path: &Path) -> io::Result<()> {
    private_directory(path)?;
    let metadata = fs::metadata(path)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may write to it"));
    }
    Ok(())
}

/// Whether a directory is this user's, and no link to somebody else's.
pub fn check_private(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a directory"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may enter it"));
    }
    Ok(())
}

/// Tries to lock a file for as long as the returned handle lives; `None` when somebody has it.
///
/// Whoever holds the lock may remove the file: a handle is only returned when the path still leads to
/// the file that was locked.
pub fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let mut tries = 0;
    loop {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            // It may be somebody in `is_locked`, who has it for no longer than that call.
            Err(rustix::io::Errno::WOULDBLOCK) if tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
                continue;
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        if leads_to(path, &file)? {
            return Ok(Some(file));
        }
    }
}

/// Whether a path still leads to an open file. It does not once that was removed, also if there is another by now.
pub fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(now) => Ok(now.ino() == open.ino() && now.dev() == open.dev()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether somebody holds the lock of this file. A file that is not there is not locked.
pub fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Writes a file so that a crash leaves the old content or the new, readable by its owner only.
pub fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write as _;

    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// Removes a file or a directory with all that is in it; one that is not there is fine.
pub fn remove_all(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Has the kernel end a program when the thread that starts it ends, or its process however that ends.
///
/// For threads that live as long as their process, as a runtime's workers do.
#[expect(unsafe_code, reason = "what happens between fork and exec can only be said this way")]
pub fn end_with_starter(command: &mut tokio::process::Command) {
    let starter = rustix::process::getpid();
    let bind = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have ended before it was heeded.
        if rustix::process::getppid() == Some(starter) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
    };
    // SAFETY: the closure makes two system calls, and neither allocates nor locks.
    unsafe { command.pre_exec(bind) };
}

/// Processes of this user whose environment, as it was when they were started, has `name` set; with
/// that environment's other variables that begin with the same prefix as `name`, up to its first `_`.
pub fn marked_processes(name: &str) -> Vec<(ProcessId, Vec<(String, String)>)> {
    let prefix = name.split_inclusive('_').next().unwrap_or(name);
    let mut found = Vec::new();
    for pid in all_pids() {
        let Some(process) = ProcessId::of(pid) else { continue };
        // Other people's cannot be read, and are none of ours.
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        let marks = marks(&environment, prefix);
        if marks.iter().any(|(key, _)| key == name) && process.is_running() {
            found.push((process, marks));
        }
    }
    found
}

fn marks(environment: &[u8], prefix: &str) -> Vec<(String, String)> {
    environment
        .split(|byte| *byte == 0)
        .filter(|variable| variable.starts_with(prefix.as_bytes()))
        .filter_map(|variable| std::str::from_utf8(variable).ok()?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_does_not_move_the_start_time() {
        let text = "71 (a) R 9 (b) S 1 71 71 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4242 1 2 3";
        assert_eq!(parse_stat(text), Some(Stat { state: 'S', parent: 1, start_time: 4242 }));
        assert_eq!(parse_stat("71 (cut"), None);
    }

    #[test]
    fn a_later_owner_of_a_pid_is_not_signalled() {
        let own = ProcessId::own().unwrap();
        let earlier = ProcessId { start_time: own.start_time - 1, ..own };
        assert!(own.is_running());
        assert!(!earlier.is_running());
        assert!(!earlier.signal(Signal::KILL).unwrap());
    }

    #[test]
    fn a_process_has_memory_while_it_exists() {
        let own = ProcessId::own().unwrap();
        assert!(resident_bytes(own.pid).unwrap() > 1 << 20);
        assert_eq!(resident_bytes(-1), None);
    }

    #[test]
    fn a_lock_is_held_until_its_handle_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        assert!(!is_locked(&path).unwrap());
        let held = try_lock(&path).unwrap().unwrap();
        assert!(is_locked(&path).unwrap());
        assert!(try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(!is_locked(&path).unwrap());
        assert!(try_lock(&path).unwrap().is_some());
    }

    #[test]
    fn marks_are_read_from_an_environment() {
        let environment = b"PATH=/bin\0CREWCALL_HOST=ab\0CREWCALL_STATE=/s\0CREWX=1\0";
        let expected = [("CREWCALL_HOST", "ab"), ("CREWCALL_STATE", "/s")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(marks(environment, "CREWCALL_"), expected);
    }
}
