//! The promises that matter most, on every Python and Dask that is given.

use std::{env, path::PathBuf};

use rustix::process::{Signal, kill_process};

use crate::{
    clients::workers,
    harness::{Home, lines_of, skipped, start, touch, until_gone, with_home_of},
};

/// Computes, holds, and says what it runs on.
const SCRIPT: &str = "
import pathlib, platform, time
import distributed
from dask.distributed import Client, wait
client = Client()
def counted(n):
    with open('runs.txt', 'a') as runs:
        runs.write(f'{n}\\n')
    return bytes([n]) * 50_000
results = client.map(counted, range(60))
wait(results)
scattered = client.scatter([[n] * 1000 for n in range(30)], hash=False)
print('held', flush=True)
while not pathlib.Path('go').exists():
    time.sleep(0.05)
assert client.gather(results) == [bytes([n]) * 50_000 for n in range(60)]
assert client.gather(scattered) == [[n] * 1000 for n in range(30)]
assert client.submit(sum, client.map(lambda n: n * n, range(50))).result() == 40425
assert client.run_on_scheduler(lambda dask_scheduler: max(t.suspicious for t in dask_scheduler.tasks.values())) == 0
print('Python', platform.python_version(), 'distributed', distributed.__version__, flush=True)
";

/// Three workers, then two by a scale, then one by SIGTERM, whose successor comes at once.
fn shrinks_without_loss(home: &Home) -> String {
    home.create("demo", "workers: {replicas: 3, memory: 1GiB}");
    let mut holding = start(home.client("demo", SCRIPT));
    holding.until_printed("held");
    home.ok(&["scale", "demo", "2"]);
    let told = workers(home, "demo")[0];
    kill_process(told, Signal::TERM).unwrap();
    until_gone(told);
    touch(&home.path("work/go"));
    let printed = holding.end().ok();
    assert_eq!(lines_of(&home.path("work/runs.txt")), 60, "each task ran once");
    printed.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn every_python_and_dask_that_is_given_computes_and_shrinks_without_loss() {
    let Some(list) = env::var_os("CREWCALL_TEST_PYTHONS") else {
        return skipped("CREWCALL_TEST_PYTHONS names no Pythons with Dask, separated by colons");
    };
    let pythons: Vec<PathBuf> = env::split_paths(&list).collect();
    for python in &pythons {
        eprintln!("{}", python.display());
        with_home_of(python.clone(), |home| eprintln!("{}: well", shrinks_without_loss(home)));
    }
    assert!(!pythons.is_empty());
}
