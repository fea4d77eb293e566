//! What cannot move, does not end, or finds no room: the documented behaviour of each.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    clients::{computes, workers},
    disk::TinyDisk,
    harness::{Home, Running, kill_9, lines_of, start, touch, until, until_gone, with_home},
};

/// One death of a worker that a task is blamed for, and it fails.
const UNFORGIVING: &str = "engine: {dask: {config: {distributed.scheduler.allowed-failures: 0}}}";

const WAIT: &str = "
import ctypes, os, pathlib, time
from dask.distributed import Client, wait
client = Client()
def until(name):
    print(name, flush=True)
    while not pathlib.Path('after-' + name).exists():
        time.sleep(0.02)
";

fn client(home: &Home, script: &str) -> Running {
    start(home.client("demo", &format!("{WAIT}{script}")))
}

fn go_on(home: &Home, step: &str) {
    touch(&home.path(&format!("work/after-{step}")));
}

const ACTOR: &str = "
class Counter:
    def __init__(self): self.value = 0
    def add(self):
        self.value += 1
        return self.value
actor = client.submit(Counter, actor=True).result()
assert actor.add().result() == 1
until('lives')
print('counts', actor.add().result(), flush=True)
until('counted')
";

#[test]
fn a_worker_with_an_actor_is_kept_and_the_actor_answers_until_it_is_forced() {
    with_home(|home| {
        home.create("demo", "workers: {replicas: 2, memory: 1GiB}\n  drainTimeout: 5s");
        let mut acting = client(home, ACTOR);
        acting.until_printed("lives");
        // The worker without it goes first, or is asked to in its place.
        let said = home.run(&["scale", "demo", "0"]).fails(5);
        assert!(said.contains("1 actor"), "what is held is said: {said}");
        assert!(said.contains("--force"), "{said}");
        go_on(home, "lives");
        acting.until_printed("counts 2");
        home.ok(&["scale", "demo", "0", "--force"]);
        let events = home.ok(&["events", "demo"]);
        let lost = events.lines().find(|line| line.contains("ResultsLost"));
        assert!(lost.is_some_and(|line| line.contains("1 actor")), "{events}");
        kill_9(acting.pid());
        acting.end();
        home.ok(&["scale", "demo", "2"]);
        computes(home, "demo", 2);
    });
}

/// Holds the interpreter lock in C: no other thread of its process does anything.
const LOCKED: &str = "
def locked(seconds):
    with open('starts.txt', 'a') as starts:
        starts.write('started\\n')
    ctypes.PyDLL(None).sleep(seconds)
";

#[test]
fn a_worker_whose_task_never_lets_go_of_the_interpreter_ends_with_its_group_and_with_its_cluster() {
    with_home(|home| {
        home.create("demo", "workers: {replicas: 1, memory: 1GiB}\n  drainGrace: 3s\n  drainTimeout: 5s");
        let script = format!("{LOCKED}\nfuture = client.submit(locked, 600)\nuntil('asked')\n");
        let mut stuck = client(home, &script);
        stuck.until_printed("asked");
        let starts = home.path("work/starts.txt");
        until("a task that holds the lock", || (lines_of(&starts) == 1).then_some(()));
        // It holds no results, and nothing in its process could notice a request.
        home.ok(&["scale", "demo", "0"]);
        assert_eq!(home.view("demo")["nodes"].as_array().unwrap().len(), 1, "the scheduler alone");
        home.ok(&["scale", "demo", "1"]);
        until("the task on another worker", || (lines_of(&starts) == 2).then_some(()));
        kill_9(stuck.pid());
        stuck.end();
        home.ok(&["delete", "demo"]);
        home.nothing_is_left();
    });
}

const HELD_BEHIND_A_LOCK: &str = "
def counted(n):
    with open('runs.txt', 'a') as runs:
        runs.write(f'{n}\\n')
    return bytes([n]) * 50_000
results = client.map(counted, range(40))
wait(results)
place = sorted(client.scheduler_info()['workers'])[0]
future = client.submit(locked, 12, workers=[place], allow_other_workers=True)
until('asked')
assert client.gather(results) == [bytes([n]) * 50_000 for n in range(40)]
print('all', len(client.scheduler_info()['workers']), flush=True)
";

