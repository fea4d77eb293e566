//! Connections, from processes of the same person only.

use std::{io, os::unix::net::UnixListener as StdListener, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::{Activity, ControllerError};

/// How long to wait when no connection can be accepted, for want of file descriptors as a rule.
const EXHAUSTED: Duration = Duration::from_millis(100);

struct SamePerson {
    listener: UnixListener,
    uid: u32,
}

impl axum::serve::Listener for SamePerson {
    type Io = UnixStream;
    type Addr = ();

    async fn accept(&mut self) -> (UnixStream, ()) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == self.uid => return (stream, ()),
                    Ok(peer) => tracing::warn!(uid = peer.uid(), "refused a connection of another user"),
                    Err(error) => tracing::warn!("refused a connection of an unknown user: {error}"),
                },
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Accepts connections until it is dropped; requests that were accepted are answered all the same.
pub(super) struct Accepting {
    task: JoinHandle<()>,
    until_dropped: oneshot::Sender<()>,
}

impl Accepting {
    pub(super) fn new(
        listener: StdListener,
        router: Router,
        activity: Arc<Activity>,
    ) -> Result<Self, ControllerError> {
        let listener = UnixListener::from_std(listener).map_err(ControllerError::system("listen"))?;
        let listener = SamePerson { listener, uid: rustix::process::geteuid().as_raw() };
        let (until_dropped, dropped) = oneshot::channel();
        let ended = async move {
            tokio::select! {
                () = activity.stopping() => {}
                _ = dropped => {}
            }
        };
        let task = tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(ended).await;
            if let Err(error) = served {
                tracing::error!("cannot go on listening: {error}");
            }
        });
        Ok(Self { task, until_dropped })
    }

    /// Answers what was accepted, within a bound.
    pub(super) async fn finish(self, bound: Duration) {
        drop(self.until_dropped);
        if tokio::time::timeout(bound, self.task).await.is_err() {
            tracing::warn!("requests were still under way after {} s", bound.as_secs());
        }
    }
}
