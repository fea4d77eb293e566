//! Adaptive size.

use std::{collections::BTreeMap, time::Duration};

use insta::assert_snapshot;

use super::story::{Story, adaptive, fixed, group};
use crate::{
    model::{ConditionKind, Demand, ErrorKind, WorkerStatus},
    plan::{DrainCall, EngineView, needs_ranking},
    spec::WorkerGroupSpec,
};

impl Story {
    /// A cluster with an adaptive default group, its scheduler there, without work.
    fn adaptive(min: u32, max: u32) -> Self {
        let mut story = Self::of(0);
        story.spec().workers = adaptive(min, max);
        story.settle();
        story
    }

    /// So many tasks of so many seconds each wait and run; workers hold nothing.
    fn work(&mut self, tasks: u64, seconds: u64) -> &mut Self {
        self.work_for(&[], tasks, seconds)
    }

    fn work_for(&mut self, resources: &[(&str, f64)], tasks: u64, seconds: u64) -> &mut Self {
        let resources = resources.iter().map(|(name, amount)| ((*name).to_owned(), *amount)).collect();
        let any = !self.status().workers.is_empty();
        let (runnable, unrunnable) = if any { (tasks, 0) } else { (0, tasks) };
        let occupancy = Duration::from_secs(tasks * seconds);
        let status = self.status();
        status.demand = vec![Demand { resources, runnable, unrunnable, occupancy }];
        if tasks == 0 {
            status.demand.clear();
        }
        for worker in status.workers.values_mut() {
            worker.processing = u32::from(tasks > 0);
            (worker.held_bytes, worker.held_results) = (0, 0);
        }
        self
    }

    fn worker(&mut self, short: &str) -> &mut WorkerStatus {
        let name = self.name(short);
        self.status().workers.get_mut(&name).expect("such a worker")
    }

    /// What was asked for starts, registers and is planned with.
    fn arrive(&mut self) -> String {
        self.all_start().all_register();
        self.plan()
    }

    fn size(&self, name: &str) -> usize {
        self.entries().iter().filter(|(id, entry)| id.group == group(name) && entry.is_live()).count()
    }

    fn wanted(&self, name: &str) -> u32 {
        self.record.progress.ledger.groups[&group(name)].adaptive.as_ref().expect("is adaptive").wanted
    }

    fn rank_all(&mut self) {
        let names = self.status().workers.keys().cloned().collect();
        self.status().ranking = Some(names);
    }

    /// Drains that were asked for succeed, and the workers go.
    fn drains_succeed(&mut self) {
        let draining: Vec<_> =
            self.entries().into_iter().filter(|(_, e)| e.is_draining()).map(|(id, _)| id).collect();
        for id in draining {
            let short = id.to_string();
            self.operations.drains.remove(&id.name());
            self.ends(short.strip_prefix("demo-").expect("of the cluster"), Some(0));
        }
        self.plan();
        self.removals_end();
        self.plan();
    }
}

