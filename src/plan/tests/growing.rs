//! Creation and growth.

use insta::assert_snapshot;

use super::story::{Story, adaptive, fixed, group};
use crate::{
    model::{ConditionKind, Stage},
    plan::{AnchorCall, EngineView, Surroundings},
};

#[test]
fn a_cluster_is_created_from_the_anchor_up() {
    let mut story = Story::of(2);
    assert_eq!(story.phase(), "Pending");
    assert_snapshot!(story.plan(), @"make the anchor");
    assert_eq!(story.phase(), "Starting");
    story.all_start();
    assert_snapshot!(story.plan(), @"
    launch demo-scheduler-0-0, alone
    NodeLaunching: the scheduler is asked for
    ");
    story.all_start();
    assert_snapshot!(story.plan(), @"
    launch demo-workers-0-0 demo-workers-1-0, with a scheduler
    NodeLaunching: 2 workers of group workers are asked for
    looks again in 60 s
    ");
    story.status();
    assert_snapshot!(story.plan(), @"
    SchedulerReady: the scheduler demo-scheduler-0-0 answers at tls://demo-scheduler-0-0:8786
    looks again in 2 s
    ");
    assert_snapshot!(story.condition(ConditionKind::SchedulerReady), @"yes, Answers: listens at tls://demo-scheduler-0-0:8786");
    assert_eq!(story.phase(), "Starting");
    story.all_start().all_register();
    assert_snapshot!(story.plan(), @"WorkersReady: all 2 workers are there");
    assert_eq!(story.phase(), "Ready");
    assert_snapshot!(story.after(100).plan(), @"nothing");
}

#[test]
fn nothing_is_asked_for_twice_while_the_call_is_under_way() {
    let mut story = Story::of(1);
    story.operations.anchor = AnchorCall::InFlight;
    assert_snapshot!(story.plan(), @"nothing");
    story.operations.anchor = AnchorCall::Made(story.now);
    story.all_start().plan();
    let name = story.name("scheduler-0-0");
    story.operations.launching.insert(name);
    assert_snapshot!(story.after(3600).plan(), @"nothing");
}

#[test]
fn a_node_that_does_not_appear_is_asked_for_again_under_the_same_name() {
    let mut story = Story::of(1);
    story.plan();
    story.all_start().plan();
    assert_snapshot!(story.after(1).plan(), @"looks again in 1 s");
    assert_snapshot!(story.after(1).plan(), @"
    launch demo-scheduler-0-0, alone
    looks again in 58 s
    ");
}

#[test]
fn a_new_controller_repeats_the_calls_of_its_predecessor_under_the_same_names() {
    let mut story = Story::running(1);
    story.edit(|spec| spec.workers = fixed(3));
    story.plan();
    story.restart().all_register();
    // However long it took: nobody knows whether they were made.
    assert_snapshot!(story.after(7200).plan(), @"launch demo-workers-1-0 demo-workers-2-0, with a scheduler");
}

#[test]
fn a_group_grows_into_free_slots_under_new_names() {
    let mut story = Story::running(2);
    story.edit(|spec| spec.workers = fixed(4));
    assert_snapshot!(story.plan(), @"
    launch demo-workers-2-0 demo-workers-3-0, with a scheduler
    NodeLaunching: 2 workers of group workers are asked for
    ");
    assert_eq!(story.phase(), "Starting");
    story.all_start().all_register();
    assert_snapshot!(story.plan(), @"WorkersReady: all 4 workers are there");
}

#[test]
fn a_new_group_gets_its_workers() {
    let mut story = Story::running(1);
    story.edit(|spec| {
        spec.worker_groups.insert(group("highmem"), fixed(2));
    });
    assert_snapshot!(story.plan(), @"
    launch demo-highmem-0-0 demo-highmem-1-0, with a scheduler
    NodeLaunching: 2 workers of group highmem are asked for
    ");
    assert_snapshot!(story.condition(ConditionKind::WorkersReady), @"no, Missing: ready: workers 1 of 1, highmem 0 of 2");
}

#[test]
fn an_adaptive_group_keeps_its_size_within_its_bounds() {
    let mut story = Story::running(3);
    story.edit(|spec| spec.workers = adaptive(1, 8));
    assert_snapshot!(story.plan(), @"looks again in 30 s");
    story.edit(|spec| spec.workers = adaptive(5, 8));
    assert_snapshot!(story.plan(), @"
    launch demo-workers-3-0 demo-workers-4-0, with a scheduler
    Scaled: group workers: 3 to 5 workers, because its minimum is 5
    NodeLaunching: 2 workers of group workers are asked for
    ");
}

#[test]
fn without_the_callers_environment_nothing_starts_and_it_is_said_why() {
    let mut story = Story::of(1);
    story.facts.surroundings = Surroundings::Missing;
    assert_snapshot!(story.plan(), @"nothing");
    assert_eq!(story.phase(), "Degraded");
    assert_snapshot!(story.condition(ConditionKind::Degraded), @"yes, CredentialsNeeded: the environment variables of whoever created the cluster were lost with the processes that held them; run the same `crewcall create` again");
    story.facts.surroundings = Surroundings::AtHand;
    assert_snapshot!(story.plan(), @"make the anchor");
}

#[test]
fn what_fills_no_slot_is_ended_and_its_name_is_not_used_again() {
    let mut story = Story::running(1);
    let template = story.world.nodes[0].template.clone();
    for (slot, incarnation) in [(0, 4), (1, 2)] {
        let id = story.id("workers", slot, incarnation);
        story.world.nodes.push(super::story::node(&id, &template));
    }
    assert_snapshot!(story.plan(), @"remove within 25s demo-workers-0-4 demo-workers-1-2");
    story.removals_end();
    story.edit(|spec| spec.workers = fixed(2));
    assert_snapshot!(story.plan(), @"
    launch demo-workers-1-3, with a scheduler
    NodeLaunching: a worker of group workers is asked for
    ");
}

#[test]
fn nodes_of_another_cluster_are_never_touched() {
    let mut story = Story::running(1);
    let template = story.world.nodes[0].template.clone();
    let mut id = story.id("workers", 5, 0);
    id.cluster = "other".parse().unwrap();
    story.world.nodes.push(super::story::node(&id, &template));
    assert_snapshot!(story.plan(), @"nothing");
}

#[test]
fn a_cluster_is_not_ready_while_its_scheduler_does_not_answer() {
    let mut story = Story::running(2);
    assert_eq!(story.phase(), "Ready");
    let message = "connection refused".to_owned();
    story.engine = EngineView::Unreachable { since: story.now, message };
    assert_snapshot!(story.after(7200).plan(), @"nothing");
    assert_eq!(story.phase(), "Degraded");
    assert!(story.entries().values().all(|entry| entry.stage == Stage::Registered));
}
