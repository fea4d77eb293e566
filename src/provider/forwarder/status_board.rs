//! The status file, kept true by one writer.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::{
    files::Files,
    status::{Door, ForwarderStatus},
};

/// How long changes are gathered before they are written.
const GATHERING: Duration = Duration::from_millis(200);

/// What the forwarder has to say.
pub struct StatusBoard {
    files: Files,
    status: Mutex<ForwarderStatus>,
    changed: Notify,
}

/// A connection to the scheduler, for as long as this lives.
pub struct Counted(Arc<StatusBoard>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.change(|status| status.connections = status.connections.saturating_sub(1));
    }
}

impl StatusBoard {
    /// Goes on where the forwarder before this one, if there was one, has left off.
    pub fn open(files: Files) -> Arc<Self> {
        let before = ForwarderStatus::read(&files).unwrap_or_else(|error| {
            tracing::warn!(%error, path = %files.status.display(), "cannot read the status before");
            None
        });
        let status = ForwarderStatus { cuts: before.unwrap_or_default().cuts, ..ForwarderStatus::default() };
        Arc::new(Self { files, status: Mutex::new(status), changed: Notify::new() })
    }

    /// A connection was made.
    pub fn count(self: &Arc<Self>, door: Door) -> Option<Counted> {
        (door == Door::Comm).then(|| {
            self.change(|status| status.connections = status.connections.saturating_add(1));
            Counted(Arc::clone(self))
        })
    }

    /// New connections go to this pod from now on.
    pub fn pod(&self, pod: Option<String>) {
        self.change(|status| status.pod = pod);
    }

    /// How a try to connect went.
    pub fn tried(&self, outcome: Result<(), String>) {
        self.change(|status| status.tried(wall_clock(), outcome));
    }

    /// A connection that was working has broken.
    pub fn cut(&self, door: Door, reason: String) {
        self.change(|status| status.cut(wall_clock(), door, reason));
    }

    fn change(&self, change: impl FnOnce(&mut ForwarderStatus)) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let before = status.clone();
        change(&mut status);
        if *status != before {
            self.changed.notify_one();
        }
    }

    /// Writes what changes, for ever.
    pub async fn keep_written(&self) {
        loop {
            let status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Err(error) = status.write(&self.files) {
                tracing::warn!(%error, path = %self.files.status.display(), "cannot write the status");
            }
            self.changed.notified().await;
            tokio::time::sleep(GATHERING).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the forwarder has no controller that could hand it a clock")]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}
