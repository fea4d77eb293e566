//! The same where nodes are launched in batches and named by the provider, as on EC2.

use std::time::Duration;

use crewcall::provider::{
    ErrorKind, ProviderError,
    fake::{Call, Habits, Mishap},
};

use crate::{
    at_each, at_every_step,
    counted::Memory,
    harness::{Fault, Naming, Scenario, Shape, Wish},
    twice,
};

/// A scenario in which so many instances are launched, and not one more, wherever it crashes.
fn exactly(launched: usize, scenario: Scenario) -> Scenario {
    Scenario { naming: Naming::ByProvider(Some(launched)), ..scenario }
}

/// A scenario in which instances may be launched in vain, as long as they do not stay.
fn launching(scenario: Scenario) -> Scenario {
    Scenario { naming: Naming::ByProvider(None), ..scenario }
}

fn late(scenario: Scenario) -> Scenario {
    Scenario { habits: Habits { visibility: Duration::from_secs(5), ..Habits::default() }, ..scenario }
}

#[test]
fn a_batched_create_survives_a_crash_at_every_step_and_launches_nothing_twice() {
    at_every_step("batches: create", &exactly(5, crate::create_of(4)));
    at_every_step("batches: create, late to be seen", &late(exactly(5, crate::create_of(4))));
}

#[test]
fn a_batched_scale_up_survives_a_crash_at_every_step_and_launches_nothing_twice() {
    at_every_step("batches: scale up", &exactly(4, crate::scale_up()));
    at_every_step("batches: scale up, late to be seen", &late(exactly(4, crate::scale_up())));
}

#[test]
fn a_batched_scale_down_survives_a_crash_at_every_step_and_loses_nothing() {
    at_every_step("batches: scale down", &exactly(5, crate::scale_down()));
}

#[test]
fn a_batched_roll_survives_a_crash_at_every_step_and_loses_nothing() {
    at_every_step("batches: roll", &launching(crate::roll()));
}

#[test]
fn a_batched_deletion_survives_a_crash_at_every_step_and_leaves_nothing() {
    at_every_step("batches: delete", &exactly(3, crate::delete()));
    let wishes = [Wish::Create(Shape::of(3)), Wish::Delete];
    at_every_step("batches: create and delete", &launching(late(Scenario::new(&[], &wishes))));
}

#[test]
fn two_crashes_in_a_row_launch_nothing_twice() {
    twice("batches: create, twice", &exactly(5, crate::create_of(4)));
    twice("batches: scale down, twice", &exactly(5, crate::scale_down()));
    twice("batches: delete, twice", &exactly(3, crate::delete()));
}

#[test]
fn partial_fills_survive_a_crash_at_every_step() {
    // The first choice has room for the scheduler and two workers, the second for the other two.
    let partial = || Scenario { rooms: vec![(0, 3)], ..exactly(5, crate::create_of(4)) };
    at_every_step("batches: partial fill", &partial());
    at_every_step("batches: partial fill, late to be seen", &late(partial()));
}

#[test]
fn lost_replies_and_refusals_launch_nothing_twice() {
    let refused = |kind, message: &str| Mishap::Fails(ProviderError::new(kind, message));
    let mishaps = [
        Mishap::ReplyLost,
        refused(ErrorKind::Throttled, "too many requests"),
        refused(ErrorKind::Capacity, "no room"),
        refused(ErrorKind::Invalid, "no such type"),
    ];
    for call in [Call::Observe, Call::EnsureAnchor, Call::Launch, Call::RemoveNodes, Call::RemoveAnchor] {
        for mishap in &mishaps {
            let wishes =
                [Wish::Create(Shape::of(3)), Wish::Compute(2), Wish::Scale(1), Wish::Create(Shape::of(2))];
            let mut scenario = exactly(5, Scenario::new(&[], &[&wishes[..], &[Wish::Delete]].concat()));
            scenario.mishaps = vec![(call, mishap.clone()), (call, mishap.clone()), (call, mishap.clone())];
            assert_eq!(scenario.run(&[]), Ok(Vec::new()), "{call:?} {mishap:?}");
        }
    }
}

#[test]
fn the_harness_notices_a_launch_without_an_intent() {
    let forgetful = Scenario { memory: Memory::ForgetsIntents, ..launching(crate::create_of(2)) };
    let noticed = forgetful.run(&[]);
    assert!(matches!(noticed, Err(Fault::NoIntent(_))), "{noticed:?}");
    let forgetful = Scenario {
        intents: crate::harness::Intents::NotLookedFor,
        naming: Naming::ByProvider(Some(3)),
        ..forgetful
    };
    assert_eq!(forgetful.run(&[]), Ok(Vec::new()), "without a crash nothing is wrong");
    let mut faults = at_each("launch", &forgetful).filter_map(|(_, result)| result.err());
    assert!(faults.next().is_some(), "a forgotten launch is launched again");
}

#[test]
fn calls_are_a_constant_and_one_for_each_thousand_nodes() {
    for workers in [1, 10, 100, 1_500] {
        let wishes = [Wish::Create(Shape::of(workers)), Wish::Delete];
        let needed = workers as usize + 1;
        let made = exactly(needed, Scenario::new(&[], &wishes)).count().unwrap();
        let of = |call| made.get(call).copied().unwrap_or_default();
        println!("{workers} workers: {made:?}");
        assert_eq!(of("launch"), 2 + u64::from(workers.saturating_sub(1)) / 1000, "{workers} workers");
        assert_eq!((of("ensure_anchor"), of("ensure_nodes"), of("remove_nodes")), (1, 0, 0));
        assert!(of("remove_anchor") <= 4 && of("observe") <= 45, "{workers} workers: {made:?}");
    }
}
