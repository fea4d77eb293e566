//! The fork server over its starts: when it is ready, when it is started again, when it is given up.

use std::{path::Path, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use super::{
    super::os::ExitStatus,
    fork_server::{ForkServer, ForkServerPlan, FromForkServer},
    node_logs,
    protocol::Readiness,
};

/// Starts in a row that ended before they were ready, after which there is no other.
const TRIES: u32 = 5;
/// The pause after the first such start; doubled after every other.
const PAUSE: Duration = Duration::from_millis(200);
/// Lines of the host's log in which the reason for an end is looked for.
const LAST_LINES: usize = 20;

/// The fork server and its history.
pub struct ForkServers {
    plan: ForkServerPlan,
    events: mpsc::Sender<FromForkServer>,
    running: Option<ForkServer>,
    generation: u32,
    readiness: Option<Readiness>,
    /// Starts in a row that ended before they were ready.
    failures: u32,
    restart_at: Option<Instant>,
}

/// The end of a fork server.
pub struct ForkServerEnd {
    /// Of which start.
    pub generation: u32,
    /// How it ended, for a person.
    pub how: String,
}

impl ForkServers {
    /// None yet. What they will say is sent to `events`.
    pub fn new(plan: ForkServerPlan, events: mpsc::Sender<FromForkServer>) -> Self {
        Self { plan, events, running: None, generation: 0, readiness: None, failures: 0, restart_at: None }
    }

    /// Starts the next.
    pub fn start(&mut self) {
        self.restart_at = None;
        self.generation += 1;
        match ForkServer::start(&self.plan, self.generation, self.events.clone()) {
            Ok(running) => self.running = Some(running),
            Err(error) => {
                let error = format!("cannot run {}: {error}", self.plan.interpreter.display());
                self.readiness = Some(Readiness::Unusable { error });
            }
        }
    }

    /// Which start is the newest.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// What is known of the newest start; `None`: nothing yet.
    pub fn readiness(&self) -> Option<&Readiness> {
        self.readiness.as_ref()
    }

    /// Takes note of what a start has become.
    pub fn set_readiness(&mut self, readiness: Readiness) {
        if let Readiness::Ready { .. } = readiness {
            self.failures = 0;
        }
        self.readiness = Some(readiness);
    }

    /// The running one, if it can fork.
    pub fn ready(&self) -> Option<&ForkServer> {
        self.running.as_ref().filter(|_| matches!(self.readiness, Some(Readiness::Ready { .. })))
    }

    /// Why a node that was asked for does not run yet.
    pub fn waiting_for(&self) -> &'static str {
        match self.readiness {
            Some(Readiness::Ready { .. }) => "it is being forked",
            _ => "its fork server is importing Dask",
        }
    }

    /// Takes note of a child's end, if it was the fork server; plans its successor.
    pub fn child_ended(
        &mut self,
        pid: i32,
        status: ExitStatus,
        log: &Path,
        now: Instant,
    ) -> Option<ForkServerEnd> {
        self.running.take_if(|server| server.process.pid == pid)?;
        let how = match status {
            ExitStatus { signal: Some(signal), .. } => format!("was ended by signal {signal}"),
            ExitStatus { code, .. } => format!("ended with exit code {}", code.unwrap_or_default()),
        };
        match self.readiness.take() {
            // It has said why, and would again.
            unusable @ Some(Readiness::Unusable { .. }) => self.readiness = unusable,
            Some(Readiness::Ready { .. }) => self.restart_at = Some(now),
            None => {
                self.failures += 1;
                if self.failures < TRIES {
                    self.restart_at = Some(now + PAUSE * 2_u32.pow(self.failures - 1));
                } else {
                    self.readiness = Some(Readiness::Unusable { error: self.last_words(&how, log) });
                }
            }
        }
        Some(ForkServerEnd { generation: self.generation, how })
    }

    fn last_words(&self, how: &str, log: &Path) -> String {
        let lines = node_logs::last_lines(log, LAST_LINES);
        let last = lines.iter().rev().find(|line| !line.trim().is_empty());
        let said = last.map_or_else(String::new, |line| format!("; its last line: {line}"));
        format!("{} {how} while it imported Dask{said}", self.plan.interpreter.display())
    }

    /// When the next is to be started.
    pub fn restart_at(&self) -> Option<Instant> {
        self.restart_at
    }

    /// Ends the running one, for good.
    pub fn kill(&mut self) {
        self.restart_at = None;
        if let Some(server) = self.running.take() {
            server.process.kill_group();
        }
    }
}
