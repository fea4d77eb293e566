//! When the scheduler may be tried again, for all connections together.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The pause after the first failure of a row; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest where somebody on the way answers that it cannot be reached, which is a call that it has to serve.
const LONGEST_REFUSED: Duration = Duration::from_secs(30);

/// The longest where nobody is reached, which costs nobody anything.
const LONGEST_UNREACHED: Duration = Duration::from_secs(2);

/// Who did not let a connection through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuser {
    /// Somebody on the way, who has no way further.
    Answered,
    /// Nobody answered.
    Silent,
}

/// The right to try once; says how many tries of the row had failed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass(u32);

#[derive(Debug, Clone, Default)]
struct Row {
    failures: u32,
    next: Option<Instant>,
    problem: String,
}

/// Lets one try after another through while they fail, and all at once when they do not.
#[derive(Debug)]
pub struct Gate {
    row: watch::Sender<Row>,
    /// Spreads the tries of many clusters; from 0 to 255.
    spread: u8,
}

impl Gate {
    /// One that is open; those of clusters with different ids pause a little differently.
    pub fn new(cluster: &str) -> Self {
        let spread = cluster.bytes().fold(0, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(byte));
        Self { row: watch::Sender::new(Row::default()), spread }
    }

    /// Returns when it is this caller's turn to try; with what failed last, if that is not before `deadline`.
    pub async fn turn(&self, deadline: Instant) -> Result<Pass, String> {
        let mut row = self.row.subscribe();
        loop {
            let Row { failures, next, problem } = row.borrow_and_update().clone();
            let Some(due) = next else { return Ok(Pass(failures)) };
            let now = Instant::now();
            if due <= now {
                if self.claim(due, now) {
                    return Ok(Pass(failures));
                }
                continue;
            }
            if now >= deadline {
                return Err(problem);
            }
            tokio::select! {
                // Reopened, or somebody else's try has ended.
                _ = row.changed() => {}
                () = sleep_until(due.min(deadline)) => {}
            }
        }
    }

    /// Takes the turn that is due, unless somebody else just has.
    fn claim(&self, due: Instant, now: Instant) -> bool {
        self.row.send_if_modified(|row| {
            let mine = row.next == Some(due);
            if mine {
                row.next = Some(now + self.pause(row.failures, Refuser::Answered));
            }
            mine
        })
    }

    /// A try failed. Those that were made together count once.
    pub fn failed(&self, Pass(before): Pass, by: Refuser, problem: &str) {
        self.row.send_modify(|row| {
            row.failures = row.failures.max(before.saturating_add(1));
            row.next = Some(Instant::now() + self.pause(row.failures.saturating_sub(1), by));
            problem.clone_into(&mut row.problem);
        });
    }

    /// A try worked, or there is reason to believe that the next will.
    pub fn reopen(&self) {
        self.row.send_if_modified(|row| std::mem::take(row).next.is_some());
    }

    fn pause(&self, failures: u32, by: Refuser) -> Duration {
        match by {
            Refuser::Answered => {
                let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_REFUSED);
                pause + pause / 1024 * u32::from(self.spread)
            }
            Refuser::Silent => FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_UNREACHED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries for so long, as one connection after another does, and returns how often it was let through.
    async fn tries(gate: &Gate, during: Duration, by: Refuser) -> u32 {
        let end = Instant::now() + during;
        let mut count = 0;
        while Instant::now() < end {
            if let Ok(pass) = gate.turn((Instant::now() + Duration::from_secs(20)).min(end)).await {
                count += 1;
                gate.failed(pass, by, "no route to host");
            }
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_cannot_answer_is_tried_less_than_three_times_a_minute_in_the_end() {
        let gate = Gate::new("demo");
        let begin = tries(&gate, Duration::from_mins(1), Refuser::Answered).await;
        assert!((5..=8).contains(&begin), "{begin}");
        let later = tries(&gate, Duration::from_mins(10), Refuser::Answered).await;
        assert!((15..=20).contains(&later), "{later}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_is_back_is_noticed_within_seconds() {
        let gate = Gate::new("demo");
        tries(&gate, Duration::from_mins(5), Refuser::Silent).await;
        let asked = Instant::now();
        gate.turn(asked + Duration::from_secs(20)).await.unwrap();
        assert!(asked.elapsed() <= LONGEST_UNREACHED, "{:?}", asked.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn many_connections_make_no_more_tries_than_one() {
        let gate = std::sync::Arc::new(Gate::new("demo"));
        gate.failed(Pass(0), Refuser::Answered, "no route to host");
        let end = Instant::now() + Duration::from_mins(1);
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let gate = std::sync::Arc::clone(&gate);
                tokio::spawn(async move {
                    let mut count = 0;
                    while let Ok(pass) = gate.turn(end).await {
                        count += 1;
                        gate.failed(pass, Refuser::Answered, "no route to host");
                    }
                    count
                })
            })
            .collect();
        let mut all = 0;
        for one in waiting {
            all += one.await.unwrap();
        }
        assert!((5..=8).contains(&all), "{all}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_at_once_when_the_pod_has_changed() {
        let gate = std::sync::Arc::new(Gate::new("demo"));
        tries(&gate, Duration::from_mins(5), Refuser::Answered).await;
        let waiting = {
            let gate = std::sync::Arc::clone(&gate);
            tokio::spawn(async move { gate.turn(Instant::now() + Duration::from_secs(20)).await })
        };
        tokio::task::yield_now().await;
        let reopened = Instant::now();
        gate.reopen();
        waiting.await.unwrap().unwrap();
        assert_eq!(reopened.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn whose_time_is_up_is_told_what_failed() {
        let gate = Gate::new("demo");
        tries(&gate, Duration::from_mins(5), Refuser::Answered).await;
        let asked = Instant::now();
        let answer = gate.turn(asked + Duration::from_secs(1)).await;
        assert_eq!(answer, Err("no route to host".to_owned()));
        assert_eq!(asked.elapsed(), Duration::from_secs(1));
    }
}
