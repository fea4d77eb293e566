//! Which machine this is, which of its boots, and which of its processes.

use std::{fs, io, io::Write as _, os::unix::fs::DirBuilderExt, path::Path};

use rustix::process::{Pid, Signal};

use super::LocationError;
use crate::model::{BootId, MachineId};

const MACHINE_ID: &str = "/etc/machine-id";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The id of this machine: that of its operating system, else one of our own kept in the state
/// directory `state`, which is made if need be.
pub fn machine_id(state: &Path) -> Result<MachineId, LocationError> {
    if let Some(known) = existing_machine_id(state) {
        return Ok(known);
    }
    let own = own_id(state);
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(state);
    made.map_err(LocationError::io("create", state))?;
    let mut draft = tempfile::NamedTempFile::new_in(state).map_err(LocationError::io("write", &own))?;
    let written =
        writeln!(draft, "{}", uuid::Uuid::new_v4().simple()).and_then(|()| draft.as_file().sync_all());
    written.map_err(LocationError::io("write", &own))?;
    match draft.persist_noclobber(&own) {
        Ok(_) => {}
        // Somebody was faster; theirs counts.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(LocationError::io("write", &own)(error.error)),
    }
    let text = fs::read_to_string(&own).map_err(LocationError::io("read", &own))?;
    valid_id(&text).ok_or_else(|| LocationError::Io {
        doing: "read",
        path: own,
        cause: "it holds no machine id".to_owned(),
    })
}

/// The id of this machine, if it has one already.
pub fn existing_machine_id(state: &Path) -> Option<MachineId> {
    [Path::new(MACHINE_ID), &own_id(state)]
        .into_iter()
        .find_map(|path| valid_id(&fs::read_to_string(path).ok()?))
}

fn own_id(state: &Path) -> std::path::PathBuf {
    state.join("machine-id")
}

/// machine-id(5): 32 hexadecimal digits; `uninitialized` during the first boot.
fn valid_id(text: &str) -> Option<MachineId> {
    let id = text.trim();
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| MachineId::new(id))
}

/// This boot of the machine. A system that does not number its boots has one for ever.
pub fn boot_id() -> BootId {
    BootId::new(fs::read_to_string(BOOT_ID).map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned()))
}

/// One process, told apart from all that ever had or will have its number in this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Its process id.
    pub pid: u32,
    /// When it was started, in clock ticks since the boot.
    pub start_time: u64,
}

impl ProcessIdentity {
    /// The process that has this number now; `None` when none has, or when this cannot be told.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start_time) = parse_stat(&stat)?;
        // One that has ended and was not waited for yet does nothing any more.
        (!matches!(state, 'Z' | 'X')).then_some(Self { pid, start_time })
    }

    /// This process.
    pub fn of_this_process() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or(Self { pid, start_time: 0 })
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Asks it to make its socket anew.
    pub fn hang_up(self) -> io::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.filter(|_| self.is_alive()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(rustix::process::kill_process(pid, Signal::HUP)?)
    }
}

/// State and start time, fields 3 and 22 of `/proc/<pid>/stat`. The second field may contain
/// anything, closing parentheses too.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_process_name() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9";
        assert_eq!(parse_stat(stat), Some(('S', 4711)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn a_process_is_told_apart_from_another_with_its_number() {
        let this = ProcessIdentity::of_this_process();
        assert!(this.is_alive());
        let other = ProcessIdentity { start_time: this.start_time + 1, ..this };
        assert!(!other.is_alive());
        assert_eq!(other.hang_up().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn an_id_of_our_own_is_made_once_and_kept() {
        assert_eq!(valid_id("uninitialized\n"), None);
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(valid_id(&format!("{id}\n")), Some(MachineId::new(id)));
        let state = tempfile::tempdir().unwrap();
        let first = machine_id(&state.path().join("s")).unwrap();
        assert_eq!(machine_id(&state.path().join("s")).unwrap(), first);
    }
}
