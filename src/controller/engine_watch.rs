//! Follows what a cluster's scheduler says, by a question that waits for news.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

use super::Clock;
use crate::{
    engine::{Belts, Endpoint, Engine, EngineErrorKind, Ranking, StatusQuestion},
    model::{Departure, Event, EventKind, NodeName, ObservedNode, Severity},
    plan::EngineView,
};

/// How long one question waits for news.
const WAIT: Duration = Duration::from_secs(30);

/// An engine that cannot wait is asked again after so long.
const INTERVAL: Duration = Duration::from_secs(1);

/// Pauses between questions that were not answered; then [`SOON`].
const RETRY: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
];

/// The pause while a scheduler may be starting.
const SOON: Duration = Duration::from_secs(2);

/// So many pauses are that short; then each is twice the one before, up to [`LONGEST`].
const SOON_TRIES: usize = 30;

/// The longest pause. A scheduler of which something new is seen is asked at once.
const LONGEST: Duration = Duration::from_secs(30);

/// The pause after a question that was not answered, after so many others in a row.
fn pause(tries: usize) -> Duration {
    let doubled = tries.saturating_sub(RETRY.len() + SOON_TRIES - 1).min(8);
    RETRY.get(tries).copied().unwrap_or(SOON * (1 << doubled)).min(LONGEST)
}

/// Follows one scheduler until it is dropped.
pub(super) struct EngineWatch {
    node: NodeName,
    seen: ObservedNode,
    endpoint: Endpoint,
    view: watch::Receiver<EngineView>,
    departures: mpsc::UnboundedReceiver<Departure>,
    belts: watch::Sender<Belts>,
    /// Ends a pause.
    again: Arc<Notify>,
    task: JoinHandle<()>,
}

impl EngineWatch {
    pub(super) fn start(
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        seen: ObservedNode,
        endpoint: Endpoint,
        belts: Belts,
    ) -> Self {
        let (view_out, view) = watch::channel(EngineView::NotAsked);
        let (departures_out, departures) = mpsc::unbounded_channel();
        let (belts, belts_out) = watch::channel(belts);
        let said = (view_out, departures_out);
        let again = Arc::new(Notify::new());
        let told = (belts_out, Arc::clone(&again));
        let task = tokio::spawn(follow(engine, clock, endpoint.clone(), said, told));
        Self { node: seen.id.name(), seen, endpoint, view, departures, belts, again, task }
    }

    /// Has the scheduler told when to end by itself, if that is news to it.
    pub(super) fn set_belts(&self, belts: Belts) {
        self.belts.send_if_modified(|known| std::mem::replace(known, belts) != belts);
    }

    /// Takes what is seen of the scheduler's node from outside; one of which that is new is asked anew.
    pub(super) fn note(&mut self, seen: ObservedNode) {
        if self.seen != seen {
            self.seen = seen;
            self.ask_again();
        }
    }

    /// Has a scheduler that did not answer asked again now: something has changed.
    pub(super) fn ask_again(&self) {
        self.again.notify_waiters();
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
    (mut belts, again): (watch::Receiver<Belts>, Arc<Notify>),
) {
    let mut since = None;
    let mut silent = None;
    let mut tries = 0;
    let mut told = None;
    loop {
        let asked = Instant::now();
        let wanted = *belts.borrow_and_update();
        let mut unreachable = None;
        if told != Some(wanted) {
            match engine.set_belts(&endpoint, wanted, clock.now()).await {
                Ok(()) => told = Some(wanted),
                Err(error) if error.kind == EngineErrorKind::Unreachable => unreachable = Some(error),
                // One that refuses to be told may refuse the question, too, which is then said.
                Err(_) => {}
            }
        }
        let question = StatusQuestion { since, wait: WAIT, ranking: Ranking::NotWanted };
        let answer = if let Some(error) = unreachable {
            Err(error)
        } else {
            tokio::select! {
                answer = engine.status(&endpoint, question) => answer,
                Ok(()) = belts.changed() => continue,
            }
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
                let unreachable = EngineView::Unreachable { since, message: error.message };
                // Nobody need look at what was said before.
                view.send_if_modified(|view| {
                    let news = *view != unreachable;
                    *view = unreachable;
                    news
                });
                tokio::select! {
                    () = tokio::time::sleep(pause(tries)) => tries = tries.saturating_add(1),
                    () = again.notified() => tries = 0,
                    Ok(()) = belts.changed() => {}
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduler_that_may_be_starting_is_asked_every_two_seconds_for_a_minute() {
        let minute: Duration = (0..RETRY.len() + SOON_TRIES).map(pause).sum();
        assert!((60..=65).contains(&minute.as_secs()), "{minute:?}");
        assert_eq!(pause(RETRY.len() + SOON_TRIES - 1), SOON);
    }

    #[test]
    fn one_that_is_silent_for_long_is_asked_twice_a_minute() {
        assert_eq!(pause(RETRY.len() + SOON_TRIES), SOON * 2);
        assert_eq!(pause(RETRY.len() + SOON_TRIES + 3), LONGEST);
        assert_eq!(pause(usize::MAX), LONGEST);
    }
}
