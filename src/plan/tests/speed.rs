//! A plan for the largest cluster costs little.

use std::time::{Duration, Instant};

use super::story::Story;
use crate::{
    plan::{needs_ranking, plan},
    spec::WorkerGroupSpec,
};

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
    let drained = timed("scale-down", || plan(&story.situation()).events.len());
    assert_eq!(drained, 5_000);
    story.edit(|spec| {
        spec.env.insert("SETTING".to_owned(), "new".to_owned());
    });
    timed("roll", || plan(&story.situation()));
}

/// Far above the goal for a release build, and far below what a quadratic plan would take.
fn timed<T>(what: &str, work: impl Fn() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    let took = begun.elapsed();
    println!("plan for 10,000 workers, {what}: {took:?}");
    assert!(took < Duration::from_secs(2), "{what} took {took:?}");
    result
}
