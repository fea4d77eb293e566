//! Which process of this machine somebody is.

use std::{fs, io};

use rustix::process::{Pid, Signal};

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
}
