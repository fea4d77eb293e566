//! Whether anybody asks anything of the controller.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use futures_util::StreamExt as _;
use tokio::sync::watch;

use crate::controller::Fleet;

/// Requests under way.
#[derive(Debug)]
pub struct Activity {
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    under_way: usize,
    changes: usize,
    stopping: bool,
}

/// One request, until it is dropped.
#[derive(Debug)]
pub struct Busy(Arc<Activity>);

impl Busy {
    /// Lasts until the whole answer is sent, or nobody wants it any more.
    pub fn until_sent(self, answer: Response) -> Response {
        answer.map(|body| {
            Body::from_stream(body.into_data_stream().inspect(move |_| {
                let _ = &self;
            }))
        })
    }
}

/// One change, until it is dropped.
#[derive(Debug)]
pub struct Changing(Arc<Activity>);

impl Activity {
    /// Nothing is under way.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: watch::Sender::new(State::default()) })
    }

    /// Begins a request; `None` when it is too late for that.
    pub fn begin(self: &Arc<Self>) -> Option<Busy> {
        let begun = self.state.send_if_modified(|state| {
            state.under_way += usize::from(!state.stopping);
            !state.stopping
        });
        begun.then(|| Busy(self.clone()))
    }

    /// Begins a change, which is carried out whether or not its client waits for it.
    pub fn begin_change(self: &Arc<Self>) -> Changing {
        self.state.send_modify(|state| state.changes += 1);
        Changing(self.clone())
    }

    /// How many changes are being carried out.
    pub fn changes(&self) -> usize {
        self.state.borrow().changes
    }

    /// No request begins any more; streams end.
    pub fn stop(&self) {
        self.state.send_modify(|state| state.stopping = true);
    }

    /// As [`Self::stop`], unless a request is under way.
    fn stop_if_idle(&self) -> bool {
        self.state.send_if_modified(|state| {
            let idle = state.under_way + state.changes == 0;
            state.stopping |= idle;
            idle
        })
    }

    /// Returns when no request begins any more.
    pub async fn stopping(&self) {
        let mut states = self.state.subscribe();
        // Its sender is `self`.
        let _ = states.wait_for(|state| state.stopping).await;
    }

    /// Returns when there has been no request for that long; from then on, none begins any more.
    #[cfg(feature = "kubernetes")]
    pub async fn unasked_for(&self, linger: Duration) {
        let mut requests = self.state.subscribe();
        loop {
            let busy = requests.borrow_and_update().under_way > 0;
            tokio::select! {
                _ = requests.changed() => {}
                () = tokio::time::sleep(linger), if !busy => {
                    if self.stop_if_idle() {
                        return;
                    }
                }
            }
        }
    }

    /// Returns when there has been neither a cluster nor a request for that long; from then on, no
    /// request begins any more.
    pub async fn idle_for(&self, linger: Duration, fleet: &Fleet) {
        let mut clusters = fleet.changes();
        let mut requests = self.state.subscribe();
        loop {
            clusters.borrow_and_update();
            let asked = *requests.borrow_and_update();
            let busy = asked.under_way + asked.changes > 0 || fleet.size() > 0;
            tokio::select! {
                _ = clusters.changed() => {}
                _ = requests.changed() => {}
                () = tokio::time::sleep(linger), if !busy => {
                    if self.stop_if_idle() {
                        return;
                    }
                }
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.under_way = state.under_way.saturating_sub(1));
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.changes = state.changes.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_under_way_keeps_the_controller_from_ending() {
        let activity = Activity::new();
        let busy = activity.begin().unwrap();
        assert!(!activity.stop_if_idle());
        let change = activity.begin_change();
        drop(busy);
        assert!(!activity.stop_if_idle(), "its client has gone, and it goes on");
        drop(change);
        assert!(activity.stop_if_idle());
    }

    #[test]
    fn no_request_begins_once_the_end_is_decided() {
        let activity = Activity::new();
        assert!(activity.stop_if_idle());
        assert!(activity.begin().is_none());
    }
}
