//! The way through an API server to the scheduler's pod of the moment.

use std::sync::Arc;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{
    api::{ApiError, ApiServer, PodSocket},
    tunnel,
    watching::{self, Scheduler, Seen},
};
use crate::{
    model::{CallerEnvironment, ClusterUid},
    provider::forwarder::{Door, End, Gate, PodTarget, Refusal, StatusBoard},
};

/// The way to one cluster's scheduler.
#[derive(Clone)]
pub struct PodWay {
    api: ApiServer,
    target: Arc<PodTarget>,
    cluster: ClusterUid,
    scheduler: watch::Receiver<Scheduler>,
}

/// A connection to a port of a pod.
pub struct PodStream(PodSocket);

impl PodWay {
    /// One that follows which pod is the scheduler.
    pub fn follow(
        target: &PodTarget,
        cluster: &ClusterUid,
        lent: CallerEnvironment,
        board: &Arc<StatusBoard>,
        gate: &Arc<Gate>,
    ) -> Self {
        let api = ApiServer::new(target.api.clone(), lent);
        let (found, scheduler) = watch::channel(Err("the scheduler's pod was not looked for yet".to_owned()));
        let target = Arc::new(target.clone());
        let seen = Seen { board: Arc::clone(board), gate: Arc::clone(gate), scheduler: found };
        tokio::spawn(watching::follow_scheduler(api.clone(), Arc::clone(&target), seen));
        Self { api, target, cluster: cluster.clone(), scheduler }
    }

    /// The pod that new connections go to, waited for until `deadline`; else what keeps there from being one.
    pub async fn scheduler(&self, deadline: Instant) -> Result<String, String> {
        let mut scheduler = self.scheduler.clone();
        let known = timeout_at(deadline, scheduler.wait_for(Result::is_ok)).await;
        match known {
            Ok(Ok(pod)) => pod.clone(),
            Ok(Err(_)) | Err(_) => self.scheduler.borrow().clone(),
        }
    }

    /// A connection to the port of that pod that is behind a local one.
    pub async fn open(&self, pod: &str, door: Door) -> Result<PodStream, Refusal> {
        let socket = self.api.forward(pod, self.target.port(door)).await;
        socket.map(PodStream).map_err(|error| refusal(&error))
    }

    /// Returns when the cluster's anchor is gone.
    pub async fn is_gone(&self) {
        watching::anchor_is_gone(&self.api, &self.target.anchor, &self.cluster).await;
    }
}

fn refusal(error: &ApiError) -> Refusal {
    Refusal { problem: error.to_string(), refuser: error.refuser(), is_passing: error.is_passing() }
}

impl PodStream {
    /// Carries bytes until either side ends.
    pub async fn carry<L>(self, local: L, on_reached: &(dyn Fn() + Send + Sync)) -> End
    where
        L: AsyncRead + AsyncWrite,
    {
        tunnel::carry(local, self.0, on_reached).await
    }
}
