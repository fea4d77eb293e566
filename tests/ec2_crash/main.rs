//! The provider for EC2 where things go wrong: the controller ends at any call, replies are lost, AWS throttles, has
//! no room, shows things late, or credentials end. Nothing is left behind, nothing exists twice, nothing is lost.
//!
//! The real provider, fleet, loop, plan and directory store, over the state machine of the tests' EC2, on paused time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod account;
mod budget;
mod calls;
#[path = "../crash/counted.rs"]
mod counted;
mod engine;
mod forms;
mod harness;
mod scenario;
#[path = "../crash/steps.rs"]
#[expect(dead_code, reason = "the account counts the calls")]
mod steps;
mod stores;
mod weather;

use std::collections::BTreeMap;

use calls::{ACTIONS, CHANGING};
use counted::Memory;
use ec2_double::state::Settings;
use harness::{Choices, Fault, Wish};
use jiff::SignedDuration;
use scenario::{Scenario, Trouble};
use serde_json::json;
use steps::{Crash, Moment};

/// Calls that are no calls of AWS, and that what is made depends on.
const OTHERS: [&str; 6] = ["create", "put_secret", "replace", "append_events", "retire", "remove"];

/// Create, scale up, scale down with results held, delete.
fn life(settings: Settings) -> Scenario {
    Scenario {
        wishes: vec![
            Wish::Create(2),
            Wish::Compute(2),
            Wish::Scale(4),
            Wish::Compute(1),
            Wish::Scale(1),
            Wish::Delete,
        ],
        settings,
        controls: Vec::new(),
        launched: 5,
        calls: 220,
        memory: Memory::Keeps,
        choices: Choices::Many,
        looks_for_intents: true,
    }
}

/// Has trouble with calls of a kind, until a run makes no more of that kind. Returns how often. Of those that are made
/// often each fourth after the first few: they are looks, or parts of one thing.
fn at_each(scenario: &Scenario, trouble: impl Fn(u32) -> Trouble) -> u32 {
    let mut tried = 0;
    for occurrence in (0..60).filter(|number| *number < 4 || number % 4 == 0) {
        let trouble = trouble(occurrence);
        match scenario.run(Some(trouble)) {
            Ok((true, _)) => tried += 1,
            Ok((false, _)) => break,
            Err(fault) => panic!("{trouble:?}: {fault:?}"),
        }
    }
    tried
}

fn crash(call: &'static str, moment: Moment) -> impl Fn(u32) -> Trouble {
    move |occurrence| Trouble::Crash(Crash { call, occurrence: occurrence.into(), moment })
}

