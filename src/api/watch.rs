//! The story of a cluster, as a stream.

use std::sync::Arc;

use futures_util::{Stream, stream};
use tokio::sync::{broadcast, watch};

use super::{ApiError, WatchMessage};
use crate::{
    controller::{ClusterCell, ClusterView, Fleet},
    model::Event,
    spec::ClusterName,
};

/// One cluster, followed to its end.
pub(super) struct Story {
    fleet: Arc<Fleet>,
    name: ClusterName,
    cell: Arc<ClusterCell>,
    views: watch::Receiver<Arc<ClusterView>>,
    events: broadcast::Receiver<Event>,
    clusters: watch::Receiver<u64>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begin,
    Following,
    Over,
}

impl Story {
    /// Of the cluster that has the name now; one that gets it later is another story.
    pub(super) fn of(fleet: Arc<Fleet>, name: ClusterName) -> Result<Self, ApiError> {
        let clusters = fleet.changes();
        let cell = fleet.cell(&name)?;
        let (views, events) = (cell.watch(), cell.events());
        Ok(Self { fleet, name, cell, views, events, clusters, stage: Stage::Begin })
    }

    pub(super) fn messages(self) -> impl Stream<Item = WatchMessage> + Send + 'static {
        stream::unfold(self, |mut story| async move { Some((story.next().await?, story)) })
    }

    async fn next(&mut self) -> Option<WatchMessage> {
        match self.stage {
            Stage::Over => return None,
            Stage::Begin => {
                self.stage = Stage::Following;
                self.views.borrow_and_update();
                return Some(self.view());
            }
            Stage::Following => {}
        }
        loop {
            // What happened is told before what came of it, and both before the end.
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Ok(event) => return Some(WatchMessage::Event(event)),
                    // A slow listener misses some; the history has them.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Some(self.over()),
                },
                changed = self.clusters.changed() => {
                    if changed.is_err() || self.now().is_none() {
                        return Some(self.over());
                    }
                }
                changed = self.views.changed() => {
                    return Some(if changed.is_ok() { self.view() } else { self.over() });
                }
            }
        }
    }

    fn now(&self) -> Option<ClusterView> {
        self.fleet.get(&self.name).ok().filter(|view| view.uid == self.cell.key().uid)
    }

    fn view(&mut self) -> WatchMessage {
        match self.now() {
            Some(view) => WatchMessage::Cluster(Box::new(view)),
            None => self.over(),
        }
    }

    fn over(&mut self) -> WatchMessage {
        self.stage = Stage::Over;
        WatchMessage::Gone
    }
}
