//! Nodes that are launched in batches and named by their provider.

use std::time::Duration;

use super::story::Story;
use crate::{
    model::{
        AnchorState, ConditionKind, ErrorKind, Exit, LaunchId, Money, NodeState, SlotMachine, Stage,
        WorkerState,
    },
    plan::{DrainCall, LaunchCall, MadeNodes},
    spec::{Span, TimeLimit},
};

/// A cluster whose scheduler and so many workers are there.
pub(super) fn running(workers: u32) -> Story {
    let mut story = Story::launching(workers);
    settle(&mut story);
    assert_eq!(story.plan(), "nothing\n");
    story
}

/// Everything that is asked for is made, and registers.
fn settle(story: &mut Story) {
    for _ in 0..5 {
        story.plan();
        story.world.anchor = AnchorState::Present;
        while !story.calls.is_empty() {
            story.answered(u32::MAX);
        }
        story.look();
        story.all_register();
    }
}

/// How many workers were asked for by the plan.
fn asked(story: &Story) -> Vec<u32> {
    story.calls.iter().map(|planned| planned.count).collect()
}

/// Up to the call for the workers.
fn before_workers(workers: u32) -> Story {
    let mut story = Story::launching(workers);
    story.plan();
    story.world.anchor = AnchorState::Present;
    story.plan();
    story.answered(1).plan();
    assert_eq!(asked(&story), [workers]);
    story
}

fn count(story: &Story, stage: Stage) -> usize {
    story.entries().values().filter(|entry| entry.stage == stage).count()
}

#[test]
fn workers_are_launched_in_one_call_as_soon_as_the_schedulers_address_is_known() {
    let mut story = Story::launching(3);
    assert!(story.plan().starts_with("make the anchor\n"));
    story.world.anchor = AnchorState::Present;
    let told = story.plan();
    assert!(told.starts_with("launch 1 of scheduler, choice 0\n"), "{told}");
    story.answered(1);
    story.world.nodes[0].state = NodeState::Pending(None);
    let told = story.plan();
    assert!(told.starts_with("launch 3 of workers, choice 0\n"), "{told}");
    assert_eq!(story.record.progress.ledger.launches.len(), 1, "the scheduler's is closed");
    story.answered(3).all_register();
    story.plan();
    assert!(story.record.progress.ledger.launches.is_empty());
    story.look();
    story.all_register();
    story.plan();
    assert_eq!(count(&story, Stage::Registered), 4);
    let names: Vec<String> = story.entries().keys().map(ToString::to_string).collect();
    assert_eq!(names[1..], ["demo-workers-i-0001", "demo-workers-i-0002", "demo-workers-i-0003"]);
}

#[test]
fn a_launch_larger_than_one_call_takes_several() {
    let story = {
        let mut story = before_workers(2);
        story.edit(|spec| spec.workers.replicas = Some(2_502));
        story.plan();
        story
    };
    assert_eq!(asked(&story), [2, 1000, 1000, 500]);
}

#[test]
fn a_lost_reply_is_followed_by_the_same_call() {
    let mut story = before_workers(3);
    let first = story.calls[0].clone();
    story.refused(ErrorKind::Transient, "no answer");
    story.plan();
    story.after(2).plan();
    assert_eq!(story.calls, [first]);
    // What the first call has made shows itself late, and the repeated call names it.
    story.answered(3).plan();
    assert_eq!(count(&story, Stage::Launched), 4);
    assert_eq!(story.launched, 4);
}

#[test]
fn what_shows_itself_after_a_lost_reply_closes_the_launch_without_another_call() {
    let mut story = before_workers(3);
    let planned = story.calls.remove(0);
    story.make(&planned, 3);
    story.restart();
    let told = story.plan();
    assert!(!told.contains("launch "), "{told}");
    assert!(story.record.progress.ledger.launches.is_empty());
    assert_eq!(count(&story, Stage::Launched), 4);
}

