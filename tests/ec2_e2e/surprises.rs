//! Machines that go.

use serde_json::json;

use crate::{
    harness::{kill_9, start, touch, until},
    world::{World, with_world},
};

/// Holds a result on every worker, until it is told to look for them.
const HOLD: &str = "
import pathlib, time
from dask.distributed import Client, wait
client = Client()
results = client.map(lambda n: bytes([n]) * 50_000, range(20), pure=False)
wait(results)
print('held', flush=True)
while not pathlib.Path('go').exists():
    time.sleep(0.05)
assert client.gather(results) == [bytes([n]) * 50_000 for n in range(20)]
print('kept', flush=True)
";

#[test]
fn a_machine_that_ec2_takes_back_hands_its_results_over_and_is_replaced() {
    with_world(|world| {
        world.create(2);
        let before = world.workers();
        let mut holding = start(world.home.client("demo", HOLD));
        holding.until_printed("held");
        world.tell("interrupt", &json!({"instance": before[0], "seconds": 120}));
        until("a worker in the place of the one that went", || {
            let now = world.workers();
            (now.len() == 2 && !now.contains(&before[0])).then_some(())
        });
        touch(&world.home.path("work/go"));
        assert_eq!(holding.end().ok().lines().last(), Some("kept"));
        let events = world.home.ok(&["events", "demo"]);
        assert!(!events.contains("ResultsLost"), "{events}");
    });
}

#[test]
fn a_machine_that_dies_is_replaced() {
    with_world(|world| {
        world.create(1);
        let before = world.workers();
        world.tell("kill-host", &json!({"instance": before[0]}));
        until("a worker in the place of the one that died", || {
            let now = world.workers();
            (now.len() == 1 && now != before).then_some(())
        });
    });
}

#[test]
fn without_any_controller_machines_end_themselves_and_nobody_makes_them_again() {
    with_world(|world| {
        let spec = format!("{}\n  idleTimeout: 10s", World::usual(1));
        world.try_create(&spec, &[]).ok();
        kill_9(world.home.controller().unwrap());
        until("the end of all machines", || {
            let left = world.asked("leftovers");
            let mut left = left.as_array().unwrap().iter().filter_map(|left| left.as_str());
            (!left.any(|left| left.starts_with("instance "))).then_some(())
        });
        // Whoever looks next removes what is left, and makes nothing.
        until("the end of the cluster", || world.home.ok(&["list", "-o", "name"]).is_empty().then_some(()));
        assert_eq!(world.asked("leftovers"), json!([]));
    });
}
