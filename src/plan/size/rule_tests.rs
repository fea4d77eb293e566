//! The rule by numbers, and what holds of it for any load.

use std::{collections::BTreeMap, time::Duration};

use proptest::{collection::vec, prelude::*};

use super::{
    load::{GroupLoad, Load},
    rule::{Cause, Need, needs},
};
use crate::model::Demand;

type Resources = BTreeMap<String, f64>;

fn resources(amounts: &[(&str, f64)]) -> Resources {
    amounts.iter().map(|(name, amount)| ((*name).to_owned(), *amount)).collect()
}

fn group<'a>(name: &str, resources: &'a Resources) -> GroupLoad<'a> {
    GroupLoad {
        name: name.parse().unwrap(),
        min: 0,
        max: 10,
        threads: 2,
        resources,
        memory_limit: Some(1000),
        live: 0,
        ready: 0,
        held_bytes: 0,
        held_results: 0,
        with_actors: 0,
        startup: None,
        failing: false,
    }
}

fn work(resources: Resources, tasks: u64, seconds: u64) -> Demand {
    Demand { resources, runnable: tasks, unrunnable: 0, occupancy: Duration::from_secs(seconds) }
}

fn sizes(demand: &[Demand], groups: Vec<GroupLoad<'_>>) -> Vec<u32> {
    needs(&Load { demand, groups }).into_iter().map(|need| need.workers).collect()
}

#[test]
fn threads_get_five_seconds_of_work_each_and_no_more_threads_than_tasks() {
    let none = Resources::new();
    let size =
        |tasks, seconds| sizes(&[work(Resources::new(), tasks, seconds)], vec![group("workers", &none)]);
    assert_eq!(size(100, 40), [4]);
    assert_eq!(size(100, 41), [5]);
    assert_eq!(size(3, 3000), [2]);
    assert_eq!(size(1, 0), [1]);
    assert_eq!(size(100, 5000), [10]);
}

#[test]
fn a_resource_that_suffices_for_one_task_makes_for_a_worker_each() {
    let supply = resources(&[("GPU", 1.0)]);
    let ask = |amount| work(resources(&[("GPU", amount)]), 6, 6000);
    assert_eq!(sizes(&[ask(1.0)], vec![group("gpu", &supply)]), [6]);
    assert_eq!(sizes(&[ask(0.5)], vec![group("gpu", &supply)]), [3]);
    assert_eq!(sizes(&[ask(0.0)], vec![group("gpu", &supply)]), [3]);
    assert_eq!(sizes(&[ask(2.0)], vec![group("gpu", &supply)]), [0]);
}

#[test]
fn threads_that_a_resource_leaves_free_do_other_work() {
    let supply = resources(&[("GPU", 1.0)]);
    let demand = [work(resources(&[("GPU", 1.0)]), 3, 3000), work(Resources::new(), 3, 3000)];
    assert_eq!(sizes(&demand, vec![group("gpu", &supply)]), [3]);
}

#[test]
fn tasks_go_where_they_take_the_fewest_other_resources() {
    let (gpu, both) = (resources(&[("GPU", 1.0)]), resources(&[("DISK", 1.0), ("GPU", 1.0)]));
    let groups = vec![group("both", &both), group("gpu", &gpu)];
    assert_eq!(sizes(&[work(gpu.clone(), 4, 4000)], groups.clone()), [0, 4]);
    assert_eq!(sizes(&[work(gpu.clone(), 12, 12000)], groups), [2, 10]);
}

#[test]
fn what_more_workers_would_not_help_keeps_one() {
    let none = Resources::new();
    let stuck = Demand { unrunnable: 50, ..work(Resources::new(), 0, 5000) };
    let alone = group("workers", &none);
    assert_eq!(sizes(std::slice::from_ref(&stuck), vec![alone.clone()]), [10]);
    let served = GroupLoad { live: 6, ready: 6, ..alone };
    assert_eq!(sizes(&[stuck], vec![served]), [1]);
}

#[test]
fn a_failing_group_hands_on_what_it_cannot_do_and_goes_on_trying() {
    let none = Resources::new();
    let failing = GroupLoad { failing: true, live: 2, ready: 1, ..group("workers", &none) };
    let demand = [work(Resources::new(), 12, 12000)];
    assert_eq!(sizes(&demand, vec![failing, group("other", &none)]), [6, 5]);
}

#[test]
fn memory_makes_a_group_grow_at_sixty_percent_and_shrink_only_to_fifty() {
    let none = Resources::new();
    let size = |held_bytes, live| {
        let group =
            GroupLoad { held_bytes, held_results: 1, live, ready: live, min: 1, ..group("workers", &none) };
        sizes(&[], vec![group])
    };
    assert_eq!((size(600, 1), size(601, 1), size(1801, 1)), (vec![1], vec![2], vec![4]));
    assert_eq!((size(1000, 4), size(1001, 4)), (vec![2], vec![3]));
}