fn at_every_call(title: &str, scenario: &Scenario, calls: &[&'static str], moment: Moment) {
    let tried: BTreeMap<&str, u32> =
        calls.iter().map(|call| (*call, at_each(scenario, crash(call, moment)))).collect();
    println!("{title}: {} crash points: {tried:?}", tried.values().sum::<u32>());
    assert!(tried.values().all(|count| *count > 0), "calls that are never made: {tried:?}");
}

#[test]
fn a_controller_that_ends_before_any_call_leaves_nothing_and_makes_nothing_twice() {
    // To end before a look is to end after the call that was before it.
    at_every_call("before", &life(Settings::default()), &CHANGING, Moment::Before);
}

#[test]
fn a_controller_that_ends_after_any_call_leaves_nothing_and_makes_nothing_twice() {
    at_every_call("after", &life(Settings::default()), &ACTIONS, Moment::After);
}

#[test]
fn a_controller_that_ends_when_it_notes_something_leaves_nothing_and_makes_nothing_twice() {
    for moment in [Moment::Before, Moment::After] {
        at_every_call("notes", &life(Settings::default()), &OTHERS, moment);
    }
}

#[test]
fn a_reply_that_is_lost_is_no_reason_to_make_anything_twice() {
    let scenario = life(Settings::default());
    let lost = |action: &&'static str| at_each(&scenario, |number| Trouble::LostReply(action, number));
    let tried: BTreeMap<&str, u32> = ACTIONS.iter().map(|action| (*action, lost(action))).collect();
    println!("lost replies: {tried:?}");
    assert!(tried.values().all(|count| *count > 0), "{tried:?}");
}

#[test]
fn what_is_seen_late_is_no_reason_to_make_it_twice_or_to_forget_it() {
    let late = || {
        let settings = Settings { visibility: SignedDuration::from_secs(30), ..Settings::default() };
        Scenario { calls: 320, ..life(settings) }
    };
    let (_, calls) = late().run(None).unwrap();
    println!("late to be seen: {calls:?}");
    let making = [
        "CreateSecurityGroup",
        "CreateLaunchTemplate",
        "CreateFleet",
        "TerminateInstances",
        "DeleteSecurityGroup",
    ];
    for moment in [Moment::Before, Moment::After] {
        at_every_call("late to be seen", &late(), &making, moment);
    }
}

#[test]
fn a_launch_that_is_one_call_is_made_once_too() {
    let one = Scenario { choices: Choices::One, ..life(Settings::default()) };
    for moment in [Moment::Before, Moment::After] {
        at_every_call("one call each", &one, &["RunInstances"], moment);
    }
    let lost = at_each(&one, |number| Trouble::LostReply("RunInstances", number));
    assert!(lost > 2, "only {lost} launches");
    let (_, calls) = one.run(None).unwrap();
    assert!(!calls.contains_key("CreateFleet") && !calls.contains_key("CreateLaunchTemplate"), "{calls:?}");
}

#[test]
fn a_type_without_room_is_made_up_for_by_others_in_the_same_call() {
    // Of the first pool there is one machine, and none of the next.
    let room = |zone: &str, room: u32| json!({"capacity": {"instance_type": "m6i.large", "zone": zone, "market": "spot", "room": room}});
    let controls = vec![room("us-east-1a", 1), room("us-east-1b", 0)];
    let dry = Scenario { controls, ..life(Settings::default()) };
    let (_, calls) = dry.run(None).unwrap();
    assert_eq!(calls["CreateFleet"], 3, "{calls:?}");
}

#[test]
fn partial_fills_are_filled_up_from_the_next_choice_and_never_twice() {
    // There is one machine of spare capacity.
    let room = json!({"instance_type": "*", "zone": "*", "market": "spot", "room": 1});
    let partial = Scenario { controls: vec![json!({"capacity": room})], ..life(Settings::default()) };
    let lost = at_each(&partial, |number| Trouble::LostReply("CreateFleet", number));
    for moment in [Moment::Before, Moment::After] {
        at_every_call("partial fills", &partial, &["CreateFleet"], moment);
    }
    assert!(lost > 3, "only {lost} launches");
}

#[test]
fn without_spare_capacity_machines_come_at_the_full_price() {
    let room = json!({"instance_type": "*", "zone": "*", "market": "spot", "room": 0});
    let dry = Scenario { controls: vec![json!({"capacity": room})], ..life(Settings::default()) };
    for moment in [Moment::Before, Moment::After] {
        at_every_call("no spare capacity", &dry, &["CreateLaunchTemplate", "CreateFleet"], moment);
    }
}

#[test]
fn two_controllers_that_end_one_after_the_other_change_nothing() {
    let scenario = life(Settings::default());
    for (index, first) in CHANGING.iter().enumerate() {
        for second in CHANGING.iter().skip(index) {
            let [first, second] = [(first, Moment::After), (second, Moment::Before)]
                .map(|(call, moment)| Crash { call, occurrence: 0, moment });
            let trouble = Trouble::Crashes(first, second);
            match scenario.run(Some(trouble)) {
                Ok((came_about, _)) => assert!(came_about, "{trouble:?}"),
                Err(fault) => panic!("{trouble:?}: {fault:?}"),
            }
        }
    }
}

#[test]
fn the_harness_notices_a_launch_without_an_intent() {
    let forgetful = Scenario { memory: Memory::ForgetsIntents, ..life(Settings::default()) };
    let noticed = forgetful.run(None);
    assert!(matches!(noticed, Err(Fault::NoIntent(_))), "{noticed:?}");
}
