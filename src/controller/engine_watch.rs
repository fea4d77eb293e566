//! Follows what a cluster's scheduler says, by a question that waits for news.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

use super::Clock;
use crate::{
    engine::{Belts, Endpoint, Engine, Ranking, StatusQuestion},
    model::{Departure, Event, EventKind, NodeName, Severity},
    plan::EngineView,
};

/// How long one question waits for news.
const WAIT: Duration = Duration::from_secs(30);

/// An engine that cannot wait is asked again after so long.
const INTERVAL: Duration = Duration::from_secs(1);

/// Pauses between questions that were not answered, the last one for good.
const RETRY: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// Follows one scheduler until it is dropped.
pub(super) struct EngineWatch {
    node: NodeName,
    endpoint: Endpoint,
    view: watch::Receiver<EngineView>,
    departures: mpsc::UnboundedReceiver<Departure>,
    belts: watch::Sender<Belts>,
    task: JoinHandle<()>,
}

impl EngineWatch {
    pub(super) fn start(
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        node: NodeName,
        endpoint: Endpoint,
        belts: Belts,
    ) -> Self {
        let (view_out, view) = watch::channel(EngineView::NotAsked);
        let (departures_out, departures) = mpsc::unbounded_channel();
        let (belts, belts_out) = watch::channel(belts);
        let said = (view_out, departures_out);
        let task = tokio::spawn(follow(engine, clock, endpoint.clone(), said, belts_out));
        Self { node, endpoint, view, departures, belts, task }
    }

    /// Has the scheduler told when to end by itself, if that is news to it.
    pub(super) fn set_belts(&self, belts: Belts) {
        self.belts.send_if_modified(|known| std::mem::replace(known, belts) != belts);
    }

    /// The scheduler's node.
    pub(super) fn node(&self) -> &NodeName {
        &self.node
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the scheduler said last; marks it as seen.
    pub(super) fn view(&mut self) -> EngineView {
        self.view.borrow_and_update().clone()
    }

    /// Returns when there is something new.
    pub(super) async fn changed(&mut self) {
        if self.view.changed().await.is_err() {
            // The task has ended, which it does only with us.
            std::future::pending::<()>().await;
        }
    }

    /// Events for the workers that left since the last call.
    pub(super) fn departures(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Ok(departure) = self.departures.try_recv() {
            events.extend(departure_event(&departure));
        }
        events
    }
}

impl Drop for EngineWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    endpoint: Endpoint,
    (view, departures): (watch::Sender<EngineView>, mpsc::UnboundedSender<Departure>),
    mut belts: watch::Receiver<Belts>,
) {
    let mut since = None;
    let mut silent = None;
    let mut tries = 0;
    let mut told = None;
    loop {
        let asked = Instant::now();
        let wanted = *belts.borrow_and_update();
        // One that cannot be told does not answer the question either, which is then said.
        if told != Some(wanted) && engine.set_belts(&endpoint, wanted, clock.now()).await.is_ok() {
            told = Some(wanted);
        }
        let question = StatusQuestion { since, wait: WAIT, ranking: Ranking::NotWanted };
        let answer = tokio::select! {
            answer = engine.status(&endpoint, question) => answer,
            Ok(()) = belts.changed() => continue,
        };
        match answer {
            Ok(mut status) => {
                (silent, tries) = (None, 0);
                let news = since != Some(status.sequence);
                for departure in std::mem::take(&mut status.departures) {
                    let _ = departures.send(departure);
                }
                since = Some(status.sequence);
                view.send_replace(EngineView::Seen(status));
                if !news && asked.elapsed() < INTERVAL {
                    tokio::time::sleep(INTERVAL).await;
                }
            }
            Err(error) => {
                since = None;
                let since = *silent.get_or_insert_with(|| clock.now());
                view.send_replace(EngineView::Unreachable { since, message: error.message });
                tokio::time::sleep(RETRY.get(tries).copied().unwrap_or(RETRY[RETRY.len() - 1])).await;
                tries += 1;
            }
        }
    }
}

/// What to say of a worker that left and took results along.
fn departure_event(departure: &Departure) -> Option<Event> {
    let Departure { worker, at, lost_computed, lost_scattered, .. } = departure;
    if lost_computed + lost_scattered == 0 {
        return None;
    }
    let mut message =
        format!("{worker} left with results that nobody else had: {lost_computed} are computed again");
    if *lost_scattered > 0 {
        let _ = write!(message, ", {lost_scattered} scattered objects are lost for good");
    }
    let kind = EventKind::ResultsLost;
    Some(Event { at: *at, severity: Severity::Warning, kind, node: Some(worker.clone()), message })
}
