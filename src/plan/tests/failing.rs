//! What fails is replaced, ever more slowly, and said.

use std::fmt::Write;

use insta::assert_snapshot;

use super::story::{Story, fixed};
use crate::{
    model::{AnchorState, ConditionKind, ErrorKind, Exit, NodeState},
    plan::{AnchorCall, EngineView, LaunchFailure},
};

#[test]
fn a_failed_worker_gets_a_successor_and_its_last_words_are_told() {
    let mut story = Story::running(2);
    story.node_mut("workers-1-0").last_log = vec!["Killed".to_owned()];
    story.after(100).ends("workers-1-0", None);
    assert_snapshot!(story.plan(), @"
    remove now demo-workers-1-0
    launch demo-workers-1-1, with a scheduler
    !NodeFailed: demo-workers-1-0 ended: signal 9; the last lines of its log:
      Killed
    NodeLaunching: a worker of group workers is asked for
    ");
    assert_eq!(story.phase(), "Starting");
}

#[test]
fn what_keeps_failing_is_tried_one_at_a_time_and_ever_less_often() {
    let mut story = Story::running(0);
    story.edit(|spec| spec.workers = fixed(3));
    let mut told = String::new();
    for round in 0..5 {
        let _ = write!(told, "--- {round}\n{}", story.plan());
        story.all_start();
        for slot in 0..3 {
            let short = format!("workers-{slot}-{round}");
            if story.world.nodes.iter().any(|node| node.id.name() == story.name(&short)) {
                story.ends(&short, Some(1));
            }
        }
        told.push_str(&story.plan());
        story.removals_end().after(4);
    }
    assert_snapshot!(told, @"
    --- 0
    launch demo-workers-0-0 demo-workers-1-0 demo-workers-2-0, with a scheduler
    NodeLaunching: 3 workers of group workers are asked for
    remove now demo-workers-0-0 demo-workers-1-0 demo-workers-2-0
    launch demo-workers-0-1 demo-workers-1-1 demo-workers-2-1, with a scheduler
    !NodeFailed: demo-workers-0-0 ended before it was ready: exit code 1
    !NodeFailed: demo-workers-1-0 ended before it was ready: exit code 1
    !NodeFailed: demo-workers-2-0 ended before it was ready: exit code 1
    NodeLaunching: 3 workers of group workers are asked for
    --- 1
    launch demo-workers-0-1 demo-workers-1-1 demo-workers-2-1, with a scheduler
    remove now demo-workers-0-1 demo-workers-1-1 demo-workers-2-1
    !NodeFailed: demo-workers-0-1 ended before it was ready: exit code 1
    !NodeFailed: demo-workers-1-1 ended before it was ready: exit code 1
    !NodeFailed: demo-workers-2-1 ended before it was ready: exit code 1
    looks again in 1 s
    --- 2
    launch demo-workers-0-2 demo-workers-1-2 demo-workers-2-2, with a scheduler
    NodeLaunching: 3 workers of group workers are asked for
    remove now demo-workers-0-2 demo-workers-1-2 demo-workers-2-2
    !NodeFailed: demo-workers-0-2 ended before it was ready: exit code 1
    !NodeFailed: demo-workers-1-2 ended before it was ready: exit code 1
    !NodeFailed: demo-workers-2-2 ended before it was ready: exit code 1
    !BackingOff: group workers has failed 3 times in a row; the next try is in 2 s
    looks again in 2 s
    --- 3
    launch demo-workers-0-3, with a scheduler
    NodeLaunching: a worker of group workers is asked for
    remove now demo-workers-0-3
    !NodeFailed: demo-workers-0-3 ended before it was ready: exit code 1
    !BackingOff: group workers has failed 4 times in a row; the next try is in 4 s
    looks again in 4 s
    --- 4
    launch demo-workers-0-4, with a scheduler
    NodeLaunching: a worker of group workers is asked for
    remove now demo-workers-0-4
    !NodeFailed: demo-workers-0-4 ended before it was ready: exit code 1
    !BackingOff: group workers has failed 5 times in a row; the next try is in 8 s
    looks again in 8 s
    ");
    assert_eq!(story.phase(), "Degraded");
    assert_snapshot!(story.condition(ConditionKind::Degraded), @"yes, WorkersFailing: 5 failures in a row, the last: demo-workers-0-4 ended before it was ready: exit code 1");
}

#[test]
fn what_keeps_failing_is_tried_again_at_once_when_somebody_asks_anew() {
    let mut story = Story::running(0);
    story.edit(|spec| spec.workers = fixed(2));
    for round in 0..5 {
        story.plan();
        story.all_start();
        for slot in 0..2 {
            let short = format!("workers-{slot}-{round}");
            if story.world.nodes.iter().any(|node| node.id.name() == story.name(&short)) {
                story.ends(&short, Some(1));
            }
        }
        story.plan();
        story.removals_end().after(4);
    }
    assert_snapshot!(story.plan(), @"looks again in 4 s");
    assert_eq!(story.phase(), "Degraded");
    story.ask_anew();
    assert_snapshot!(story.plan(), @"
    launch demo-workers-0-5 demo-workers-1-3, with a scheduler
    NodeLaunching: 2 workers of group workers are asked for
    ");
    assert_eq!(failures(&story), 0);
    assert_eq!(story.phase(), "Starting");
}

#[test]
fn failures_are_forgiven_once_a_successor_has_run_well() {
    let mut story = Story::running(1);
    story.ends("workers-0-0", Some(1)).plan();
    story.removals_end().all_start().all_register().plan();
    assert_eq!(failures(&story), 1);
    story.after(59).plan();
    assert_eq!(failures(&story), 1);
    story.after(1).plan();
    assert_eq!(failures(&story), 0);
    assert_snapshot!(story.plan(), @"nothing");
}

#[test]
fn a_slot_that_keeps_failing_is_not_forgiven_for_the_health_of_the_others() {
    let mut story = Story::running(1);
    story.after(3600);
    story.edit(|spec| spec.workers = fixed(2));
    for round in 0..4 {
        story.plan();
        story.all_start().after(90);
        story.ends(&format!("workers-1-{round}"), Some(1)).plan();
        story.removals_end().after(10);
    }
    assert_eq!(failures(&story), 4);
}

#[test]
fn failures_are_forgiven_once_nothing_is_missing_any_more() {
    let mut story = Story::running(1);
    story.edit(|spec| spec.workers = fixed(2));
    story.plan();
    for _ in 0..4 {
        story.launch_fails("workers-1-0", ErrorKind::Capacity, "no room");
        story.plan();
        story.after(10);
    }
    assert_eq!(story.phase(), "Degraded");
    story.edit(|spec| spec.workers = fixed(1));
    story.plan();
    story.removals_end().after(60).plan();
    assert_eq!(story.phase(), "Ready");
}

fn failures(story: &Story) -> u32 {
    story.record.progress.ledger.groups[&super::story::group("workers")].failures.streak
}

#[test]
fn a_failed_call_is_repeated_under_the_same_name_as_late_as_the_row_of_failures_says() {
    let mut story = Story::running(0);
    story.edit(|spec| spec.workers = fixed(1));
    story.plan();
    for _ in 0..4 {
        story.launch_fails("workers-0-0", ErrorKind::Capacity, "no room");
        story.plan();
        story.after(4).plan();
    }
    story.launch_fails("workers-0-0", ErrorKind::Capacity, "no room");
    assert_snapshot!(story.plan(), @"
    !ProviderError: demo-workers-0-0 could not be started: no room
    looks again in 8 s
    ");
    assert_snapshot!(story.after(7).plan(), @"looks again in 1 s");
    assert_snapshot!(story.after(1).plan(), @"launch demo-workers-0-0, with a scheduler");
}

#[test]
fn a_call_that_can_never_succeed_costs_its_name() {
    let mut story = Story::running(0);
    story.edit(|spec| spec.workers = fixed(1));
    story.plan();
    story.launch_fails("workers-0-0", ErrorKind::Invalid, "no such image");
    assert_snapshot!(story.plan(), @"
    launch demo-workers-0-1, with a scheduler
    !ProviderError: demo-workers-0-0 could not be started: no such image
    NodeLaunching: a worker of group workers is asked for
    ");
}

#[test]
fn a_late_worker_is_replaced_and_it_is_said_what_it_waited_for() {
    let mut story = Story::running(1);
    story.edit(|spec| spec.workers = fixed(3));
    story.plan();
    story.all_start();
    story.node_mut("workers-2-0").state = NodeState::Pending(Some("no node has 8 GiB free".to_owned()));
    assert_snapshot!(story.after(59).plan(), @"looks again in 1 s");
    assert_snapshot!(story.after(1).plan(), @"
    remove now demo-workers-1-0 demo-workers-2-0
    launch demo-workers-1-1 demo-workers-2-1, with a scheduler
    !NodeLate: demo-workers-1-0 was asked for at 1970-01-01T00:00:00Z and is not registered: it runs, but its scheduler has not seen it; it is replaced
    !NodeLate: demo-workers-2-0 was asked for at 1970-01-01T00:00:00Z and is not registered: no node has 8 GiB free; it is replaced
    NodeLaunching: 2 workers of group workers are asked for
    ");
}

#[test]
fn a_node_that_runs_is_not_late_while_nobody_could_ask_whether_it_registered() {
    let mut story = Story::running(1);
    story.edit(|spec| spec.workers = fixed(2));
    story.plan();
    story.all_start().restart();
    let ledger = &mut story.record.progress.ledger;
    let scheduler = ledger.groups.get_mut(&crate::spec::GroupName::scheduler()).unwrap();
    scheduler.slots.values_mut().for_each(|entry| entry.stage = crate::model::Stage::Launched);
    assert_snapshot!(story.after(3600).plan(), @"nothing");
    story.engine = EngineView::Unreachable { since: story.now, message: "slow".to_owned() };
    assert_snapshot!(story.after(10).plan(), @"looks again in 20 s");
    story.all_register();
    assert_snapshot!(story.plan(), @"
    SchedulerReady: the scheduler demo-scheduler-0-0 answers at tls://demo-scheduler-0-0:8786
    WorkersReady: all 2 workers are there
    ");
}

#[test]
fn a_scheduler_that_never_answers_is_late() {
    let mut story = Story::of(1);
    story.plan();
    story.all_start().plan();
    story.all_start();
    story.engine = EngineView::Unreachable { since: story.now, message: "connection refused".to_owned() };
    story.after(60);
    assert_snapshot!(story.plan(), @"
    remove now demo-scheduler-0-0
    launch demo-scheduler-0-1, alone
    !NodeLate: demo-scheduler-0-0 was asked for at 1970-01-01T00:00:00Z and is not registered: it runs, but does not answer; it is replaced
    NodeLaunching: the scheduler is asked for
    ");
}

#[test]
fn a_node_may_be_invisible_for_a_while_after_its_creation() {
    let mut story = Story::of(0);
    story.facts.visibility_delay = std::time::Duration::from_secs(30);
    story.plan();
    story.all_start().plan();
    story.all_start().plan();
    let nodes = std::mem::take(&mut story.world.nodes);
    assert_snapshot!(story.after(10).plan(), @"looks again in 20 s");
    story.world.nodes = nodes;
    assert_snapshot!(story.plan(), @"looks again in 50 s");
}

#[test]
fn a_worker_that_its_scheduler_has_lost_is_replaced_after_a_while() {
    let mut story = Story::running(1);
    let name = story.name("workers-0-0");
    let seen = story.status().workers.remove(&name).unwrap();
    assert_snapshot!(story.plan(), @"looks again in 30 s");
    story.status().workers.insert(name.clone(), seen);
    story.after(10).plan();
    story.status().workers.remove(&name);
    assert_snapshot!(story.after(25).plan(), @"looks again in 30 s");
    assert_snapshot!(story.after(30).plan(), @"
    remove now demo-workers-0-0
    launch demo-workers-0-1, with a scheduler
    !NodeFailed: demo-workers-0-0 runs, but its scheduler has not seen it since 1970-01-01T00:00:35Z; it is replaced
    NodeLaunching: a worker of group workers is asked for
    ");
}

#[test]
fn a_worker_that_retired_by_itself_is_no_failure() {
    let mut story = Story::running(1);
    story.after(100).ends("workers-0-0", Some(0));
    assert_snapshot!(story.plan(), @"
    remove now demo-workers-0-0
    launch demo-workers-0-1, with a scheduler
    NodeEnded: demo-workers-0-0 ended by itself (retired by a client, or at the end of its lifetime)
    NodeLaunching: a worker of group workers is asked for
    ");
}

#[test]
fn a_worker_that_somebody_else_ends_is_replaced() {
    let mut story = Story::running(1);
    story.node_mut("workers-0-0").state = NodeState::Ending;
    assert_snapshot!(story.plan(), @"
    launch demo-workers-0-1, with a scheduler
    !NodeEnded: demo-workers-0-0 was told to end by somebody else
    NodeLaunching: a worker of group workers is asked for
    ");
}

#[test]
fn a_lost_scheduler_takes_its_workers_along_and_all_get_successors() {
    let mut story = Story::running(2);
    story.after(100).ends("scheduler-0-0", Some(1));
    assert_snapshot!(story.plan(), @"
    remove now demo-scheduler-0-0 demo-workers-0-0 demo-workers-1-0
    launch demo-scheduler-0-1, alone
    !SchedulerLost: the scheduler demo-scheduler-0-0 is gone (exit code 1); all results in the cluster are lost
    NodeLaunching: the scheduler is asked for
    ");
    story.removals_end().all_start();
    assert_snapshot!(story.plan(), @"
    launch demo-workers-0-1 demo-workers-1-1, with a scheduler
    NodeLaunching: 2 workers of group workers are asked for
    looks again in 60 s
    ");
    assert_eq!(story.phase(), "Starting");
    assert_snapshot!(story.condition(ConditionKind::SchedulerReady), @"no, Starting: the scheduler runs and does not answer yet");
}

#[test]
fn a_scheduler_that_somebody_else_ends_is_a_lost_one() {
    let mut story = Story::running(1);
    story.node_mut("scheduler-0-0").state = NodeState::Ending;
    assert_snapshot!(story.plan(), @"
    launch demo-scheduler-0-1, alone
    remove now demo-workers-0-0
    !SchedulerLost: demo-scheduler-0-0 was told to end by somebody else; all results in the cluster are lost
    NodeLaunching: the scheduler is asked for
    ");
}

#[test]
fn a_scheduler_that_keeps_failing_is_tried_ever_less_often() {
    let mut story = Story::of(1);
    story.plan();
    story.all_start();
    for round in 0..3 {
        story.plan();
        story.all_start().ends(&format!("scheduler-0-{round}"), Some(1));
        story.plan();
        story.removals_end().after(if round == 2 { 1 } else { 2 });
    }
    assert_snapshot!(story.plan(), @"looks again in 1 s");
    assert_snapshot!(story.condition(ConditionKind::Degraded), @"yes, SchedulerFailing: 3 failures in a row, the last: demo-scheduler-0-2 ended before it was ready: exit code 1");
}

#[test]
fn a_lost_anchor_means_that_all_is_lost_and_made_again() {
    let mut story = Story::running(2);
    story.world = crate::model::Observed::default();
    story.engine = EngineView::NotAsked;
    assert_snapshot!(story.plan(), @"
    !SchedulerLost: what held the cluster's processes is gone, and they with it; all results are lost
    looks again in 2 s
    ");
    story.all_start();
    assert_snapshot!(story.plan(), @"
    launch demo-scheduler-0-1, alone
    NodeLaunching: the scheduler is asked for
    ");
}

#[test]
fn an_anchor_that_is_not_shown_for_a_while_loses_nothing() {
    let mut story = Story::running(1);
    story.facts.visibility_delay = std::time::Duration::from_secs(30);
    let world = std::mem::take(&mut story.world);
    assert_snapshot!(story.plan(), @"looks again in 30 s");
    assert_snapshot!(story.after(29).plan(), @"looks again in 1 s");
    story.world = world;
    let told = story.plan();
    assert!(!told.contains("launch") && !told.contains("lost"), "{told}");
    story.world = crate::model::Observed::default();
    story.after(1).plan();
    let told = story.after(30).plan();
    assert!(told.contains("all results are lost"), "{told}");
}

#[test]
fn an_anchor_that_somebody_removes_is_waited_for() {
    let mut story = Story::running(1);
    story.world.anchor = AnchorState::Ending;
    assert_snapshot!(story.plan(), @"looks again in 1 s");
}

#[test]
fn an_anchor_that_cannot_be_made_is_tried_again_later() {
    let mut story = Story::of(1);
    for failures in 1..=4 {
        story.operations.anchor = AnchorCall::Failed(LaunchFailure {
            node: None,
            at: story.now,
            kind: ErrorKind::Auth,
            message: "access denied".to_owned(),
        });
        story.plan();
        let degraded = story.condition(ConditionKind::Degraded);
        assert_eq!(degraded.starts_with("yes"), failures >= 3, "after {failures} failures: {degraded}");
        story.operations.anchor = AnchorCall::NotMade;
        story.after(1);
    }
    assert_snapshot!(story.plan(), @"looks again in 3 s");
    assert_snapshot!(story.condition(ConditionKind::Degraded), @"yes, ProviderError: access denied");
    assert_snapshot!(story.after(3).plan(), @"make the anchor");
}

#[test]
fn how_an_ended_node_ended_is_said_in_the_providers_words() {
    let mut story = Story::running(1);
    let at = story.now;
    let reason = Some("out of memory".to_owned());
    story.node_mut("workers-0-0").state =
        NodeState::Ended(Exit { at, code: Some(137), signal: None, reason });
    assert!(story.plan().contains("demo-workers-0-0 ended: out of memory"));
}
