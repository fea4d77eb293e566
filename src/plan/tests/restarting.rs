//! Workers that their provider has restarted because a client asked for it, and drains by somebody else.

use insta::assert_snapshot;

use super::story::Story;
use crate::model::{ConditionKind, Exit, NodeState, Origin};

/// The slot's node is gone, and its next one runs though no plan asked for it.
fn restarted(story: &mut Story, slot: u32, from: u32, to: u32) {
    let (old, new) = (story.id("workers", slot, from), story.id("workers", slot, to));
    let node = story.world.nodes.iter_mut().find(|node| node.id == old).unwrap();
    node.id = new;
    node.origin = Origin::ClientRestart;
    node.state = NodeState::Running;
    story.status().workers.remove(&old.name());
}

#[test]
fn a_worker_that_a_client_restarted_is_taken_over_and_counts_as_no_failure() {
    let mut story = Story::running(2);
    restarted(&mut story, 0, 0, 1);
    assert_snapshot!(story.plan(), @r"
    NodeRestarted: demo-workers-0-0 was restarted on a client's wish; demo-workers-0-1 takes its place
    looks again in 60 s
    ");
    story.all_register();
    let told = story.plan();
    assert!(told.contains("WorkersReady: all 2 workers are there"), "{told}");
    assert!(story.condition(ConditionKind::Degraded).starts_with("no"));
}

#[test]
fn a_controller_that_was_away_takes_over_whatever_was_restarted_meanwhile() {
    let mut story = Story::running(1);
    restarted(&mut story, 0, 0, 4);
    story.restart();
    let told = story.plan();
    assert!(
        told.contains("NodeRestarted: demo-workers-0-0 was restarted on a client's wish; demo-workers-0-4"),
        "{told}"
    );
    story.all_register();
    story.plan();
    // Its next one has a name that was never used.
    story.after(20).ends("workers-0-4", Some(1));
    let told = story.plan();
    assert!(told.contains("launch demo-workers-0-5"), "{told}");
}

#[test]
fn a_slot_that_a_plan_and_a_client_fill_at_once_has_one_node() {
    let mut story = Story::running(2);
    story.after(1).ends("workers-0-0", Some(1));
    // The plan intends the name that the provider has just started.
    story.plan();
    restarted(&mut story, 0, 0, 1);
    story.all_register();
    let told = story.plan();
    assert!(!told.contains("launch") && !told.contains("NodeRestarted"), "{told}");
    let workers: Vec<String> = story.entries().keys().map(ToString::to_string).collect();
    assert_eq!(workers, ["demo-scheduler-0-0", "demo-workers-0-1", "demo-workers-1-0"]);
}

#[test]
fn a_drain_by_somebody_else_that_lost_something_is_said_and_is_no_failure() {
    let mut story = Story::running(2);
    let at = story.now;
    let reason = Some("told to stop, it could not hand everything over: it still had 3 results".to_owned());
    story.node_mut("workers-0-0").state = NodeState::Ended(Exit { at, code: Some(76), signal: None, reason });
    assert_snapshot!(story.plan(), @r"
    remove now demo-workers-0-0
    launch demo-workers-0-1, with a scheduler
    !ResultsLost: demo-workers-0-0 ended: told to stop, it could not hand everything over: it still had 3 results
    NodeLaunching: a worker of group workers is asked for
    ");
    assert!(story.condition(ConditionKind::Degraded).starts_with("no"));
}

#[test]
fn a_drain_by_somebody_else_that_lost_nothing_is_an_ordinary_end() {
    let mut story = Story::running(2);
    story.after(20).ends("workers-0-0", Some(0));
    let told = story.plan();
    assert!(told.contains("NodeEnded: demo-workers-0-0 ended by itself") && !told.contains('!'), "{told}");
}

#[test]
fn a_task_that_keeps_killing_workers_does_not_keep_them_away() {
    let mut story = Story::running(1);
    for round in 0..8 {
        story.ends(&format!("workers-0-{round}"), Some(5));
        story.plan();
        story.removals_end().after(4);
        story.plan();
        story.all_start().all_register();
        story.plan();
    }
    story.ends("workers-0-8", Some(5));
    assert!(story.plan().contains("the next try is in 4 s"));
}

#[test]
fn a_worker_whose_own_nanny_restarts_it_has_the_time_of_a_start() {
    let mut story = Story::of(1);
    story.spec().workers.nanny = true;
    story.settle();
    let name = story.name("workers-0-0");
    story.status().workers.clear();
    story.plan();
    story.after(59);
    assert!(!story.plan().contains("has not seen it"));
    story.after(2);
    assert!(story.plan().contains(&format!("{name} runs, but its scheduler has not seen it")));
}
