//! What others do to pods, and what becomes of the cluster.

use crate::{
    harness::{Outcome, run, start, touch, until, with_home},
    world::{World, with_world},
};

/// Results on two workers, one of which goes.
const HOLD: &str = "
import pathlib, time
from dask.distributed import Client, get_worker, wait
client = Client()
client.wait_for_workers(2)
def counted(n):
    get_worker().log_event('runs', n)
    return n
results = client.map(counted, range(40))
wait(results)
print('held', flush=True)
while not pathlib.Path('go').exists():
    time.sleep(0.05)
assert client.gather(results) == list(range(40))
print('runs', len(client.get_events('runs')), flush=True)
";

#[test]
fn a_worker_that_kubectl_deletes_hands_its_results_over_and_is_replaced() {
    with_world(|world| {
        let home = world.home;
        world.create("demo", 2);
        let mut holding = start(home.client("demo", HOLD));
        holding.until_printed("held");
        world.kubectl(&["delete", "pod", "demo-workers-0-0"]);
        until("the next incarnation", || world.pods().contains(&"demo-workers-0-1".to_owned()).then_some(()));
        home.until_condition("demo", "WorkersReady", "True");
        touch(&home.path("work/go"));
        assert_eq!(holding.end().ok().lines().last(), Some("runs 40"), "nothing was computed again");
        let events = home.ok(&["events", "demo"]);
        assert!(!events.contains("ResultsLost"), "{events}");
    });
}

#[test]
fn a_scheduler_that_is_killed_is_replaced_with_its_workers_and_the_loss_is_said() {
    with_world(|world| {
        let home = world.home;
        world.create("demo", 1);
        world.kubectl(&["delete", "pod", "demo-scheduler-0-0", "--grace-period=1"]);
        world.until_event("demo", "all results in the cluster are lost");
        until("the next scheduler and worker", || {
            let pods = world.pods();
            (pods == ["demo-scheduler-0-1", "demo-workers-0-1"]).then_some(())
        });
        home.until_condition("demo", "SchedulerReady", "True");
        home.until_condition("demo", "WorkersReady", "True");
        let script = "from dask.distributed import Client\nprint(Client().submit(sum, [1, 2]).result())";
        assert_eq!(home.python("demo", script).trim(), "3");
    });
}

#[test]
fn a_controller_that_is_killed_changes_nothing() {
    with_world(|world| {
        let home = world.home;
        world.create("demo", 2);
        let before = world.pods();
        crate::harness::kill_9(home.controller().unwrap());
        until("a look of the next controller", || {
            (home.view("demo")["groups"][0]["ready"] == 2).then_some(())
        });
        home.ok(&["scale", "demo", "3"]);
        let after = world.pods();
        assert!(before.iter().all(|pod| after.contains(pod)) && after.len() == 4, "{after:?}");
    });
}

#[test]
fn a_namespace_that_is_being_deleted_takes_the_cluster_along_and_a_delete_ends_well() {
    with_world(|world| {
        let home = world.home;
        world.create("demo", 1);
        world.kubectl(&["delete", "namespace", &world.namespace, "--wait=false"]);
        let said = until("what becomes of it", || {
            let events = home.ok(&["events", "demo"]);
            (events.contains("is being deleted") || events.contains("no namespace")).then_some(events)
        });
        assert!(!said.contains("ContainerCreating"), "{said}");
        home.ok(&["delete", "demo"]);
        world.run_kubectl(&[
            "wait",
            "--for=delete",
            &format!("namespace/{}", world.namespace),
            "--timeout=60s",
        ]);
        world.run_kubectl(&["create", "namespace", &world.namespace]);
    });
}

/// Asks for what a drain of the pod's node asks for.
fn evict(world: &World<'_>, pod: &str) -> Outcome {
    let eviction = serde_json::json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod, "namespace": world.namespace },
    });
    let file = world.home.write("eviction.json", &eviction.to_string());
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", world.namespace);
    world.run_kubectl(&["create", "--raw", &path, "-f", file.to_str().unwrap()])
}

#[test]
fn an_eviction_of_all_workers_one_by_one_loses_nothing() {
    with_world(|world| {
        let home = world.home;
        world.create("demo", 2);
        let mut holding = start(home.client("demo", HOLD));
        holding.until_printed("held");
        // A budget as `describe` says how to make it keeps the scheduler where it is.
        let described = home.ok(&["describe", "demo"]);
        let words = described.split_whitespace().skip_while(|word| *word != "poddisruptionbudget");
        let budget: Vec<&str> =
            words.take_while(|word| *word != "Files").filter(|word| *word != "\\").collect();
        world.kubectl(&[&["create"], &budget[..]].concat());
        let refused = evict(world, "demo-scheduler-0-0");
        assert!(
            refused.code != Some(0) && refused.stderr.contains("disruption budget"),
            "{}",
            refused.stderr
        );
        for slot in 0..2 {
            evict(world, &format!("demo-workers-{slot}-0")).ok();
            let next = format!("demo-workers-{slot}-1");
            until("the next incarnation", || world.pods().contains(&next).then_some(()));
            until("two workers", || (home.view("demo")["groups"][0]["ready"] == 2).then_some(()));
        }
        touch(&home.path("work/go"));
        assert_eq!(holding.end().ok().lines().last(), Some("runs 40"), "nothing was computed again");
        let events = home.ok(&["events", "demo"]);
        assert!(!events.contains("ResultsLost"), "{events}");
    });
}

#[test]
fn two_namespaces_may_have_clusters_of_one_name_and_two_installations_leave_each_other_alone() {
    with_world(|world| {
        with_home(|other| {
            world.create("demo", 1);
            // Another state directory, the same namespace: its own is taken, and nothing of it is swept.
            let kubeconfig = world.home.path("home/.kube/config");
            let with_config = |arguments: &[&str]| {
                let mut command = other.crewcall(arguments);
                command.env("KUBECONFIG", &kubeconfig);
                run(command)
            };
            let taken = world.usual("demo", 1);
            let refused = with_config(&["create", "-f", taken.to_str().unwrap()]);
            assert_ne!(refused.code, Some(0));
            assert!(refused.stderr.contains("demo-crewcall"), "{}", refused.stderr);
            let own = world.usual("own", 1);
            with_config(&["create", "-f", own.to_str().unwrap()]).ok();
            assert_eq!(world.pods().len(), 4);
            for home in [world.home, other] {
                let said = home.ok(&["gc"]);
                assert!(!said.contains("removed"), "{said}");
            }
            assert_eq!(world.pods().len(), 4);
            // The same name in another namespace is another cluster.
            let second = format!("{}-b", world.namespace);
            world.kubectl(&["create", "namespace", &second]);
            let text = std::fs::read_to_string(&taken).unwrap().replace(&world.namespace, &second);
            let elsewhere = other.write("elsewhere.yaml", &text);
            with_config(&["create", "-f", elsewhere.to_str().unwrap()]).ok();
            assert_eq!(with_config(&["list", "-n", &second, "-o", "name"]).ok().trim(), "demo");
            assert_eq!(with_config(&["list", "-o", "name"]).ok().lines().count(), 2);
            let misplaced = with_config(&["delete", "demo", "-n", &world.namespace]);
            assert_eq!(misplaced.code, Some(2), "{}", misplaced.stderr);
            with_config(&["delete", "demo", "-n", &second]).ok();
            assert_eq!(world.home.view("demo")["phase"], "Ready");
            with_config(&["delete", "--all"]).ok();
            world.kubectl(&["delete", "namespace", &second, "--wait=false"]);
        });
    });
}
