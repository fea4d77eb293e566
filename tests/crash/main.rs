//! Kill the controller at every call it makes, before its effect and after it, start another one, and
//! see: nothing is left behind, nothing exists twice, no result is lost.
//!
//! The real fleet, loop, plan and directory store, over a world in memory, on paused time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod batches;
mod counted;
mod harness;
mod steps;

use std::{collections::BTreeMap, time::Duration};

use counted::Memory;
use crewcall::provider::{
    ErrorKind, ProviderError,
    fake::{Call, Habits, Mishap},
};
use harness::{Fault, Intents, Scenario, Shape, Wish};
use steps::{Crash, Moment};

/// All kinds of calls that change something, or that what changes depends on.
const CALLS: [&str; 16] = [
    "list",
    "prepare",
    "create",
    "put_secret",
    "secret",
    "observe",
    "status",
    "replace",
    "append_events",
    "ensure_anchor",
    "ensure_nodes",
    "launch",
    "retire",
    "remove_nodes",
    "remove_anchor",
    "remove",
];

/// Every crash point of a kind of call, until a run makes no more of that kind.
fn at_each(
    call: &'static str,
    scenario: &Scenario,
) -> impl Iterator<Item = (Crash, Result<Vec<&'static str>, Fault>)> {
    [Moment::Before, Moment::After].into_iter().flat_map(move |moment| {
        let runs = (0..60).map(move |occurrence| {
            let crash = Crash { call, occurrence, moment };
            (crash, scenario.run(&[crash]))
        });
        runs.take_while(|(_, result)| result.as_ref().map_or(true, |crashed| !crashed.is_empty()))
    })
}

/// Every crash point, one after the other.
fn at_every_step(title: &str, scenario: &Scenario) {
    let mut tried: BTreeMap<&'static str, u32> = BTreeMap::new();
    for call in CALLS {
        for (crash, result) in at_each(call, scenario) {
            match result {
                Ok(_) => *tried.entry(call).or_default() += 1,
                Err(fault) => panic!("{title}, {crash:?}: {fault:?}"),
            }
        }
    }
    let total: u32 = tried.values().sum();
    println!("{title}: {total} crash points: {tried:?}");
    assert!(total > 10, "only {total} crash points: are the calls counted?");
}

/// Two crashes in a row, the second anywhere in what the next controller does first.
fn twice(title: &str, scenario: &Scenario) {
    const CHANGING: [&str; 6] =
        ["replace", "ensure_nodes", "launch", "retire", "remove_nodes", "remove_anchor"];
    let mut tried = 0;
    for (index, (first, second)) in
        CHANGING.iter().flat_map(|first| CHANGING.iter().map(move |second| (first, second))).enumerate()
    {
        for occurrence in 0..2 {
            let moment = |late| if late { Moment::After } else { Moment::Before };
            let crashes = [
                Crash { call: first, occurrence, moment: moment(index % 2 == 0) },
                Crash { call: second, occurrence: 0, moment: moment(index % 3 == 0) },
            ];
            match scenario.run(&crashes) {
                Ok(ends) => tried += u32::from(ends.len() == 2),
                Err(fault) => panic!("{title}, {crashes:?}: {fault:?}"),
            }
        }
    }
    println!("{title}: {tried} pairs of crash points");
    assert!(tried > 0, "no pair of crash points was reached");
}

fn create() -> Scenario {
    create_of(2)
}

fn create_of(workers: u32) -> Scenario {
    Scenario::new(&[], &[Wish::Create(Shape::of(workers))])
}

fn scale_up() -> Scenario {
    Scenario::new(&[Wish::Create(Shape::of(1)), Wish::Compute(2)], &[Wish::Scale(3)])
}

fn scale_down() -> Scenario {
    Scenario::new(&[Wish::Create(Shape::of(4)), Wish::Compute(3)], &[Wish::Scale(2)])
}

fn roll() -> Scenario {
    let changed = Shape { setting: "two", other_group: Some(1), ..Shape::of(2) };
    Scenario::new(&[Wish::Create(Shape::of(2)), Wish::Compute(3)], &[Wish::Create(changed)])
}