#[test]
fn a_restart_makes_the_same_call_for_what_does_not_show_itself() {
    let mut story = before_workers(3);
    let planned = story.calls[0].clone();
    // One of three is seen already.
    story.make(&planned, 1);
    story.restart();
    story.plan();
    assert_eq!(story.calls, std::slice::from_ref(&planned));
    assert_eq!(count(&story, Stage::Launched), 2);
    story.calls.clear();
    let instances = ["i-0003", "i-0001", "i-0002"].map(crate::model::InstanceId::new).to_vec();
    story.reply(&planned, Ok(MadeNodes { instances, shortfall: None }));
    story.plan();
    assert_eq!(count(&story, Stage::Launched), 4);
    let known = |entry: &crate::model::SlotEntry| matches!(entry.machine, Some(SlotMachine::Known(_)));
    assert!(story.entries().values().all(known));
}

#[test]
fn the_same_token_never_goes_with_another_call() {
    let mut story = before_workers(3);
    let first = story.calls[0].launch.clone();
    story.restart();
    // What a machine is told of its end is part of the call.
    story.edit(|spec| spec.idle_timeout = Some(TimeLimit::After(Span::from_seconds(77).unwrap())));
    let told = story.plan();
    assert!(!told.contains("launch "), "it may still show itself: {told}");
    story.after(11).plan();
    story.plan();
    assert_eq!(asked(&story), [3]);
    assert_ne!(story.calls[0].launch, first);
}

#[test]
fn what_comes_of_a_launch_that_nobody_waits_for_is_ended() {
    let mut story = before_workers(2);
    let planned = story.calls.remove(0);
    story.edit(|spec| spec.workers.replicas = Some(0));
    story.plan();
    assert!(story.record.progress.ledger.launches.is_empty());
    story.make(&planned, 2);
    let told = story.plan();
    assert!(told.contains("demo-workers-i-0001 demo-workers-i-0002"), "{told}");
    assert!(told.starts_with("remove within"), "{told}");
}

#[test]
fn a_partly_filled_launch_is_closed_and_the_rest_is_asked_for_elsewhere() {
    let mut story = before_workers(5);
    let first = story.calls[0].launch.clone();
    story.answered(2);
    let told = story.plan();
    assert!(told.starts_with("launch 3 of workers, choice 1\n"), "{told}");
    assert!(
        told.contains("!NoCapacity: no room for 5 workers of group workers (spot): 2 of 5 were launched")
    );
    assert_ne!(story.calls[0].launch, first);
    story.answered(3).plan();
    assert_eq!(count(&story, Stage::Launched), 6);
}

#[test]
fn without_room_anywhere_it_waits_says_so_and_begins_anew() {
    let mut story = before_workers(4);
    story.refused(ErrorKind::Capacity, "no spot");
    let told = story.plan();
    assert!(told.starts_with("launch 4 of workers, choice 1\n"), "{told}");
    story.refused(ErrorKind::Quota, "no more vCPUs");
    let told = story.plan();
    assert!(told.contains("no more vCPUs; tried again in 60 s"), "{told}");
    assert!(asked(&story).is_empty(), "{told}");
    let degraded = story.condition(ConditionKind::Degraded);
    assert!(degraded.starts_with("yes, NoCapacity: no room for 4 workers of group workers"), "{degraded}");
    assert!(story.condition(ConditionKind::WorkersReady).starts_with("no, NoCapacity"));
    assert!(story.after(59).plan().contains("looks again in"));
    assert!(asked(&story).is_empty());
    let told = story.after(1).plan();
    assert!(told.starts_with("launch 4 of workers, choice 0\n"), "{told}");
    story.answered(4).plan();
    assert!(story.condition(ConditionKind::Degraded).starts_with("no"));
}

#[test]
fn a_call_that_will_never_work_is_given_up_and_another_one_tried_later() {
    let mut story = before_workers(2);
    let first = story.calls[0].launch.clone();
    story.refused(ErrorKind::Invalid, "no such image");
    story.plan();
    let told = story.after(1).plan();
    assert!(!told.contains("no such image"), "{told}");
    assert_ne!(story.calls.last().unwrap().launch, first);
}

#[test]
fn a_machine_that_never_registers_is_ended_and_replaced() {
    let mut story = running(2);
    story.edit(|spec| spec.workers.replicas = Some(3));
    story.plan();
    story.answered(1).plan();
    let mut late = story.world.nodes.pop().unwrap();
    let machine = late.machine.as_mut().unwrap();
    machine.steps = vec!["booted".to_owned(), "pulling the image".to_owned()];
    story.world.nodes.push(late);
    let told = story.after(61).plan();
    assert!(told.contains("remove now demo-workers-i-0003"), "{told}");
    assert!(told.contains("it was last seen pulling the image"), "{told}");
    assert!(told.contains("launch 1 of workers, choice 0"), "{told}");
}

