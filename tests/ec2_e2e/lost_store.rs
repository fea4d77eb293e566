//! A controller's disk is lost, and its cluster is not; also where another caller finds it.

use std::fs;

use serde_json::json;

use crate::{
    harness::{kill_9, run, until},
    world::with_world,
};

/// Leaves a result in the cluster for whoever comes later.
const LEAVE: &str = "
from dask.distributed import Client, wait
client = Client()
kept = client.submit(lambda: 'still here', pure=False)
wait(kept)
client.publish_dataset(kept=kept)
print('left')
";

/// Finds it.
const FIND: &str = "
from dask.distributed import Client
print(Client().get_dataset('kept').result(30))
";

#[test]
fn a_cluster_whose_record_was_lost_is_taken_up_again_with_its_results() {
    with_world(|world| {
        let home = world.home;
        world.create(2);
        assert_eq!(run(home.client("demo", LEAVE)).ok().trim(), "left");
        let machines = world.asked("leftovers");
        until("the copy of the record", || machines.to_string().contains("-copy/").then_some(()));

        kill_9(home.controller().unwrap());
        // The file that tells this installation from others is beside it.
        fs::remove_dir_all(home.path("state/clusters")).unwrap();
        assert_eq!(home.ok(&["list", "-o", "name"]), "");

        // Who finds it has other files than who made it: the first caller's profile is not there any more.
        for file in ["config", "credentials"] {
            let path = home.path("home/.aws").join(file);
            let renamed = fs::read_to_string(&path)
                .unwrap()
                .replace("[default]", if file == "config" { "[profile finder]" } else { "[finder]" });
            fs::write(path, renamed).unwrap();
        }
        let gc = |more: &[&str]| {
            let mut gc = home.crewcall(&["gc", "--provider", "ec2"]);
            gc.args(more).env("AWS_PROFILE", "finder");
            run(gc).ok()
        };

        // Machines that are younger than half a minute may belong to a create that is under way: nothing is said of them.
        let told = until("machines that are old enough", || {
            let told = gc(&["--dry-run"]);
            (!told.is_empty()).then_some(told)
        });
        assert!(told.contains("would be taken up again: 3 machines of cluster demo"), "{told}");
        assert!(told.contains("an hour"), "what it costs: {told}");
        let told = gc(&[]);
        assert!(told.contains("taken up again: 3 machines of cluster demo"), "{told}");
        until("the cluster to be ready again", || (home.view("demo")["phase"] == "Ready").then_some(()));
        assert_eq!(run(home.client("demo", FIND)).ok().trim(), "still here");
        home.ok(&["scale", "demo", "1"]);
        assert_eq!(run(home.client("demo", FIND)).ok().trim(), "still here");
        home.ok(&["delete", "demo"]);
        assert_eq!(world.asked("leftovers"), json!([]));
    });
}
