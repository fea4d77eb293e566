//! A plan for the largest cluster costs little.
//!
//! The figure: `cargo test --release --lib plan::tests::speed --
//! --nocapture`.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::story::Story;
use crate::{
    plan::{needs_ranking, plan},
    spec::WorkerGroupSpec,
};

/// For a release build. Without optimization it only has to be far below what a quadratic plan would
/// take.
const GOAL: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 10 });

/// The best of so many counts: others who use the processor's caches make it slower, nothing makes it
/// quicker.
const RUNS: usize = if cfg!(debug_assertions) { 2 } else { 20 };

#[test]
fn a_plan_for_ten_thousand_workers_is_quick() {
    let mut story = Story::running(WorkerGroupSpec::MAX_WORKERS);
    let quiet = timed("at rest", || plan(&story.situation()).actions.len());
    assert_eq!(quiet, 0);
    story.edit(|spec| spec.workers.replicas = Some(5_000));
    timed("whether a ranking is needed", || assert!(needs_ranking(&story.situation())));
    let mut ranking: Vec<_> = story.status().workers.keys().cloned().collect();
    ranking.reverse();
    story.status().ranking = Some(ranking);
    let drained = timed("scale-down by half", || plan(&story.situation()).events.len());
    assert_eq!(drained, 5_000);
    story.edit(|spec| {
        spec.workers.replicas = Some(10_000);
        spec.env.insert("SETTING".to_owned(), "new".to_owned());
    });
    timed("roll", || plan(&story.situation()));
}

/// In processor time of this thread, so that a busy machine does not matter.
fn timed<T>(what: &str, work: impl Fn() -> T) -> T {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let mut best = Duration::MAX;
    for _ in 1..RUNS {
        let begun = now();
        drop(work());
        best = best.min(now().saturating_sub(begun));
    }
    println!("plan for 10,000 workers, {what}: {best:?}");
    assert!(best < GOAL, "{what} took {best:?}; the goal is {GOAL:?}");
    work()
}