#[test]
fn one_worker_of_the_cluster_stays_with_the_results() {
    let none = Resources::new();
    let holder =
        |name| GroupLoad { live: 2, ready: 2, held_results: 3, held_bytes: 10, ..group(name, &none) };
    assert_eq!(sizes(&[], vec![holder("workers"), holder("other")]), [1, 0]);
    let fixed = GroupLoad { min: 1, max: 1, live: 1, ready: 1, ..group("workers", &none) };
    assert_eq!(sizes(&[], vec![fixed, holder("other")]), [1, 0]);
    let actors = GroupLoad { with_actors: 2, ..holder("workers") };
    let need = needs(&Load { demand: &[], groups: vec![actors] });
    assert_eq!((need[0].workers, need[0].cause), (2, Cause::Results));
}

#[test]
fn numbers_that_nobody_can_have_do_not_break_the_rule() {
    let none = Resources::new();
    let huge = Demand {
        resources: Resources::new(),
        runnable: u64::MAX,
        unrunnable: u64::MAX,
        occupancy: Duration::MAX,
    };
    let odd = Demand { resources: resources(&[("GPU", f64::NAN)]), ..huge.clone() };
    let supply = resources(&[("GPU", f64::INFINITY)]);
    let startup = Some(Duration::MAX);
    let full = GroupLoad { held_bytes: u64::MAX, live: 5, ready: 5, startup, ..group("workers", &none) };
    assert_eq!(sizes(&[huge, odd], vec![full, group("gpu", &supply)]), [10, 10]);
}

fn any_demand() -> impl Strategy<Value = Demand> {
    let ask = prop_oneof![
        3 => Just(Resources::new()),
        2 => (1..4u32).prop_map(|n| resources(&[("GPU", f64::from(n))])),
        1 => (1..4u32).prop_map(|n| resources(&[("GPU", 1.0), ("DISK", f64::from(n))])),
    ];
    (ask, 0..200u64, 0..5u64, 0..2_000u64).prop_map(|(resources, runnable, unrunnable, seconds)| Demand {
        resources,
        runnable,
        unrunnable,
        occupancy: Duration::from_secs(seconds),
    })
}

#[derive(Debug, Clone)]
struct AnyGroup {
    bounds: (u32, u32),
    threads: u32,
    resources: Resources,
    live: u32,
    held: u64,
    with_actors: u32,
    startup: Option<u64>,
    failing: bool,
}

fn any_group() -> impl Strategy<Value = AnyGroup> {
    let supply = prop_oneof![
        2 => Just(Resources::new()),
        2 => (1..5u32).prop_map(|n| resources(&[("GPU", f64::from(n))])),
        1 => (1..5u32).prop_map(|n| resources(&[("GPU", 2.0), ("DISK", f64::from(n))])),
    ];
    let startup = proptest::option::of(0..100u64);
    ((0..4u32, 0..8u32), 1..5u32, supply, 0..14u32, 0..9_000u64, 0..3u32, startup, any::<bool>()).prop_map(
        |((min, more), threads, resources, live, held, with_actors, startup, failing)| AnyGroup {
            bounds: (min, min + more),
            threads,
            resources,
            live,
            held,
            with_actors: with_actors.min(live),
            startup,
            failing,
        },
    )
}

fn needed(demand: &[Demand], groups: &[AnyGroup]) -> Vec<Need> {
    let names = ["workers", "a", "b", "c"];
    let loads = groups.iter().zip(names).map(|(any, name)| GroupLoad {
        min: any.bounds.0,
        max: any.bounds.1,
        threads: any.threads,
        live: any.live,
        ready: any.live,
        held_bytes: if any.live > 0 { any.held } else { 0 },
        held_results: if any.live > 0 { any.held } else { 0 },
        with_actors: any.with_actors,
        startup: any.startup.map(Duration::from_secs),
        failing: any.failing,
        ..group(name, &any.resources)
    });
    needs(&Load { demand, groups: loads.collect() })
}

proptest! {
    #[test]
    fn a_size_is_always_within_its_bounds(
        demand in vec(any_demand(), 0..5),
        groups in vec(any_group(), 1..4),
    ) {
        for (need, group) in needed(&demand, &groups).iter().zip(&groups) {
            let (min, max) = group.bounds;
            prop_assert!((min..=max).contains(&need.workers), "{need:?} of {group:?}");
        }
    }

    #[test]
    fn with_constant_work_a_size_settles_and_stays(
        demand in vec(any_demand(), 0..5),
        groups in vec(any_group(), 1..4),
    ) {
        // As if whatever is decided were there at once, which hides nothing behind idle times.
        let mut groups = groups;
        let mut seen = Vec::new();
        for _ in 0..12 {
            let sizes: Vec<u32> = needed(&demand, &groups).iter().map(|need| need.workers).collect();
            for (group, size) in groups.iter_mut().zip(&sizes) {
                group.live = *size;
                group.with_actors = group.with_actors.min(*size);
            }
            seen.push(sizes);
        }
        prop_assert!(seen[6..].windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    }
}