#[test]
fn a_task_that_holds_the_interpreter_lock_delays_a_scale_down_which_loses_nothing() {
    with_home(|home| {
        home.create("demo", "workers: {replicas: 2, memory: 1GiB}");
        let mut holding = client(home, &format!("{LOCKED}{HELD_BEHIND_A_LOCK}"));
        holding.until_printed("asked");
        until("a task that holds the lock", || (lines_of(&home.path("work/starts.txt")) > 0).then_some(()));
        home.ok(&["scale", "demo", "1"]);
        go_on(home, "asked");
        assert_eq!(holding.end().ok().lines().last(), Some("all 1"));
        assert_eq!(lines_of(&home.path("work/runs.txt")), 40, "each task ran once");
    });
}

const LONG: &str = "
def long(n):
    with open('starts.txt', 'a') as starts:
        starts.write(f'{n}\\n')
    time.sleep(8)
    return n
futures = client.map(long, range(2))
until('started')
print(client.gather(futures), flush=True)
";

/// Two workers, each with a task of eight seconds.
fn two_long_tasks(home: &Home) -> (Running, Vec<Pid>) {
    let spec = format!(
        "workers: {{replicas: 2, memory: 1GiB}}\n  drainGrace: 3s\n  drainTimeout: 5s\n  {UNFORGIVING}"
    );
    home.create("demo", &spec);
    let workers = workers(home, "demo");
    let mut computing = client(home, LONG);
    computing.until_printed("started");
    let starts = home.path("work/starts.txt");
    until("two tasks that run", || (lines_of(&starts) == 2).then_some(()));
    (computing, workers)
}

#[test]
fn a_task_longer_than_the_grace_is_begun_again_elsewhere_without_blame() {
    with_home(|home| {
        let (computing, workers) = two_long_tasks(home);
        kill_process(workers[0], Signal::TERM).unwrap();
        until_gone(workers[0]);
        go_on(home, "started");
        assert_eq!(computing.end().ok().lines().last(), Some("[0, 1]"));
        assert_eq!(lines_of(&home.path("work/starts.txt")), 3, "one of two was begun again");
    });
}

#[test]
fn scaling_down_under_a_long_task_begins_it_again_elsewhere_without_blame() {
    with_home(|home| {
        let (computing, _) = two_long_tasks(home);
        home.ok(&["scale", "demo", "1"]);
        go_on(home, "started");
        assert_eq!(computing.end().ok().lines().last(), Some("[0, 1]"));
        let starts = lines_of(&home.path("work/starts.txt"));
        assert!(starts <= 3, "{starts} starts");
        eprintln!("{starts} starts of 2 tasks");
    });
}

const SPILLING: &str = "
import random
# Nothing that compresses.
def large(n): return random.Random(n).randbytes(20_000_000)
futures = client.map(large, range(10))
wait(futures)
until('held')
for n, future in enumerate(futures):
    assert future.result() == large(n), n
print('all', flush=True)
";

#[test]
fn results_that_find_no_room_on_disk_stay_in_memory_and_are_right() {
    with_home(|home| {
        let spill = home.path("work/spill");
        fs::create_dir(&spill).unwrap();
        let Some(_disk) = TinyDisk::mount(&spill, "8m") else { return };
        let config = format!(
            "engine: {{dask: {{config: {{temporary-directory: {}, distributed.worker.memory.target: 0.1, \
             distributed.worker.memory.spill: 0.2}}}}}}",
            spill.display()
        );
        home.create("demo", &format!("workers: {{replicas: 1, memory: 768MiB}}\n  {config}"));
        let mut spilling = client(home, SPILLING);
        spilling.until_printed("held");
        let logs = home.ok(&["logs", "demo"]);
        assert!(logs.contains("No space left on device"), "the disk was full, and that is said: {logs}");
        go_on(home, "held");
        assert_eq!(spilling.end().ok().lines().last(), Some("all"));
        computes(home, "demo", 1);
        home.ok(&["delete", "demo"]);
        home.nothing_is_left();
        assert_eq!(fs::read_dir(&spill).unwrap().count(), 0, "nothing is left on the disk");
    });
}
