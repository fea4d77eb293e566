//! What clusters on Kubernetes are for.

use crate::{
    harness::{start, touch},
    world::with_world,
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
scattered = client.scatter([[n] * 1000 for n in range(30)])
print('held', flush=True)
while not pathlib.Path('go').exists():
    time.sleep(0.05)
assert client.gather(results) == [bytes([n]) * 50_000 for n in range(60)]
assert client.gather(scattered) == [[n] * 1000 for n in range(30)]
print('runs', len(client.get_events('runs')), 'workers', len(client.scheduler_info()['workers']), flush=True)
";

#[test]
fn a_cluster_computes_grows_and_shrinks_without_loss_and_leaves_nothing() {
    with_world(|world| {
        let home = world.home;
        let said = world.create("demo", 1);
        assert!(said.contains("Cluster demo is ready: 1 worker\n"), "{said}");
        let mut holding = start(home.client("demo", HOLD));
        holding.until_printed("held");
        home.ok(&["scale", "demo", "4"]);
        assert_eq!(world.pods().len(), 5);
        home.ok(&["scale", "demo", "2"]);
        assert_eq!(home.view("demo")["groups"][0]["ready"], 2);
        touch(&home.path("work/go"));
        assert_eq!(holding.end().ok().lines().last(), Some("runs 60 workers 2"));
        let events = home.ok(&["events", "demo"]);
        assert!(!events.contains("ResultsLost"), "{events}");
        home.ok(&["delete", "demo"]);
        assert_eq!(world.left(), Vec::<String>::new());
    });
}

#[test]
fn the_log_of_a_worker_is_readable_while_it_runs_and_after_it_is_gone() {
    with_world(|world| {
        let home = world.home;
        world.create("demo", 2);
        let alive = home.ok(&["logs", "demo", "demo-workers-1-0"]);
        assert!(alive.contains("Registered to"), "{alive}");
        home.ok(&["scale", "demo", "1"]);
        let left = world.pods();
        let gone = if left.contains(&"demo-workers-1-0".to_owned()) {
            "demo-workers-0-0"
        } else {
            "demo-workers-1-0"
        };
        let after = home.ok(&["logs", "demo", gone]);
        assert!(after.contains("Registered to"), "{after}");
    });
}

#[test]
fn secret_variables_reach_the_workers_and_no_pod_shows_them() {
    with_world(|world| {
        let home = world.home;
        let spec = format!(
            "{}\n  secretEnv: {{TOKEN: MY_TOKEN}}\n  env: {{PLAIN: \"a$(b)\"}}",
            crate::world::usual(1)
        );
        let document = world.document("demo", &spec);
        let mut create = home.crewcall(&["create", "-f", document.to_str().unwrap()]);
        create.env("MY_TOKEN", "open sesame");
        crate::harness::run(create).ok();
        let script = "
import os
from dask.distributed import Client
print(*Client().run(lambda: os.environ['TOKEN'] + '|' + os.environ['PLAIN']).values())
";
        assert_eq!(home.python("demo", script).trim(), "open sesame|a$(b)");
        let shown = world.kubectl(&["get", "pods", "-o", "yaml"]);
        assert!(!shown.contains("open sesame"));
    });
}

#[test]
fn nannies_and_connections_without_tls_work_too() {
    with_world(|world| {
        let home = world.home;
        let spec = format!(
            "{}\n  tls: false",
            crate::world::usual(1).replace("replicas: 1", "replicas: 1, nanny: true")
        );
        world.try_create("demo", &spec, &[]).ok();
        let endpoint = home.view("demo")["endpoint"].as_str().unwrap().to_owned();
        assert!(endpoint.starts_with("tcp://"), "{endpoint}");
        let script = "from dask.distributed import Client\nprint(Client().submit(sum, [1, 2]).result())";
        assert_eq!(home.python("demo", script).trim(), "3");
    });
}
