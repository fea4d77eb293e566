//! A changed template: one new first, then one old drained.

use insta::assert_snapshot;

use super::story::{Story, fixed};
use crate::{
    model::{ErrorKind, Stage},
    plan::DrainCall,
};

fn retemplate(story: &mut Story) {
    story.edit(|spec| {
        spec.env.insert("SETTING".to_owned(), "new".to_owned());
    });
}

#[test]
fn a_changed_template_rolls_one_by_one() {
    let mut story = Story::running(2);
    retemplate(&mut story);
    assert_snapshot!(story.plan(), @"
    launch demo-workers-2-0, with a scheduler
    NodeLaunching: a worker of group workers is asked for
    ");
    story.all_start().all_register();
    story.rank(&["workers-2-0", "workers-1-0", "workers-0-0"]);
    assert_snapshot!(story.plan(), @"
    drain demo-workers-1-0
    Draining: demo-workers-1-0 hands its data over (2 results, 1000 bytes): its successor is there
    ");
    assert_snapshot!(story.plan(), @"nothing");
    story.drained("workers-1-0", DrainCall::Retired(story.now));
    story.ends("workers-1-0", Some(0));
    assert_snapshot!(story.plan(), @"
    remove now demo-workers-1-0
    launch demo-workers-1-1, with a scheduler
    Drained: demo-workers-1-0 has handed its data over and is gone
    NodeLaunching: a worker of group workers is asked for
    ");
    story.removals_end().all_start().all_register();
    assert_snapshot!(story.plan(), @"
    drain demo-workers-0-0
    Draining: demo-workers-0-0 hands its data over (2 results, 1000 bytes): its successor is there
    WorkersReady: all 2 workers are there
    ");
    story.drained("workers-0-0", DrainCall::Retired(story.now));
    story.ends("workers-0-0", Some(0));
    assert_snapshot!(story.plan(), @"
    remove now demo-workers-0-0
    Drained: demo-workers-0-0 has handed its data over and is gone
    ");
    story.removals_end();
    assert_snapshot!(story.plan(), @"nothing");
    assert_eq!(story.phase(), "Ready");
}

#[test]
fn a_size_is_no_template() {
    let mut story = Story::running(2);
    story.edit(|spec| spec.workers.max = Some(9));
    assert_snapshot!(story.plan(), @"nothing");
}

#[test]
fn old_nodes_that_never_registered_are_replaced_at_once() {
    let mut story = Story::of(2);
    story.plan();
    story.all_start().plan();
    story.all_start().plan();
    story.status();
    story.all_start();
    story.plan();
    for slot in 0..2 {
        story.launch_fails(&format!("workers-{slot}-0"), ErrorKind::Invalid, "no such package");
    }
    retemplate(&mut story);
    assert_snapshot!(story.plan(), @"
    remove within 25s demo-workers-1-0 demo-workers-0-0
    launch demo-workers-0-1 demo-workers-1-1, with a scheduler
    NodeEnded: demo-workers-1-0 is no longer wanted, and had not registered yet
    NodeEnded: demo-workers-0-0 is no longer wanted, and had not registered yet
    NodeLaunching: 2 workers of group workers are asked for
    looks again in 60 s
    ");
}

#[test]
fn a_corrected_template_is_not_held_back_by_the_failures_of_the_old_one() {
    let mut story = Story::running(0);
    story.edit(|spec| spec.workers = fixed(2));
    for _ in 0..8 {
        story.plan();
        story.all_start();
        let running: Vec<String> = story
            .entries()
            .into_iter()
            .filter(|(id, entry)| !id.group.is_scheduler() && entry.stage == Stage::Intended)
            .map(|(id, _)| id.to_string().trim_start_matches("demo-").to_owned())
            .collect();
        for short in running {
            story.ends(&short, Some(1));
        }
        story.plan();
        story.removals_end().after(8);
    }
    story.plan();
    assert_eq!(story.phase(), "Degraded");
    retemplate(&mut story);
    let told = story.plan();
    assert!(told.contains("2 workers of group workers are asked for"), "{told}");
}

#[test]
fn a_smaller_size_and_a_new_template_go_together() {
    let mut story = Story::running(5);
    retemplate(&mut story);
    story.edit(|spec| spec.workers.replicas = Some(1));
    story.rank(&["workers-4-0", "workers-3-0", "workers-2-0", "workers-1-0", "workers-0-0"]);
    assert_snapshot!(story.plan(), @"
    drain demo-workers-4-0 demo-workers-3-0 demo-workers-2-0
    Draining: demo-workers-4-0 hands its data over (2 results, 1000 bytes): its group is to be smaller
    Draining: demo-workers-3-0 hands its data over (2 results, 1000 bytes): its group is to be smaller
    Draining: demo-workers-2-0 hands its data over (2 results, 1000 bytes): its group is to be smaller
    ");
}
