//! Workers that are told to stop, and groups that shrink, while results are held and more are computed.

use std::collections::BTreeMap;

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    clients::{computes, workers},
    harness::{Home, Running, is_long, lines_of, start, touch, until, until_gone, with_home},
};

/// One death of a worker that a task is blamed for, and it fails.
const UNFORGIVING: &str = "engine: {dask: {config: {distributed.scheduler.allowed-failures: 0}}}";

/// Holds 60 results and 30 scattered objects; `step(name)` says where it is, and goes on when it is told to.
const HOLDING: &str = "
import os, pathlib, sys, time
from dask.distributed import Client, wait
client = Client()
def counted(key, n):
    with open('runs.txt', 'a') as runs:
        runs.write(f'{key}\\n')
    return bytes([n]) * 50_000
def hold(name):
    keys = [f'{name}-{n}' for n in range(60)]
    results = client.map(counted, keys, range(60), key=keys)
    wait(results)
    return results, client.scatter([[name, n] * 500 for n in range(30)], hash=False)
def kept(name, held):
    results, scattered = held
    assert client.gather(results) == [bytes([n]) * 50_000 for n in range(60)]
    assert client.gather(scattered) == [[name, n] * 500 for n in range(30)]
def step(name):
    print(name, flush=True)
    while not pathlib.Path('after-' + name).exists():
        time.sleep(0.02)
def blamed():
    most = lambda dask_scheduler: max(task.suspicious for task in dask_scheduler.tasks.values())
    return client.run_on_scheduler(most)
";

fn holding(home: &Home, script: &str) -> Running {
    start(home.client("demo", &format!("{HOLDING}{script}")))
}

fn go_on(home: &Home, step: &str) {
    touch(&home.path(&format!("work/after-{step}")));
}

fn sigterm(worker: Pid) {
    kill_process(worker, Signal::TERM).unwrap();
}

#[test]
fn shrinking_again_and_again_loses_nothing_and_computes_nothing_again() {
    with_home(|home| {
        let rounds = if is_long() { 20 } else { 5 };
        home.create("demo", "workers: {replicas: 3, memory: 1GiB}");
        let script = format!(
            "
for round in range({rounds}):
    client.wait_for_workers(3)
    held = hold(f'r{{round}}.')
    step(f'held-{{round}}.')
    kept(f'r{{round}}.', held)
    assert len(client.scheduler_info()['workers']) == 1
    assert blamed() == 0
    step(f'kept-{{round}}.')
    del held
"
        );
        let mut client = holding(home, &script);
        for round in 0..rounds {
            client.until_printed(&format!("held-{round}."));
            home.ok(&["scale", "demo", "1"]);
            go_on(home, &format!("held-{round}."));
            client.until_printed(&format!("kept-{round}."));
            home.ok(&["scale", "demo", "3"]);
            go_on(home, &format!("kept-{round}."));
        }
        client.end().ok();
        assert_eq!(lines_of(&home.path("work/runs.txt")), 60 * rounds, "each task ran once");
        let events = home.ok(&["events", "demo"]);
        assert!(!events.to_lowercase().contains("lost"), "{events}");
        eprintln!("{rounds} times from 3 to 1: {} results and {} objects kept", 60 * rounds, 30 * rounds);
    });
}

const COMPUTING: &str = "
held = hold('h')
def slow(n):
    with open('starts.txt', 'a') as starts:
        starts.write(f'{n}\\n')
    time.sleep(0.2)
    return n * n
print('computing', flush=True)
futures = []
while not pathlib.Path('enough').exists():
    number = len(futures)
    futures += client.map(slow, range(number, number + 12))
    wait(futures[:number])
assert client.gather(futures) == [n * n for n in range(len(futures))]
kept('h', held)
assert blamed() == 0
print('all', len(futures), flush=True)
";

#[test]
fn workers_that_are_told_to_stop_one_after_the_other_lose_nothing_and_no_task_is_blamed() {
    with_home(|home| {
        home.create("demo", &format!("workers: {{replicas: 3, memory: 1GiB}}\n  {UNFORGIVING}"));
        let told = workers(home, "demo");
        let mut client = holding(home, COMPUTING);
        client.until_printed("computing");
        let starts = home.path("work/starts.txt");
        until("a task that runs", || (lines_of(&starts) > 0).then_some(()));
        for worker in &told[..2] {
            sigterm(*worker);
            until_gone(*worker);
        }
        touch(&home.path("work/enough"));
        let printed = client.end().ok();
        let computed = printed.lines().last().and_then(|line| line.strip_prefix("all "));
        assert_eq!(lines_of(&home.path("work/runs.txt")), 60, "each held result was computed once");
        assert_eq!(
            Some(lines_of(&starts).to_string().as_str()),
            computed,
            "a running task was finished, not begun again"
        );
        home.create("demo", &format!("workers: {{replicas: 3, memory: 1GiB}}\n  {UNFORGIVING}"));
        computes(home, "demo", 3);
    });
}

#[test]
fn all_workers_told_to_stop_at_once_end_within_their_grace_and_the_loss_is_said() {
    with_home(|home| {
        home.create("demo", "workers: {replicas: 3, memory: 1GiB}\n  drainGrace: 10s");
        let told = workers(home, "demo");
        let mut client = holding(home, "held = hold('h')\nstep('held')\nprint(len(client.futures))\n");
        client.until_printed("held");
        // A replacement that registers within the grace takes the results over: here none may come.
        let controller = home.controller().unwrap();
        kill_process(controller, Signal::STOP).unwrap();
        let begun = std::time::Instant::now();
        for worker in &told {
            sigterm(*worker);
        }
        for worker in told {
            until_gone(worker);
        }
        kill_process(controller, Signal::CONT).unwrap();
        // The grace, and what a busy machine takes to notice.
        assert!(begun.elapsed().as_secs() < 20, "they took {:?}", begun.elapsed());
        go_on(home, "held");
        let events = until("an event that says what was lost", || {
            let events = home.ok(&["events", "demo"]);
            events.contains("left with results that nobody else had").then_some(events)
        });
        eprintln!("{events}");
        computes(home, "demo", 3);
        drop(client);
    });
}

/// The workers of each group, by process.
fn groups(home: &Home) -> BTreeMap<String, Vec<String>> {
    let view = home.view("demo");
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in view["nodes"].as_array().unwrap() {
        let text = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
        groups.entry(text("group")).or_default().push(format!("{} {}", text("name"), text("address")));
    }
    groups
}

#[test]
fn scaling_one_group_never_touches_the_other() {
    with_home(|home| {
        let spec = "workers: {replicas: 2, memory: 1GiB}\n  workerGroups: {big: {replicas: 3, memory: 1GiB}}";
        home.create("demo", spec);
        let mut client = holding(home, "held = hold('h')\nstep('held')\nkept('h', held)\nprint('all')\n");
        client.until_printed("held");
        let mut before = groups(home);
        for (group, size) in [("big", 1), ("workers", 1), ("big", 3), ("workers", 3), ("big", 0)] {
            home.ok(&["scale", "demo", &size.to_string(), "--group", group]);
            let after = groups(home);
            let other = if group == "big" { "workers" } else { "big" };
            assert_eq!(after.get(other), before.get(other), "after scale {size} of {group}");
            assert_eq!(after.get(group).map_or(0, Vec::len), size);
            before = after;
        }
        go_on(home, "held");
        assert_eq!(client.end().ok().lines().last(), Some("all"));
        assert_eq!(lines_of(&home.path("work/runs.txt")), 60, "each task ran once");
    });
}
