//! Waiting for a cluster: with a bound, with what was last seen, and through the death of a
//! controller.

use std::{collections::VecDeque, time::Duration};

use futures_util::StreamExt;
use tokio::time::timeout;

use super::{
    CliError,
    goal::{self, Goal, Verdict},
    progress::Progress,
    session::{Session, explain},
};
use crate::{
    api::{Answering, ErrorCode, WatchMessage},
    controller::{Clock, ClusterView, SystemClock},
    model::Event,
    spec::{ClusterName, Span},
};

/// How often what was last seen is judged again when nothing new is: time alone can decide.
const REVIEW: Duration = Duration::from_secs(1);

/// How long to wait before the controller is looked for again.
const RECONNECT: Duration = Duration::from_millis(200);

/// Events that are kept for the case that something goes wrong.
const KEPT_EVENTS: usize = 20;

/// Lines of what happened that an error shows.
const SHOWN_LINES: usize = 10;

/// One wait for one cluster.
pub struct Follower<'a> {
    session: &'a Session,
    progress: &'a mut Progress,
    name: &'a ClusterName,
    goal: Goal,
    last: Option<Box<ClusterView>>,
    events: VecDeque<Event>,
}

/// What is said when the wait ends early.
#[derive(Debug, Clone)]
pub struct Parting {
    /// What goes on after Ctrl-C, to follow "interrupted: ".
    pub goes_on: String,
    /// How to undo it.
    pub undo: Option<String>,
    /// What to do when it takes too long.
    pub when_late: String,
}

impl<'a> Follower<'a> {
    /// Will wait for `goal`.
    pub fn new(session: &'a Session, progress: &'a mut Progress, name: &'a ClusterName, goal: Goal) -> Self {
        Self { session, progress, name, goal, last: None, events: VecDeque::new() }
    }

    /// Waits at most `bound`. Returns the cluster as it was last seen.
    pub async fn wait(
        mut self,
        client: Answering,
        bound: Duration,
        parting: Parting,
    ) -> Result<Option<ClusterView>, CliError> {
        let ended = interruptible(timeout(bound, self.follow(client)), || CliError::Interrupted {
            goes_on: parting.goes_on,
            hint: parting.undo,
        });
        match ended.await? {
            Ok(Ok(())) => {
                self.progress.clear();
                Ok(self.last.map(|view| *view))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(self.too_late(bound, parting.when_late)),
        }
    }

    async fn follow(&mut self, mut client: Answering) -> Result<(), CliError> {
        loop {
            let mut messages = client.watch(self.name);
            loop {
                match timeout(REVIEW, messages.next()).await {
                    Err(_) => {}
                    Ok(Some(Ok(WatchMessage::Gone))) => return self.gone(),
                    Ok(Some(Ok(message))) => self.take(message),
                    Ok(Some(Err(error))) => match error.code {
                        ErrorCode::NotFound if matches!(self.goal, Goal::Gone { .. }) => return Ok(()),
                        ErrorCode::Unreachable => break,
                        _ => return Err(explain(&*client, self.name, error).await),
                    },
                    Ok(None) => break,
                }
                match self.verdict() {
                    Verdict::Reached => return Ok(()),
                    Verdict::Waiting => {}
                    Verdict::Stuck { why, hint, exit } => {
                        let message = format!("cluster {}: {why}", self.name);
                        let seen = self.seen();
                        return Err(CliError::Stuck { message, seen, hint, exit });
                    }
                }
            }
            // The controller went away; another takes over what it did.
            tokio::time::sleep(RECONNECT).await;
            client = self.session.controller().await?;
        }
    }

    fn take(&mut self, message: WatchMessage) {
        match message {
            WatchMessage::Cluster(view) => {
                if self.goal.concerns(&view) {
                    self.progress.state(&view, goal::parts(&view));
                }
                self.last = Some(view);
            }
            WatchMessage::Event(event) => {
                self.progress.event(&event);
                self.events.push_back(event);
                if self.events.len() > KEPT_EVENTS {
                    self.events.pop_front();
                }
            }
            WatchMessage::Gone => {}
        }
    }

    fn gone(&self) -> Result<(), CliError> {
        match self.goal {
            Goal::Gone { .. } => Ok(()),
            Goal::Ready { .. } | Goal::Updated { .. } | Goal::Sized { .. } => Err(CliError::Refused {
                message: format!("cluster {} was deleted while it was waited for", self.name),
                hint: None,
            }),
        }
    }

    fn verdict(&self) -> Verdict {
        self.last.as_ref().map_or(Verdict::Waiting, |view| self.goal.judge(view, SystemClock.now()))
    }

    /// What happened lately, for an error.
    fn seen(&mut self) -> Vec<String> {
        goal::warnings(self.events.make_contiguous(), SHOWN_LINES)
    }

    fn too_late(&mut self, bound: Duration, hint: String) -> CliError {
        let view = self.last.as_deref();
        CliError::TimedOut {
            waited_for: self.goal.description(view, self.name.as_str()),
            bound: duration(bound),
            last_seen: view.map_or_else(|| "nothing of it".to_owned(), |view| goal::parts(view).join(", ")),
            seen: self.seen(),
            hint,
        }
    }
}

/// Does something that Ctrl-C may end.
pub async fn interruptible<T>(
    work: impl Future<Output = T>,
    interrupted: impl FnOnce() -> CliError,
) -> Result<T, CliError> {
    tokio::select! {
        done = work => Ok(done),
        signal = tokio::signal::ctrl_c() => match signal {
            Ok(()) => Err(interrupted()),
            Err(error) => Err(CliError::Bug(format!("cannot hear of Ctrl-C: {error}"))),
        },
    }
}

/// `90s`, `10m`.
fn duration(duration: Duration) -> String {
    Span::from_seconds(duration.as_secs())
        .map_or_else(|| format!("{} s", duration.as_secs()), |span| span.to_string())
}