#[test]
fn a_burst_makes_a_group_grow_at_once_and_it_shrinks_when_its_workers_were_idle() {
    let mut story = Story::adaptive(0, 8);
    assert_eq!(story.size("workers"), 0);
    assert_eq!(story.phase(), "Ready");
    assert_snapshot!(story.work(240, 1).plan(), @"
    launch demo-workers-0-0 demo-workers-1-0 demo-workers-2-0 demo-workers-3-0 demo-workers-4-0 demo-workers-5-0 demo-workers-6-0 demo-workers-7-0, with a scheduler
    Scaled: group workers: 0 to 8 workers (its maximum), because there are 240 tasks to do, about 240 s of work, and no worker is there
    NodeLaunching: 8 workers of group workers are asked for
    ");
    story.arrive();
    assert_eq!(story.phase(), "Ready");
    assert_snapshot!(story.after(10).work(0, 0).plan(), @"looks again in 20 s");
    assert_snapshot!(story.after(29).plan(), @"nothing");
    story.after(1);
    assert!(needs_ranking(&story.situation()));
    assert_snapshot!(story.plan(), @"nothing");
    story.rank_all();
    assert_snapshot!(story.plan(), @"
    drain demo-workers-0-0 demo-workers-1-0 demo-workers-2-0 demo-workers-3-0 demo-workers-4-0 demo-workers-5-0 demo-workers-6-0 demo-workers-7-0
    Scaled: group workers: 8 to 0 workers, because 8 workers had nothing to do for 30 s
    Draining: demo-workers-0-0 hands its data over (0 results, 0 bytes): it is not needed any more
    Draining: demo-workers-1-0 hands its data over (0 results, 0 bytes): it is not needed any more
    Draining: demo-workers-2-0 hands its data over (0 results, 0 bytes): it is not needed any more
    Draining: demo-workers-3-0 hands its data over (0 results, 0 bytes): it is not needed any more
    Draining: demo-workers-4-0 hands its data over (0 results, 0 bytes): it is not needed any more
    Draining: demo-workers-5-0 hands its data over (0 results, 0 bytes): it is not needed any more
    Draining: demo-workers-6-0 hands its data over (0 results, 0 bytes): it is not needed any more
    Draining: demo-workers-7-0 hands its data over (0 results, 0 bytes): it is not needed any more
    ");
    story.drains_succeed();
    assert_eq!((story.size("workers"), story.phase().as_str()), (0, "Ready"));
    assert_snapshot!(story.after(100).plan(), @"nothing");
}

#[test]
fn a_group_has_as_many_threads_as_the_work_keeps_busy_for_five_seconds() {
    let mut story = Story::adaptive(0, 100);
    story.spec().workers.threads = Some(4);
    story.work(100, 1).plan();
    assert_eq!(story.size("workers"), 5);
}

#[test]
fn one_long_task_has_one_worker() {
    let mut story = Story::adaptive(0, 8);
    story.work(1, 3600).plan();
    story.arrive();
    assert_snapshot!(story.work(1, 3600).plan(), @"nothing");
    assert_eq!(story.size("workers"), 1);
    assert_snapshot!(story.after(3600).plan(), @"nothing");
}

#[test]
fn in_a_long_tail_only_idle_workers_go() {
    let mut story = Story::adaptive(0, 4);
    story.work(4, 600).plan();
    story.arrive();
    story.work(4, 600).plan();
    story.work(1, 600);
    for idle in ["workers-0-0", "workers-1-0", "workers-3-0"] {
        story.worker(idle).processing = 0;
    }
    story.plan();
    story.after(30).rank_all();
    // The scheduler's ranking may be odd; what works stays all the same.
    assert_snapshot!(story.plan(), @"
    drain demo-workers-0-0 demo-workers-1-0 demo-workers-3-0
    Scaled: group workers: 4 to 1 worker, because 3 workers had nothing to do for 30 s
    Draining: demo-workers-0-0 hands its data over (0 results, 0 bytes): it is not needed any more
    Draining: demo-workers-1-0 hands its data over (0 results, 0 bytes): it is not needed any more
    Draining: demo-workers-3-0 hands its data over (0 results, 0 bytes): it is not needed any more
    ");
}

#[test]
fn work_that_is_done_before_new_workers_come_starts_none() {
    let mut story = Story::adaptive(1, 100);
    story.record.progress.ledger.groups.get_mut(&group("workers")).unwrap().startup_millis = Some(60_000);
    assert_snapshot!(story.work(50, 1).plan(), @"nothing");
    // Of 100 s of work, one thread leaves 40 s when starts take a minute.
    assert_snapshot!(story.work(100, 1).plan(), @"
    launch demo-workers-1-0 demo-workers-2-0 demo-workers-3-0 demo-workers-4-0 demo-workers-5-0 demo-workers-6-0 demo-workers-7-0, with a scheduler
    Scaled: group workers: 1 to 8 workers, because there are 100 tasks to do, about 100 s of work on 1 thread
    NodeLaunching: 7 workers of group workers are asked for
    ");
}

#[test]
fn how_long_starts_take_is_learnt() {
    let mut story = Story::adaptive(0, 8);
    story.work(8, 5).plan();
    story.after(20).arrive();
    assert_eq!(story.record.progress.ledger.groups[&group("workers")].startup_millis, Some(20_000));
}

#[test]
fn workers_on_their_way_are_counted() {
    let mut story = Story::adaptive(0, 8);
    story.work(20, 1).plan();
    assert_eq!(story.size("workers"), 4);
    assert_snapshot!(story.after(1).plan(), @"looks again in 1 s");
    // Work that went away meanwhile does not take them back at once.
    assert_snapshot!(story.work(0, 0).plan(), @"looks again in 1 s");
    assert_snapshot!(story.after(30).plan(), @"
    remove within 25s demo-workers-3-0 demo-workers-2-0 demo-workers-1-0 demo-workers-0-0
    Scaled: group workers: 4 to 0 workers, because 4 workers had nothing to do for 30 s
    NodeEnded: demo-workers-3-0 is no longer wanted, and had not registered yet
    NodeEnded: demo-workers-2-0 is no longer wanted, and had not registered yet
    NodeEnded: demo-workers-1-0 is no longer wanted, and had not registered yet
    NodeEnded: demo-workers-0-0 is no longer wanted, and had not registered yet
    looks again in 29 s
    ");
}

#[test]
fn results_that_fill_the_memory_make_a_group_grow() {
    let mut story = Story::adaptive(1, 8);
    story.work(1, 1);
    story.worker("workers-0-0").held_bytes = 610_000;
    story.worker("workers-0-0").held_results = 5;
    assert_snapshot!(story.plan(), @"
    launch demo-workers-1-0, with a scheduler
    Scaled: group workers: 1 to 2 workers, because results fill more than 60 % of its memory
    NodeLaunching: a worker of group workers is asked for
    ");
    story.arrive();
    // Half of the memory would still not be enough for one worker less.
    story.worker("workers-1-0").processing = 0;
    story.after(60);
    assert_snapshot!(story.plan(), @"nothing");
}

#[test]
fn the_last_worker_stays_while_it_holds_results() {
    let mut story = Story::adaptive(0, 8);
    story.work(10, 1).plan();
    story.arrive();
    story.work(0, 0);
    story.worker("workers-1-0").held_results = 1;
    story.plan();
    story.after(30).rank_all();
    assert_snapshot!(story.plan(), @"
    drain demo-workers-0-0
    Scaled: group workers: 2 to 1 worker, because 1 worker had nothing to do for 30 s
    Draining: demo-workers-0-0 hands its data over (0 results, 0 bytes): it is not needed any more
    ");
    assert_eq!(story.wanted("workers"), 1);
}

#[test]
fn tasks_that_nobody_can_ever_run_are_told_once() {
    let mut story = Story::adaptive(0, 8);
    assert_snapshot!(story.work_for(&[("GPU", 1.0)], 3, 1).plan(), @"!NoWorkerFits: 3 tasks ask for GPU: 1, no group has it");
    assert_snapshot!(story.after(1).plan(), @"nothing");
    assert_snapshot!(story.condition(ConditionKind::WorkersReady), @"yes, AllReady: ready: 0 of 0; 3 tasks ask for GPU: 1, no group has it");
    story.edit(|spec| {
        let resources = BTreeMap::from([("GPU".to_owned(), 1.0)]);
        spec.worker_groups.insert(group("gpu"), WorkerGroupSpec { resources, ..adaptive(0, 0) });
    });
    story.plan();
    assert_snapshot!(story.condition(ConditionKind::WorkersReady), @"yes, AllReady: ready: workers 0 of 0, gpu 0 of 0; 3 tasks ask for GPU: 1, no group that has it may have workers");
}

fn with_gpu_group(workers: WorkerGroupSpec) -> Story {
    let mut story = Story::of(0);
    story.spec().workers = workers;
    let resources = BTreeMap::from([("GPU".to_owned(), 1.0)]);
    let gpu = WorkerGroupSpec { resources, threads: Some(4), ..adaptive(0, 3) };
    story.spec().worker_groups.insert(group("gpu"), gpu);
    story.settle();
    story
}

#[test]
fn tasks_that_ask_for_resources_make_the_group_grow_that_has_them() {
    let mut story = with_gpu_group(adaptive(0, 8));
    assert_snapshot!(story.work_for(&[("GPU", 1.0)], 2, 60).plan(), @"
    launch demo-gpu-0-0 demo-gpu-1-0, with a scheduler
    Scaled: group gpu: 0 to 2 workers, because there are 2 tasks to do, about 120 s of work, and no worker is there
    NodeLaunching: 2 workers of group gpu are asked for
    ");
    assert_eq!((story.size("workers"), story.size("gpu")), (0, 2));
}

#[test]
fn plain_work_goes_to_the_plain_group_and_spills_over_when_that_is_full() {
    let mut story = with_gpu_group(adaptive(0, 2));
    story.work(2, 60).plan();
    assert_eq!((story.size("workers"), story.size("gpu")), (2, 0));
    story.work(6, 60).plan();
    assert_eq!((story.size("workers"), story.size("gpu")), (2, 1));
}

#[test]
fn a_fixed_group_does_what_it_can_before_another_grows() {
    let mut story = with_gpu_group(fixed(2));
    story.work(2, 60).plan();
    assert_eq!((story.size("workers"), story.size("gpu")), (2, 0));
}

#[test]
fn a_group_that_cannot_start_does_not_hold_back_others() {
    let mut story = with_gpu_group(adaptive(0, 2));
    story.work(4, 60).plan();
    assert_eq!((story.size("workers"), story.size("gpu")), (2, 1));
    for _ in 0..4 {
        for short in ["workers-0-0", "workers-1-0"] {
            story.launch_fails(short, ErrorKind::Transient, "no room");
        }
        story.plan();
        story.after(10);
    }
    // The other group does all of the work now, and this one goes on trying.
    story.all_register();
    story.work(12, 60).plan();
    assert_eq!(story.size("gpu"), 3);
    assert_eq!(story.wanted("workers"), 2);
    assert!(story.condition(ConditionKind::Degraded).contains("no room"));
}

#[test]
fn load_that_comes_and_goes_does_not_change_the_size() {
    let mut story = Story::adaptive(0, 8);
    story.work(40, 1).plan();
    story.arrive();
    for _ in 0..50 {
        for tasks in [0, 40] {
            story.work(tasks, 1).after(3);
            let told = story.plan();
            assert!(!told.contains("Scaled") && !told.contains("drain"), "{told}");
        }
    }
    assert_eq!(story.size("workers"), 8);
}

#[test]
fn a_worker_whose_data_nobody_can_take_stays_without_noise() {
    let mut story = Story::adaptive(0, 2);
    story.work(2, 60).plan();
    story.arrive();
    story.work(0, 0).plan();
    story.after(30).rank_all();
    story.plan();
    story.drained("workers-0-0", DrainCall::Refused(story.now));
    story.drained("workers-1-0", DrainCall::Retired(story.now));
    story.status().ranking = None;
    assert_snapshot!(story.plan(), @"
    DrainRefused: demo-workers-0-0 stays: nobody can take what it holds (0 results, 0 bytes); tried again in 60 s and then less often
    looks again in 5 s
    ");
    assert_eq!(story.phase(), "Updating");
    story.operations.drains.clear();
    story.ends("workers-1-0", Some(0));
    story.plan();
    story.removals_end();
    assert_snapshot!(story.plan(), @"looks again in 60 s");
    assert_eq!((story.phase().as_str(), story.wanted("workers")), ("Ready", 1));
    assert!(!needs_ranking(&story.after(29).situation()));
    story.after(31).rank_all();
    assert_snapshot!(story.plan(), @"
    drain demo-workers-0-0
    Scaled: group workers: 1 to 0 workers, because 1 worker had nothing to do for 30 s
    Draining: demo-workers-0-0 hands its data over (0 results, 0 bytes): it is not needed any more
    ");
    story.drained("workers-0-0", DrainCall::Refused(story.now));
    assert_snapshot!(story.after(1).plan(), @"looks again in 120 s");
}

#[test]
fn a_worker_with_an_actor_is_not_asked_to_go() {
    let mut story = Story::adaptive(0, 2);
    story.work(2, 60).plan();
    story.arrive();
    story.work(0, 0);
    story.worker("workers-0-0").actors = 1;
    story.plan();
    story.after(30).rank_all();
    assert_snapshot!(story.plan(), @"
    drain demo-workers-1-0
    Scaled: group workers: 2 to 1 worker, because 1 worker had nothing to do for 30 s
    Draining: demo-workers-1-0 hands its data over (0 results, 0 bytes): it is not needed any more
    ");
}

#[test]
fn a_new_controller_goes_on_with_the_size_and_the_idle_times_of_its_predecessor() {
    let mut story = Story::adaptive(0, 4);
    story.work(4, 60).plan();
    story.arrive();
    story.work(0, 0).plan();
    let known = story.engine.clone();
    story.after(20).restart();
    assert_snapshot!(story.plan(), @"nothing");
    assert_eq!(story.wanted("workers"), 4);
    story.engine = known;
    assert_snapshot!(story.plan(), @"looks again in 10 s");
    story.after(10).rank_all();
    assert!(story.plan().contains("4 to 0 workers"));
}

#[test]
fn an_edit_of_the_bounds_counts_at_once() {
    let mut story = Story::adaptive(0, 8);
    story.edit(|spec| spec.workers = adaptive(2, 8));
    assert_snapshot!(story.plan(), @"
    launch demo-workers-0-0 demo-workers-1-0, with a scheduler
    Scaled: group workers: 0 to 2 workers, because its minimum is 2
    NodeLaunching: 2 workers of group workers are asked for
    ");
    story.arrive();
    story.work(2, 60).plan();
    story.edit(|spec| spec.workers = adaptive(0, 1));
    story.rank_all();
    // Even what works goes, after it has handed its data over.
    assert_snapshot!(story.plan(), @"
    drain demo-workers-0-0
    Scaled: group workers: 2 to 1 worker, because its maximum is 1
    Draining: demo-workers-0-0 hands its data over (0 results, 0 bytes): its group is to be smaller
    ");
}

#[test]
fn a_fixed_size_ends_adaptivity() {
    let mut story = Story::adaptive(0, 8);
    story.work(40, 1).plan();
    story.arrive();
    story.edit(|spec| spec.workers = fixed(4));
    story.rank_all();
    story.plan();
    assert_eq!(story.size("workers"), 4);
    assert!(story.record.progress.ledger.groups[&group("workers")].adaptive.is_none());
    // And back: what is there is where it begins.
    story.drains_succeed();
    story.edit(|spec| spec.workers = adaptive(0, 8));
    story.work(0, 0).plan();
    assert_eq!(story.wanted("workers"), 4);
}

#[test]
fn a_worker_that_dies_and_is_not_needed_is_not_replaced() {
    let mut story = Story::adaptive(0, 8);
    story.work(40, 1).plan();
    story.arrive();
    story.work(2, 60);
    story.ends("workers-5-0", None);
    assert_snapshot!(story.plan(), @"
    remove now demo-workers-5-0
    !NodeFailed: demo-workers-5-0 ended: signal 9
    Scaled: group workers: 8 to 7 workers, because what has ended is not needed
    looks again in 60 s
    ");
}

#[test]
fn a_size_is_kept_while_nobody_can_say_what_waits() {
    let mut story = Story::adaptive(0, 8);
    story.work(40, 1).plan();
    story.arrive();
    story.work(0, 0);
    story.status().unavailable = vec!["demand".to_owned()];
    assert_snapshot!(story.after(600).plan(), @"nothing");
    let message = "no answer".to_owned();
    story.engine = EngineView::Unreachable { since: story.now, message };
    assert_snapshot!(story.after(600).plan(), @"nothing");
    assert_eq!(story.wanted("workers"), 8);
}
