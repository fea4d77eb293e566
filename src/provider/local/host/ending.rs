//! How processes end: those of nodes, one after the other, and at last all.

use std::path::PathBuf;

use rustix::process::Signal;
use tokio::time::Instant;

use super::{
    super::os::{self, ExitStatus, ProcessId, Reaped},
    fork_servers::ForkServerEnd,
    node::{Deed, End},
    node_logs,
    run::{HostError, wall_clock},
    service::{Next, Service},
};

/// Lines of its log that are kept with a node that ended.
const LAST_LINES: usize = 20;

impl Service {
    /// Takes note of every child that has ended.
    pub fn reap(&mut self) -> Next {
        let ended: Vec<ProcessId> = self
            .nodes
            .running()
            .map(|(_, process)| process)
            .filter(|process| os::has_ended(*process))
            .collect();
        for process in ended {
            // What its tasks have left behind; before the number of the group is free for others.
            process.kill_group();
        }
        while let Reaped::Child(pid, status) = os::reap() {
            self.child_ended(pid, status);
        }
        Next::GoOn
    }

    fn child_ended(&mut self, pid: i32, status: ExitStatus) {
        if let Some(ForkServerEnd { generation, how }) =
            self.fork_servers.child_ended(pid, status, &self.own.paths.log, Instant::now())
        {
            tracing::warn!(generation, "the fork server {how}");
            let reason = format!("the fork server {how} before it started this");
            self.nodes.fork_server_lost(generation, &reason, wall_clock());
            return;
        }
        let end = End { at: wall_clock(), code: status.code, signal: status.signal };
        let Some(name) = self.nodes.ended(pid, end) else { return };
        if let Some(claimed) = &self.claimed {
            self.nodes.set_last_log(&name, node_logs::last_lines(&claimed.log(&name), LAST_LINES));
        }
        for root in &self.own.record.scratch {
            remove_in_background(root.join(name.as_str()));
        }
        self.follow_end(&name);
    }

    /// Ends every process below this one that can be seen now. Returns whether none is left.
    pub fn kill_all(&mut self) -> bool {
        self.fork_servers.kill();
        for (_, process) in self.nodes.running() {
            process.kill_group();
        }
        for child in os::children() {
            // One that has ended meanwhile is what was wanted.
            let _gone = child.signal(Signal::KILL);
        }
        loop {
            match os::reap() {
                Reaped::Child(pid, status) => {
                    let end = End { at: wall_clock(), code: status.code, signal: status.signal };
                    self.nodes.ended(pid, end);
                }
                Reaped::Nothing => return false,
                Reaped::NoChildren => return true,
            }
        }
    }

    /// Removes all files, its own directory last; the lock is let go with the process.
    pub fn clean_up(self) -> Result<(), HostError> {
        if let Some(claimed) = self.claimed {
            claimed
                .release(&self.own.record)
                .map_err(|error| HostError::io("let go of", &self.own.paths.directory, &error))?;
        }
        let directory = &self.own.paths.directory;
        os::remove_all(directory).map_err(|error| HostError::io("remove", directory, &error))
    }
}

/// Does it.
pub(super) fn do_deed(deed: Deed) {
    match deed {
        Deed::Kill(process) => {
            process.kill_group();
            // A process that has not yet made its own group.
            let _gone = process.signal(Signal::KILL);
        }
        Deed::Terminate(process) => {
            let _gone = process.signal(Signal::TERM);
        }
    }
}

/// Spilled data may be much; nothing waits for its removal, and what is left goes with the cluster.
fn remove_in_background(path: PathBuf) {
    tokio::task::spawn_blocking(move || os::remove_all(&path));
}