fn delete() -> Scenario {
    Scenario::new(&[Wish::Create(Shape::of(2)), Wish::Compute(1)], &[Wish::Delete])
}

#[test]
fn a_create_survives_a_crash_at_every_step() {
    at_every_step("create", &create());
}

#[test]
fn a_create_with_certificates_survives_a_crash_at_every_step() {
    let shape = Shape { tls: true, ..Shape::of(1) };
    at_every_step("create over TLS", &Scenario::new(&[], &[Wish::Create(shape)]));
}

#[test]
fn a_scale_up_survives_a_crash_at_every_step() {
    at_every_step("scale up", &scale_up());
}

#[test]
fn a_scale_down_survives_a_crash_at_every_step_and_loses_nothing() {
    at_every_step("scale down", &scale_down());
}

#[test]
fn a_changed_template_and_a_new_group_survive_a_crash_at_every_step_and_lose_nothing() {
    at_every_step("roll", &roll());
}

#[test]
fn a_deletion_survives_a_crash_at_every_step_and_leaves_nothing() {
    at_every_step("delete", &delete());
}

#[test]
fn a_create_that_is_deleted_at_once_leaves_nothing_wherever_it_crashes() {
    at_every_step("create and delete", &Scenario::new(&[], &[Wish::Create(Shape::of(1)), Wish::Delete]));
}

#[test]
fn a_world_that_shows_things_late_is_no_reason_to_make_them_twice_or_to_forget_them() {
    let habits = Habits { visibility: Duration::from_secs(5), ..Habits::default() };
    let late = |scenario: Scenario| Scenario { habits: habits.clone(), ..scenario };
    at_every_step("late to be seen: scale up", &late(scale_up()));
    let wishes = [Wish::Create(Shape::of(1)), Wish::Delete];
    at_every_step("late to be seen: create and delete", &late(Scenario::new(&[], &wishes)));
}

#[test]
fn lost_replies_and_refusals_are_repeated_under_the_same_names() {
    let full = ProviderError::new(ErrorKind::Capacity, "no room");
    for call in [Call::Observe, Call::EnsureAnchor, Call::EnsureNodes, Call::RemoveNodes, Call::RemoveAnchor]
    {
        for mishap in [Mishap::ReplyLost, Mishap::Fails(full.clone())] {
            let wishes =
                [Wish::Create(Shape::of(3)), Wish::Compute(2), Wish::Scale(1), Wish::Create(Shape::of(2))];
            let mut scenario = Scenario::new(&[], &[&wishes[..], &[Wish::Delete]].concat());
            scenario.mishaps = vec![(call, mishap.clone()), (call, mishap.clone()), (call, mishap.clone())];
            assert_eq!(scenario.run(&[]), Ok(Vec::new()), "{call:?} {mishap:?}");
        }
    }
}

#[test]
fn two_crashes_in_a_row_change_nothing() {
    twice("create, twice", &create());
    twice("scale down, twice", &scale_down());
    twice("roll, twice", &roll());
    twice("delete, twice", &delete());
}

#[test]
fn the_harness_notices_a_missing_intent() {
    for scenario in [create(), scale_up()] {
        let forgetful = Scenario { memory: Memory::ForgetsIntents, ..scenario };
        let noticed = forgetful.run(&[]);
        assert!(matches!(noticed, Err(Fault::NoIntent(_))), "{noticed:?}");
        // Even where nobody looks for intents, what comes of their absence is seen.
        let forgetful = Scenario { intents: Intents::NotLookedFor, ..forgetful };
        assert_eq!(forgetful.run(&[]), Ok(Vec::new()), "without a crash nothing is wrong");
        let faults = at_each("ensure_nodes", &forgetful).filter_map(|(_, result)| result.err());
        let harm = |fault: &Fault| matches!(fault, Fault::Double(_) | Fault::Orphan(_) | Fault::Lost(_));
        let found: Vec<Fault> = faults.take(2).collect();
        assert!(found.iter().any(harm), "a lost intent is a double, an orphan or a loss: {found:?}");
    }
}
