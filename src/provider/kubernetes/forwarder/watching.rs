//! What the forwarder follows: which pod is the scheduler, and whether the anchor is there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    runtime::watcher::{self, Event},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    api::{Anchor, ApiServer},
    scheduler_pod::{Candidate, choose},
};
use crate::{
    model::ClusterUid,
    provider::forwarder::{Gate, PodTarget, StatusBoard},
};

/// The pod that new connections go to, or why there is none.
pub type Scheduler = Result<String, String>;

/// Who is told what is seen.
pub struct Seen {
    /// What the forwarder says of itself.
    pub board: Arc<StatusBoard>,
    /// Opened when a pod may be reached that could not be.
    pub gate: Arc<Gate>,
    /// Where new connections go.
    pub scheduler: watch::Sender<Scheduler>,
}

/// Pauses after failures in a row: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How long a watch must have worked for the next failure to be the first of a row.
const WORKED: Duration = Duration::from_secs(30);

/// Pauses between tries, each twice as long as the one before.
struct Backoff {
    next: Duration,
    last: Instant,
}

impl Backoff {
    fn new() -> Self {
        Self { next: FIRST_PAUSE, last: Instant::now() }
    }

    async fn pause(&mut self) {
        if self.last.elapsed() > self.next + WORKED {
            self.next = FIRST_PAUSE;
        }
        sleep(self.next).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        self.last = Instant::now();
    }
}

/// Follows the scheduler's pods, for ever.
pub async fn follow_scheduler(api: ApiServer, target: Arc<PodTarget>, seen: Seen) {
    let mut backoff = Backoff::new();
    loop {
        let problem = match api.pods().await {
            Ok(pods) => {
                let wanted = watcher::Config::default().labels(&target.scheduler);
                let events = kube::runtime::watcher(pods, wanted);
                follow_pods(std::pin::pin!(events), &seen).await
            }
            Err(error) => error.to_string(),
        };
        tracing::warn!(problem, "cannot follow the scheduler's pods");
        // What was seen last may still be so: connections that exist, and new ones, are tried with it.
        seen.scheduler.send_if_modified(|known| {
            let unknown = known.is_err();
            if unknown {
                *known = Err(format!("cannot look for the scheduler's pod: {problem}"));
            }
            unknown
        });
        api.renew().await;
        backoff.pause().await;
    }
}

/// Follows a watch until it fails; returns why.
async fn follow_pods(
    mut events: impl Stream<Item = watcher::Result<Event<Pod>>> + Unpin,
    seen: &Seen,
) -> String {
    let mut pods: BTreeMap<String, Candidate> = BTreeMap::new();
    let mut listed = BTreeMap::new();
    loop {
        let before = pods.clone();
        match events.next().await {
            Some(Ok(Event::Init)) => {
                listed.clear();
                continue;
            }
            Some(Ok(Event::InitApply(pod))) => {
                listed.insert(pod.name_any(), Candidate::from(&pod));
                continue;
            }
            Some(Ok(Event::InitDone)) => {
                pods = std::mem::take(&mut listed);
                // The API server answers: perhaps it did not before.
                seen.gate.reopen();
            }
            Some(Ok(Event::Apply(pod))) => drop(pods.insert(pod.name_any(), Candidate::from(&pod))),
            Some(Ok(Event::Delete(pod))) => drop(pods.remove(&pod.name_any())),
            Some(Err(error)) => return error.to_string(),
            None => return "the watch has ended".to_owned(),
        }
        if pods != before {
            seen.gate.reopen();
        }
        let chosen = choose(pods.values()).map(str::to_owned);
        seen.scheduler.send_if_modified(|known| {
            let is_new = *known != chosen;
            if is_new {
                tracing::info!(pod = ?chosen, "new connections go there");
                seen.board.pod(chosen.clone().ok());
                known.clone_from(&chosen);
            }
            is_new
        });
    }
}

/// Returns when the anchor is gone, which a direct look has confirmed: a watch, or an API server that cannot be
/// reached, proves nothing.
pub async fn anchor_is_gone(api: &ApiServer, anchor: &str, cluster: &ClusterUid) {
    let mut backoff = Backoff::new();
    loop {
        match api.anchor(anchor, cluster).await {
            Ok(Anchor::Gone) => return,
            Ok(Anchor::There) => follow_anchor(api, anchor).await,
            Err(error) => {
                tracing::warn!(%error, "cannot look for the cluster's anchor");
                api.renew().await;
            }
        }
        backoff.pause().await;
    }
}

/// Returns when it is worth another look.
async fn follow_anchor(api: &ApiServer, anchor: &str) {
    let Ok(config_maps) = api.config_maps().await else { return };
    let wanted = watcher::Config::default().fields(&format!("metadata.name={anchor}"));
    let mut events = std::pin::pin!(kube::runtime::watcher(config_maps, wanted));
    let mut seen = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => seen = false,
            Ok(Event::InitApply(_) | Event::Apply(_)) => seen = true,
            Ok(Event::InitDone) if seen => {}
            Ok(Event::InitDone | Event::Delete(_)) => return,
            Err(error) => {
                tracing::debug!(%error, "the watch of the cluster's anchor failed");
                return;
            }
        }
    }
}
