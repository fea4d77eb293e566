//! What clusters on EC2 are for.

use crate::{
    harness::{start, touch},
    world::{World, with_world},
};

/// Counts each run of each task by an event in the scheduler.
const HOLD: &str = "
import pathlib, time
from dask.distributed import Client, get_worker, wait
client = Client()
def counted(n):
    get_worker().log_event('runs', n)
    return bytes([n]) * 50_000
results = client.map(counted, range(60))
wait(results)
print('held', flush=True)
while not pathlib.Path('go').exists():
    time.sleep(0.05)
assert client.gather(results) == [bytes([n]) * 50_000 for n in range(60)]
print('runs', len(client.get_events('runs')), 'workers', len(client.scheduler_info()['workers']), flush=True)
";

#[test]
fn a_cluster_computes_grows_and_shrinks_without_loss_and_leaves_nothing() {
    with_world(|world| {
        let home = world.home;
        let said = world.create(1);
        assert!(said.contains("Cluster demo is ready: 1 worker\n"), "{said}");
        home.ok(&["scale", "demo", "3"]);
        assert_eq!(world.workers().len(), 3);
        let mut holding = start(home.client("demo", HOLD));
        holding.until_printed("held");
        home.ok(&["scale", "demo", "1"]);
        assert_eq!(home.view("demo")["groups"][0]["ready"], 1);
        touch(&home.path("work/go"));
        assert_eq!(holding.end().ok().lines().last(), Some("runs 60 workers 1"));
        let events = home.ok(&["events", "demo"]);
        assert!(!events.contains("ResultsLost"), "{events}");
        home.ok(&["delete", "demo"]);
        assert_eq!(world.asked("leftovers"), serde_json::json!([]));
    });
}

#[test]
fn secret_variables_reach_the_workers_and_tasks_reach_no_credentials_of_the_machine() {
    with_world(|world| {
        let spec = format!("{}\n  secretEnv: {{TOKEN: MY_TOKEN}}", World::usual(1));
        world.try_create(&spec, &[("MY_TOKEN", "open sesame")]).ok();
        let script = "
import os, socket
from dask.distributed import Client
def asked():
    try:
        socket.create_connection(('169.254.169.254', 80), timeout=5).close()
        return 'reached'
    except OSError as error:
        return type(error).__name__
print(*Client().run(lambda: os.environ['TOKEN']).values(), Client().submit(asked).result())
";
        let said = world.home.python("demo", script);
        assert!(said.starts_with("open sesame ") && !said.contains("reached"), "{said}");
    });
}
