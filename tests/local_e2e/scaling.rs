//! Other sizes, while something is computed and while something is held.

use crate::harness::{kill_9, lines_of, start, touch, with_home};

/// Counts each run of each task in a file.
const COMPUTE: &str = "
import time
from dask.distributed import Client, as_completed
client = Client()
def slow_square(n):
    with open('runs.txt', 'a') as runs:
        runs.write(f'{n}\\n')
    time.sleep(0.1)
    return n * n
futures = client.map(slow_square, range(240))
total = client.submit(sum, futures)
for done, _ in enumerate(as_completed(futures), 1):
    if done % 20 == 0:
        print('progress', done, flush=True)
print('total', total.result(), flush=True)
";

#[test]
fn a_computation_has_the_same_result_when_its_cluster_grows_and_shrinks_meanwhile() {
    with_home(|home| {
        home.create("demo", "workers: {replicas: 2, memory: 1GiB}");
        let mut computing = start(home.client("demo", COMPUTE));
        computing.until_printed("progress 20");
        home.ok(&["scale", "demo", "6"]);
        assert!(computing.stdout().lines().all(|line| !line.starts_with("total")), "it was over too soon");
        home.ok(&["scale", "demo", "2"]);
        let printed = computing.end().ok();
        let undisturbed: u64 = (0..240).map(|n| n * n).sum();
        assert_eq!(printed.lines().last(), Some(format!("total {undisturbed}").as_str()));
        // A task that ran on a worker that left may have been begun again; a finished one never was.
        let runs = lines_of(&home.path("work/runs.txt"));
        assert!((240..=244).contains(&runs), "{runs} runs of 240 tasks");
        assert_eq!(home.view("demo")["groups"][0]["ready"], 2);
    });
}

const HOLD: &str = "
import pathlib, time
from dask.distributed import Client, wait
client = Client()
def counted(n):
    with open('runs.txt', 'a') as runs:
        runs.write(f'{n}\\n')
    return bytes([n]) * 50_000
results = client.map(counted, range(60))
wait(results)
scattered = client.scatter([[n] * 1000 for n in range(30)])
print('held', flush=True)
while not pathlib.Path('go').exists():
    time.sleep(0.05)
assert client.gather(results) == [bytes([n]) * 50_000 for n in range(60)]
assert client.gather(scattered) == [[n] * 1000 for n in range(30)]
print('all', len(client.scheduler_info()['workers']), flush=True)
";

#[test]
fn a_cluster_that_shrinks_loses_nothing_and_computes_nothing_again() {
    with_home(|home| {
        home.create("demo", "workers: {replicas: 3, memory: 1GiB}");
        let mut holding = start(home.client("demo", HOLD));
        holding.until_printed("held");
        home.ok(&["scale", "demo", "1"]);
        assert_eq!(home.view("demo")["nodes"].as_array().unwrap().len(), 2, "scheduler and one worker");
        touch(&home.path("work/go"));
        assert_eq!(holding.end().ok().lines().last(), Some("all 1"));
        assert_eq!(lines_of(&home.path("work/runs.txt")), 60, "each task ran once");
        let events = home.ok(&["events", "demo"]);
        assert!(!events.contains("ResultsLost"), "{events}");
    });
}

#[test]
fn a_worker_whose_data_nobody_can_take_is_kept_until_it_is_forced() {
    with_home(|home| {
        home.create("demo", "workers: {replicas: 1, memory: 1GiB}\n  drainTimeout: 5s");
        let mut holding = start(home.client("demo", HOLD));
        holding.until_printed("held");
        let said = home.run(&["scale", "demo", "0"]).fails(5);
        assert!(said.contains("90"), "how much is held is said: {said}");
        assert!(said.contains("--force"), "{said}");
        assert_eq!(home.view("demo")["nodes"].as_array().unwrap().len(), 2, "it is kept");
        home.ok(&["scale", "demo", "0", "--force"]);
        assert_eq!(home.view("demo")["nodes"].as_array().unwrap().len(), 1, "the scheduler alone");
        let events = home.ok(&["events", "demo"]);
        assert!(events.contains("ResultsLost"), "the loss is on record: {events}");
        kill_9(holding.pid());
        assert_eq!(holding.end().signal(), Some(9));
        home.ok(&["scale", "demo", "1"]);
    });
}
