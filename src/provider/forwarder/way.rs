//! The way to a scheduler: what depends on where it runs.

use std::{path::Path, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    direct::{DirectStream, DirectWay},
    end::End,
    gate::{Gate, Refuser},
    request::{Destination, ForwardRequest, MachineTarget},
    session::SessionWay,
    status::Door,
    status_board::StatusBoard,
};
use crate::model::CallerEnvironment;
#[cfg(feature = "kubernetes")]
use crate::provider::kubernetes::forwarder::{PodStream, PodWay};

/// The way to one cluster's scheduler.
#[derive(Clone)]
pub enum Way {
    /// Through an API server to a pod.
    #[cfg(feature = "kubernetes")]
    Pod(PodWay),
    /// To a machine's address, all through the scheduler's own port.
    Direct(DirectWay),
}

/// A stream of bytes to the scheduler's side.
pub enum Stream {
    /// Through an API server.
    #[cfg(feature = "kubernetes")]
    Pod(Box<PodStream>),
    /// Straight.
    Direct(DirectStream),
}

/// A stream that could not be opened.
#[derive(Debug)]
pub struct Refusal {
    /// What is wrong.
    pub problem: String,
    /// Who said so.
    pub refuser: Refuser,
    /// Whether the same may work soon.
    pub is_passing: bool,
}

impl Way {
    /// The way that a request means, followed from now on.
    ///
    /// # Errors
    /// When this program was built without it.
    pub fn new(
        request: &ForwardRequest,
        lent: CallerEnvironment,
        board: &Arc<StatusBoard>,
        gate: &Arc<Gate>,
        directory: &Path,
    ) -> Result<Self, String> {
        match &request.destination {
            #[cfg(feature = "kubernetes")]
            Destination::Pod(target) => {
                Ok(Self::Pod(PodWay::follow(target, &request.cluster.uid, lent, board, gate)))
            }
            #[cfg(not(feature = "kubernetes"))]
            Destination::Pod(_) => {
                drop(lent);
                Err("this program was built without Kubernetes".to_owned())
            }
            Destination::Machine(target) => {
                let session = session(target, lent, directory)?;
                Ok(Self::Direct(DirectWay::new(target, session, request, board, gate)))
            }
        }
    }

    /// The scheduler that new connections go to, waited for until `deadline`; else what keeps there from being one.
    pub async fn scheduler(&self, deadline: Instant) -> Result<String, String> {
        match self {
            #[cfg(feature = "kubernetes")]
            Self::Pod(way) => way.scheduler(deadline).await,
            Self::Direct(way) => Ok(way.scheduler()),
        }
    }

    /// A stream to what is behind a local port, at that scheduler.
    pub async fn open(&self, scheduler: &str, door: Door) -> Result<Stream, Refusal> {
        match self {
            #[cfg(feature = "kubernetes")]
            Self::Pod(way) => way.open(scheduler, door).await.map(Box::new).map(Stream::Pod),
            Self::Direct(way) => {
                // There is but one.
                let _ = scheduler;
                way.open(door).await.map(Stream::Direct)
            }
        }
    }

    /// Returns when only another forwarder can be of use.
    pub async fn is_over(&self) {
        match self {
            #[cfg(feature = "kubernetes")]
            Self::Pod(_) => std::future::pending().await,
            Self::Direct(way) => way.is_over().await,
        }
    }

    /// Ends what goes on beside this process.
    pub async fn close(&self) {
        match self {
            #[cfg(feature = "kubernetes")]
            Self::Pod(_) => {}
            Self::Direct(way) => way.close().await,
        }
    }

    /// Returns when the cluster is gone.
    pub async fn is_gone(&self) {
        match self {
            #[cfg(feature = "kubernetes")]
            Self::Pod(way) => way.is_gone().await,
            Self::Direct(way) => way.is_gone().await,
        }
    }
}

/// The sessions through which a machine is reached, if it is by those.
#[cfg(feature = "ec2")]
#[expect(clippy::unnecessary_wraps, reason = "there are programs without")]
fn session(
    target: &MachineTarget,
    lent: CallerEnvironment,
    directory: &Path,
) -> Result<Option<SessionWay>, String> {
    Ok(target.session.as_ref().map(|target| SessionWay::keep(target, lent, directory)))
}

#[cfg(not(feature = "ec2"))]
fn session(target: &MachineTarget, lent: CallerEnvironment, _: &Path) -> Result<Option<SessionWay>, String> {
    drop(lent);
    match target.session {
        Some(_) => Err("this program was built without EC2".to_owned()),
        None => Ok(None),
    }
}

impl Stream {
    /// Carries bytes between `local` and the scheduler's side until either ends. All that was read from one side has
    /// been written to the other by then, unless that has gone. `on_reached` is called when it is known that somebody
    /// listens there.
    pub async fn carry<L>(self, local: L, on_reached: &(dyn Fn() + Send + Sync)) -> End
    where
        L: AsyncRead + AsyncWrite + Unpin,
    {
        match self {
            #[cfg(feature = "kubernetes")]
            Self::Pod(stream) => stream.carry(local, on_reached).await,
            Self::Direct(stream) => stream.carry(local, on_reached).await,
        }
    }
}