#[test]
fn machines_tell_once_how_far_they_are_and_when_they_have_registered() {
    let mut story = running(1);
    story.edit(|spec| spec.workers.replicas = Some(3));
    story.plan();
    story.answered(2);
    let say = |story: &mut Story, steps: &[&str]| {
        for node in story.world.nodes.iter_mut().rev().take(2) {
            node.machine.as_mut().unwrap().steps = steps.iter().map(ToString::to_string).collect();
        }
    };
    say(&mut story, &["booted", "pulling the image"]);
    let told = story.plan();
    assert!(told.contains("2 machines of workers, demo-workers-i-0002 among them: booted"), "{told}");
    assert!(told.contains("pulling the image"), "{told}");
    say(&mut story, &["booted", "pulling the image", "starting"]);
    let told = story.plan();
    assert!(told.contains("among them: starting") && !told.contains("pulling the image"), "{told}");
    story.all_register();
    let told = story.plan();
    assert!(told.contains("2 machines of workers, demo-workers-i-0002 among them: registered"), "{told}");
    assert!(!story.plan().contains("registered"), "only once");
}

#[test]
fn a_machine_that_was_launched_and_is_not_seen_is_waited_for_and_then_replaced() {
    let mut story = before_workers(1);
    let planned = story.calls.remove(0);
    story.make(&planned, 1);
    let node = story.world.nodes.pop().unwrap();
    let instances = vec![node.id.instance.unwrap()];
    story.reply(&planned, Ok(MadeNodes { instances, shortfall: None }));
    story.plan();
    assert_eq!(count(&story, Stage::Launched), 2);
    story.after(9).plan();
    assert!(asked(&story).is_empty());
    let told = story.after(1).plan();
    assert!(told.contains("it vanished") && told.contains("launch 1 of workers"), "{told}");
}

#[test]
fn a_scale_down_takes_those_that_the_scheduler_names() {
    let mut story = running(3);
    story.edit(|spec| spec.workers.replicas = Some(2));
    story.rank(&["workers-i-0002", "workers-i-0001", "workers-i-0003"]);
    let told = story.plan();
    assert!(told.starts_with("drain demo-workers-i-0002\n"), "{told}");
    story.drained("workers-i-0002", DrainCall::Retired(story.now));
    let told = story.after(6).plan();
    assert!(told.starts_with("remove now demo-workers-i-0002\n"), "{told}");
}

#[test]
fn a_worker_that_is_taken_back_retires_by_itself_and_is_replaced_at_once() {
    let mut story = running(2);
    let at = story.now + Duration::from_mins(2);
    story.node_mut("workers-i-0001").machine.as_mut().unwrap().taken_back_at = Some(at);
    let told = story.plan();
    assert!(told.starts_with("launch 1 of workers, choice 0\n"), "{told}");
    assert!(told.contains("!NodeTakenBack: demo-workers-i-0001 is taken back"), "{told}");
    assert!(!told.contains("drain ") && !told.contains("remove "), "{told}");
    let leaving = story.name("workers-i-0001");
    story.status().workers.get_mut(&leaving).unwrap().state = WorkerState::Retiring;
    story.answered(1).plan();
    story.ends("workers-i-0001", None);
    let told = story.plan();
    assert!(told.contains("Drained: demo-workers-i-0001 was taken back"), "{told}");
    let launches: Vec<&LaunchId> = story.record.progress.ledger.launches.keys().collect();
    assert!(launches.is_empty());
}

#[test]
fn a_scheduler_that_is_taken_back_works_to_the_end_and_it_is_said_once() {
    let mut story = running(1);
    let at = story.now + Duration::from_mins(2);
    story.node_mut("scheduler-i-0000").machine.as_mut().unwrap().taken_back_at = Some(at);
    let told = story.plan();
    assert!(told.starts_with("!NodeTakenBack: the scheduler demo-scheduler-i-0000 is taken back"), "{told}");
    assert_eq!(story.plan(), "nothing\n");
    assert!(story.condition(ConditionKind::Degraded).starts_with("yes, SchedulerTakenBack"));
}

