//! Scale-down: nothing is removed before its data is elsewhere, unless by force.

use insta::assert_snapshot;

use super::story::{Story, fixed, group};
use crate::{
    model::{ConditionKind, Stage},
    plan::{DrainCall, EngineView, needs_ranking},
};

#[test]
fn the_scheduler_says_who_goes_and_nobody_goes_before_it_has() {
    let mut story = Story::running(4);
    story.edit(|spec| spec.workers = fixed(2));
    assert_snapshot!(story.plan(), @"nothing");
    assert!(needs_ranking(&story.situation()));
    story.rank(&["workers-1-0", "workers-3-0", "workers-0-0", "workers-2-0"]);
    assert!(!needs_ranking(&story.situation()));
    assert_snapshot!(story.plan(), @"
    drain demo-workers-1-0 demo-workers-3-0
    Draining: demo-workers-1-0 hands its data over (2 results, 1000 bytes): its group is to be smaller
    Draining: demo-workers-3-0 hands its data over (2 results, 1000 bytes): its group is to be smaller
    ");
    assert_eq!(story.phase(), "Updating");
}

#[test]
fn each_group_shrinks_by_its_own_members_in_the_schedulers_order() {
    let mut story = Story::of(2);
    story.spec().worker_groups.insert(group("big"), fixed(2));
    story.settle();
    story.edit(|spec| {
        spec.workers = fixed(1);
        spec.worker_groups.insert(group("big"), fixed(1));
    });
    story.rank(&["workers-1-0", "workers-0-0", "big-0-0", "big-1-0"]);
    assert_snapshot!(story.plan(), @"
    drain demo-big-0-0
    drain demo-workers-1-0
    Draining: demo-big-0-0 hands its data over (2 results, 1000 bytes): its group is to be smaller
    Draining: demo-workers-1-0 hands its data over (2 results, 1000 bytes): its group is to be smaller
    ");
}

#[test]
fn what_never_registered_goes_first_and_needs_no_ranking() {
    let mut story = Story::running(2);
    story.edit(|spec| spec.workers = fixed(4));
    story.plan();
    story.all_start().plan();
    story.edit(|spec| spec.workers = fixed(2));
    assert!(!needs_ranking(&story.situation()));
    assert_snapshot!(story.plan(), @"
    remove within 25s demo-workers-3-0 demo-workers-2-0
    NodeEnded: demo-workers-3-0 is no longer wanted, and had not registered yet
    NodeEnded: demo-workers-2-0 is no longer wanted, and had not registered yet
    WorkersReady: all 2 workers are there
    looks again in 60 s
    ");
}

#[test]
fn a_worker_is_removed_once_its_data_is_elsewhere() {
    let mut story = Story::running(2);
    story.edit(|spec| spec.workers = fixed(1));
    story.rank(&["workers-0-0", "workers-1-0"]);
    story.plan();
    assert_snapshot!(story.after(60).plan(), @"nothing");
    story.drained("workers-0-0", DrainCall::Retired(story.now));
    assert_snapshot!(story.plan(), @"looks again in 5 s");
    assert_snapshot!(story.after(5).plan(), @"remove now demo-workers-0-0");
    story.removals_end();
    assert_snapshot!(story.plan(), @"Drained: demo-workers-0-0 has handed its data over and is gone");
    assert_eq!(story.phase(), "Ready");
    assert_snapshot!(story.after(60).plan(), @"nothing");
}

#[test]
fn a_worker_that_ends_by_itself_after_its_drain_is_forgotten() {
    let mut story = Story::running(2);
    story.edit(|spec| spec.workers = fixed(1));
    story.rank(&["workers-0-0", "workers-1-0"]);
    story.plan();
    story.drained("workers-0-0", DrainCall::Retired(story.now));
    story.ends("workers-0-0", Some(0));
    assert_snapshot!(story.plan(), @"
    remove now demo-workers-0-0
    Drained: demo-workers-0-0 has handed its data over and is gone
    ");
}

#[test]
fn a_worker_that_dies_in_its_drain_is_not_said_to_have_saved_its_data() {
    for code in [None, Some(76)] {
        let mut story = Story::running(2);
        story.edit(|spec| spec.workers = fixed(1));
        story.rank(&["workers-0-0", "workers-1-0"]);
        story.plan();
        story.ends("workers-0-0", code);
        let told = story.plan();
        assert!(told.contains("!Drained: demo-workers-0-0 is gone, "), "{told}");
    }
}

#[test]
fn a_refused_drain_is_tried_again_and_given_up_after_the_drain_timeout() {
    let mut story = Story::running(2);
    story.edit(|spec| spec.workers = fixed(1));
    story.rank(&["workers-0-0", "workers-1-0"]);
    story.plan();
    story.status().ranking = None;
    story.drained("workers-0-0", DrainCall::Refused(story.now));
    assert_snapshot!(story.plan(), @"looks again in 5 s");
    assert_snapshot!(story.condition(ConditionKind::Degraded), @"yes, NoRecipient: nobody can take what demo-workers-0-0 holds (2 results, 1000 bytes); it is kept until somebody can");
    assert_snapshot!(story.after(5).plan(), @"
    drain demo-workers-0-0
    looks again in 595 s
    ");
    story.after(595);
    story.drained("workers-0-0", DrainCall::Refused(story.now));
    assert_snapshot!(story.plan(), @"!DrainRefused: demo-workers-0-0 is kept: nobody could take what it holds within 10m; it holds 2 results, 1000 bytes; `crewcall scale … --force` removes it and loses that");
    assert_snapshot!(story.condition(ConditionKind::Degraded), @"yes, NoRecipient: the scale-down of group workers was given up: nobody could take the data");
    assert!(!needs_ranking(&story.situation()));
    assert_snapshot!(story.after(6000).plan(), @"nothing");
    // What is wanted changes: it is tried again.
    story.edit(|spec| spec.workers = fixed(1));
    assert!(needs_ranking(&story.situation()));
}

#[test]
fn a_drain_that_the_scheduler_cannot_do_is_given_up_too() {
    let mut story = Story::running(2);
    story.edit(|spec| spec.workers = fixed(1));
    story.rank(&["workers-0-0", "workers-1-0"]);
    story.plan();
    let message = "no answer to retire_workers in 600 s".to_owned();
    story.after(600);
    story.drained("workers-0-0", DrainCall::Failed { at: story.now, message });
    assert_snapshot!(story.plan(), @"!DrainRefused: demo-workers-0-0 is kept: its scheduler could not have it drained (no answer to retire_workers in 600 s) within 10m; it holds 2 results, 1000 bytes; `crewcall scale … --force` removes it and loses that");
}

#[test]
fn force_removes_what_cannot_be_drained_and_says_what_is_lost() {
    let mut story = Story::running(3);
    story.edit(|spec| spec.workers = fixed(2));
    story.rank(&["workers-0-0", "workers-1-0", "workers-2-0"]);
    story.plan();
    story.status().ranking = None;
    story.drained("workers-0-0", DrainCall::Refused(story.now));
    story.edit(|spec| spec.workers = fixed(1));
    story.record.wanted.forced_generation = Some(story.record.wanted.generation);
    assert!(needs_ranking(&story.situation()));
    story.rank(&["workers-2-0", "workers-1-0"]);
    assert_snapshot!(story.plan(), @"
    remove now demo-workers-0-0 demo-workers-2-0
    !ResultsLost: demo-workers-0-0 of group workers is removed by force, with what it held: 2 results, 1000 bytes
    !ResultsLost: demo-workers-2-0 of group workers is removed by force, with what it held: 2 results, 1000 bytes
    ");
}

#[test]
fn force_does_not_need_a_scheduler_that_answers() {
    let mut story = Story::running(3);
    story.engine = EngineView::Unreachable { since: story.now, message: "gone".to_owned() };
    story.edit(|spec| spec.workers = fixed(1));
    assert_snapshot!(story.plan(), @"nothing");
    story.record.wanted.forced_generation = Some(story.record.wanted.generation);
    assert_snapshot!(story.plan(), @"
    remove now demo-workers-2-0 demo-workers-1-0
    !ResultsLost: demo-workers-2-0 of group workers is removed by force, with what it held: nobody knows what
    !ResultsLost: demo-workers-1-0 of group workers is removed by force, with what it held: nobody knows what
    ");
}

#[test]
fn growth_takes_back_a_worker_whose_drain_was_refused() {
    let mut story = Story::running(3);
    story.edit(|spec| spec.workers = fixed(1));
    story.rank(&["workers-0-0", "workers-1-0", "workers-2-0"]);
    story.plan();
    story.status().ranking = None;
    story.drained("workers-0-0", DrainCall::Refused(story.now));
    story.edit(|spec| spec.workers = fixed(2));
    // The other drain goes on, and the refused one is not asked for again, although it is time.
    assert_snapshot!(story.after(5).plan(), @"
    Draining: demo-workers-0-0 stays: its group is to be larger again
    WorkersReady: all 2 workers are there
    ");
    assert_snapshot!(story.plan(), @"nothing");
    assert_snapshot!(story.condition(ConditionKind::Degraded), @"no, Well: nothing keeps failing");
}

#[test]
fn a_new_controller_goes_on_with_the_drains_of_its_predecessor() {
    let mut story = Story::running(3);
    story.edit(|spec| spec.workers = fixed(1));
    story.rank(&["workers-0-0", "workers-1-0", "workers-2-0"]);
    story.plan();
    let done = story.name("workers-0-0");
    let rest = story.status().clone();
    story.restart();
    assert_snapshot!(story.plan(), @"nothing");
    story.engine = EngineView::Seen(rest);
    story.status().workers.remove(&done);
    assert_snapshot!(story.plan(), @"
    drain demo-workers-1-0
    looks again in 5 s
    ");
    assert_snapshot!(story.after(5).plan(), @"remove now demo-workers-0-0");
}

#[test]
fn a_group_that_is_no_longer_in_the_document_is_drained() {
    let mut story = Story::of(1);
    story.spec().worker_groups.insert(group("big"), fixed(2));
    story.settle();
    story.edit(|spec| spec.worker_groups.clear());
    story.rank(&["workers-0-0", "big-1-0", "big-0-0"]);
    assert_snapshot!(story.plan(), @"
    drain demo-big-1-0 demo-big-0-0
    Draining: demo-big-1-0 hands its data over (2 results, 1000 bytes): its group was taken out of the document
    Draining: demo-big-0-0 hands its data over (2 results, 1000 bytes): its group was taken out of the document
    ");
    for short in ["big-0-0", "big-1-0"] {
        story.ends(short, Some(0));
    }
    story.plan();
    story.removals_end();
    assert_snapshot!(story.plan(), @"nothing");
    assert_eq!(story.phase(), "Ready");
    assert_eq!(story.entries()[&story.id("big", 0, 0)].stage, Stage::Vacant);
}
