//! The fork server's process: start it, tell it, hear it.

use std::{
    collections::BTreeMap,
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::PathBuf,
    process::{Command, Stdio},
};

use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::unix::pipe,
    sync::mpsc,
};

use super::super::os::ProcessId;
use crate::model::{NodeName, SoftwareVersions};

/// How to start a fork server.
pub struct ForkServerPlan {
    /// What runs it.
    pub interpreter: PathBuf,
    /// The script.
    pub script: PathBuf,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
}

/// A running fork server. Dropping it closes its standard input, which ends it.
pub struct ForkServer {
    /// Which start this is, from 1.
    pub generation: u32,
    /// Its process.
    pub process: ProcessId,
    commands: mpsc::UnboundedSender<Vec<u8>>,
}

/// What a fork server, or one of the nodes that it forked, says. Described in the script's docstring.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// It has imported Dask.
    Ready {
        /// What is installed.
        versions: SoftwareVersions,
        /// Its threads; more than one, and a fork may hang.
        threads: u32,
    },
    /// It cannot import Dask.
    Unusable {
        /// Why, in one line.
        error: String,
    },
    /// A command made no sense to it.
    Refused {
        /// For which node, if it could tell.
        node: Option<NodeName>,
        /// Why.
        error: String,
    },
    /// A node has a process.
    Forked {
        /// Which.
        node: NodeName,
        /// Its pid.
        pid: i32,
        /// Its start time in clock ticks since the boot.
        start_time: u64,
    },
    /// A scheduler listens.
    Listening {
        /// Which.
        node: NodeName,
        /// Where.
        address: String,
        /// The port of its pages.
        dashboard_port: Option<u16>,
    },
    /// A scheduler's dashboard was attached, or could not be.
    Dashboard {
        /// Which.
        node: NodeName,
        /// Whether it is there.
        attached: bool,
        /// Why not.
        reason: Option<String>,
    },
    /// A worker is registered with its scheduler.
    Registered {
        /// Which.
        node: NodeName,
    },
    /// What a worker may use, for whoever poses as its nanny.
    Memory {
        /// Which.
        node: NodeName,
        /// In bytes.
        limit: u64,
        /// The part of the limit beyond which it is to be killed.
        terminate: f64,
        /// Seconds between two looks.
        interval: f64,
    },
    /// A node could not start.
    Failed {
        /// Which.
        node: NodeName,
        /// Why, in one line.
        error: String,
    },
    /// Something that a later script says.
    #[serde(other)]
    Unknown,
}

/// An event and the start of the fork server that it comes from.
pub struct FromForkServer {
    /// Which start.
    pub generation: u32,
    /// What was said.
    pub event: Event,
}

impl ForkServer {
    /// Starts one. Its standard error is this process's.
    pub fn start(
        plan: &ForkServerPlan,
        generation: u32,
        events: mpsc::Sender<FromForkServer>,
    ) -> io::Result<Self> {
        let mut child = Command::new(&plan.interpreter)
            .arg(&plan.script)
            .env_clear()
            .envs(&plan.environment)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let process = ProcessId::of(pid)
            .ok_or_else(|| io::Error::other("the fork server is not to be seen in /proc after its start"))?;
        let missing = || io::Error::other("the fork server has no pipes");
        let stdin = OwnedFd::from(child.stdin.take().ok_or_else(missing)?);
        let stdout = OwnedFd::from(child.stdout.take().ok_or_else(missing)?);
        let (commands, queue) = mpsc::unbounded_channel();
        tokio::spawn(write_commands(pipe::Sender::from_owned_fd(stdin)?, queue));
        tokio::spawn(read_events(generation, pipe::Receiver::from_owned_fd(stdout)?, events));
        Ok(Self { generation, process, commands })
    }

    /// Tells it something. If it is gone, its end is noticed elsewhere.
    pub fn tell(&self, command: Vec<u8>) {
        let _gone = self.commands.send(command);
    }
}

async fn write_commands(mut pipe: pipe::Sender, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(command) = queue.recv().await {
        if pipe.write_all(&command).await.is_err() {
            return;
        }
    }
}

async fn read_events(generation: u32, pipe: pipe::Receiver, events: mpsc::Sender<FromForkServer>) {
    let mut lines = BufReader::new(pipe).lines();
    loop {
        match lines.next_line().await {
            Ok(Some(line)) => match serde_json::from_str(&line) {
                Ok(event) => {
                    if events.send(FromForkServer { generation, event }).await.is_err() {
                        return;
                    }
                }
                Err(error) => tracing::warn!(%error, "the fork server said something that is no event"),
            },
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "cannot read what the fork server says");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_later_script_is_no_error() {
        let event: Event = serde_json::from_str(r#"{"event": "sang", "node": "x", "song": 3}"#).unwrap();
        assert!(matches!(event, Event::Unknown));
    }

    #[test]
    fn a_ready_event_has_more_fields_than_are_needed() {
        let line = r#"{"event":"ready","protocol":1,"pid":5,"threads":1,"dashboard":true,
            "versions":{"python":"3.11.7","numpy":null}}"#;
        let Event::Ready { versions, threads } = serde_json::from_str(line).unwrap() else {
            panic!("{line}")
        };
        assert_eq!((versions.get("python"), versions.get("numpy"), threads), (Some("3.11.7"), None, 1));
    }
}