#[test]
fn nothing_is_launched_beyond_the_hourly_limit() {
    let mut story = Story::launching(5);
    // The scheduler costs 10 cents an hour, a worker 4.
    story.facts.launching.as_mut().unwrap().max_hourly_cost = Some(Money(200_000));
    story.plan();
    story.world.anchor = AnchorState::Present;
    story.plan();
    story.answered(1);
    let told = story.plan();
    assert!(told.starts_with("launch 2 of workers, choice 0\n"), "{told}");
    assert!(
        told.contains("!CostLimit: 2 of 5 more nodes of group workers are within maxHourlyCost"),
        "{told}"
    );
    story.answered(2);
    settle(&mut story);
    assert_eq!(story.launched, 3);
    assert!(!story.plan().contains("CostLimit"), "it is said once");
    assert!(story.condition(ConditionKind::Degraded).starts_with("yes, CostLimit"));
    story.facts.launching.as_mut().unwrap().max_hourly_cost = Some(Money(300_000));
    story.plan();
    assert_eq!(asked(&story), [3]);
}

#[test]
fn a_cluster_ends_when_it_has_cost_what_it_may_cost() {
    let mut story = running(2);
    // 18 cents an hour.
    story.facts.launching.as_mut().unwrap().max_cost = Some(Money(360_000));
    story.plan();
    let spending = story.record.progress.ledger.spending.clone().unwrap();
    assert_eq!(spending.hourly, Money(180_000));
    let told = story.after(2 * 3600 - 200).plan();
    assert!(told.starts_with("!EndAnnounced: will be torn down at 1970-01-01T02:00"), "{told}");
    let told = story.after(210).plan();
    assert!(told.contains("ends, because its maxCost is spent"), "{told}");
    assert_eq!(story.record.progress.ledger.spending, Some(spending), "as long as the price stays");
}

#[test]
fn costs_are_added_up_as_the_price_changes() {
    let mut story = running(2);
    story.after(3600);
    story.edit(|spec| spec.workers.replicas = Some(1));
    story.rank(&["workers-i-0001", "workers-i-0002"]);
    story.plan();
    story.ends("workers-i-0001", Some(0));
    story.after(1800).plan();
    let spending = story.record.progress.ledger.spending.clone().unwrap();
    assert_eq!((spending.spent, spending.hourly), (Money(270_000), Money(140_000)));
    assert_eq!(spending.until(story.now + Duration::from_hours(1)), Money(410_000));
}

#[test]
fn machines_learn_of_another_lifetime_in_one_call() {
    let mut story = running(2);
    assert!(story.world.nodes.iter().all(|node| node.machine.as_ref().unwrap().expires_at.is_none()));
    story.edit(|spec| spec.max_lifetime = Some(TimeLimit::After(Span::from_seconds(7200).unwrap())));
    let told = story.plan();
    assert!(
        told.starts_with(
            "let demo-scheduler-i-0000 demo-workers-i-0001 demo-workers-i-0002 expire 1970-01-01T03:00:00Z\n"
        ),
        "{told}"
    );
    for node in &mut story.world.nodes {
        node.machine.as_mut().unwrap().expires_at = "1970-01-01T03:00:00Z".parse().ok();
    }
    let now = story.now;
    story.operations.expiry_ended("1970-01-01T03:00:00Z".parse().ok(), now);
    assert!(!story.plan().contains("expire"));
}

#[test]
fn a_batch_whose_machines_end_at_once_is_tried_ever_less_often() {
    let mut story = before_workers(3);
    for _ in 0..3 {
        story.answered(u32::MAX).plan();
        let at = story.now;
        for node in story.world.nodes.iter_mut().filter(|node| !node.id.group.is_scheduler()) {
            let reason = Some("Client.InternalError".to_owned());
            node.state = NodeState::Ended(Exit { at, code: None, signal: None, reason });
        }
        story.plan();
        story.removals_end();
        story.after(10).plan();
    }
    assert_eq!(asked(&story), [1], "one node at a time is tried");
    assert!(story.condition(ConditionKind::Degraded).contains("Client.InternalError"));
}

#[test]
fn a_call_under_way_is_not_made_twice() {
    let mut story = before_workers(3);
    for _ in 0..3 {
        story.after(30).plan();
    }
    assert_eq!(asked(&story), [3]);
    let launch = story.calls[0].launch.clone();
    assert!(matches!(story.operations.launch_calls.get(&launch), Some(LaunchCall::InFlight(_))));
}
