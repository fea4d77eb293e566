//! Machines that come by fleets.

use serde_json::{Value, json};

use crate::{harness::until, world::with_world};

const WORKERS: &str = "environment: {image: \"ghcr.io/dask/dask:2026.8.0\"}
  workers: {replicas: 2, threads: 1, memory: 1GiB, ec2: {instanceTypes: [m6i.large, m5.large], purchase: spotWithFallback}}";

const SUM: &str = "
from dask.distributed import Client
client = Client()
print(sum(client.gather(client.map(lambda n: n * n, range(10)))))
";

#[test]
fn workers_come_in_one_call_from_whichever_type_has_room_and_leave_neither_fleet_nor_template() {
    with_world(|world| {
        world.tell(
            "capacity",
            &json!({"instance_type": "m6i.large", "zone": "*", "market": "spot", "room": 1}),
        );
        world.tell("forget-calls", &json!({}));
        world.try_create(WORKERS, &[]).ok();
        // The scheduler's fleet, and the workers'.
        let calls = world.asked("calls");
        assert_eq!(
            (&calls["CreateFleet"], &calls["CreateLaunchTemplate"]),
            (&json!(2), &json!(2)),
            "{calls}"
        );
        let instances = world.asked("report")["instances"].clone();
        let workers = world.workers();
        let of =
            |what: &str| -> Vec<Value> { workers.iter().map(|id| instances[id][what].clone()).collect() };
        let mut types = of("type");
        types.sort_by_key(Value::to_string);
        assert_eq!(types, ["m5.large", "m6i.large"]);
        assert_eq!(of("market"), ["spot", "spot"]);
        assert!(
            of("fleet").iter().all(|fleet| fleet == &of("fleet")[0] && fleet.is_string()),
            "{instances:#}"
        );
        assert_eq!(world.home.python("demo", SUM).trim(), "285");

        world.tell("interrupt", &json!({"instance": workers[0], "seconds": 120}));
        until("a worker in the place of the one that went", || {
            let now = world.workers();
            (now.len() == 2 && !now.contains(&workers[0])).then_some(())
        });
        let templates = |left: &Value| {
            left.as_array().unwrap().iter().any(|one| one.to_string().contains("launch-template"))
        };
        assert!(templates(&world.asked("leftovers")));
        world.home.ok(&["delete", "demo"]);
        assert_eq!(world.asked("leftovers"), json!([]));
    });
}
