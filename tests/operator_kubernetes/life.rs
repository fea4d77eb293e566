//! The life of a cluster that is a custom resource.

use crate::stage::{Stage, stage};

/// Counts each run of each task by an event in the scheduler; ends when there is a file `go`.
const HOLD: &str = "
import pathlib, time
from distributed import get_worker, wait
def counted(n):
    get_worker().log_event('runs', n)
    return bytes([n]) * 50_000
results = client.map(counted, range(60))
wait(results)
scattered = client.scatter([[n] * 1000 for n in range(30)])
said('held')
while not pathlib.Path('go').exists():
    time.sleep(0.05)
assert client.gather(results) == [bytes([n]) * 50_000 for n in range(60)]
assert client.gather(scattered) == [[n] * 1000 for n in range(30)]
said(f\"runs {len(client.get_events('runs'))} workers {len(client.scheduler_info()['workers'])}\")
";

#[test]
fn an_applied_cluster_computes_is_scaled_without_loss_and_leaves_nothing() {
    let Some(stage) = stage() else { return };
    let mut operator = stage.operator(&[], &[]);
    stage.apply(&Stage::document("demo", "replicas: 1"));
    let ready = stage.until_ready("demo", 1);
    let endpoint = format!("tls://demo-scheduler.{}.svc:8786", stage.namespace());
    assert_eq!(ready["status"]["endpoint"], endpoint);
    assert_eq!(ready["status"]["workers"]["text"], "1/1");
    let client = stage.client("demo", HOLD);
    if let Some(client) = &client {
        client.until_said("held");
    }
    stage.done(&["scale", "computecluster/demo", "--replicas=4"], "");
    stage.until_ready("demo", 4);
    assert_eq!(stage.pods().len(), 5);
    stage.done(&["scale", "computecluster/demo", "--replicas=2"], "");
    stage.until_ready("demo", 2);
    if let Some(client) = client {
        std::fs::write(stage.directory.path().join("go"), "").unwrap();
        assert_eq!(client.end().lines().last(), Some("runs 60 workers 2"));
    }
    let events = stage.events();
    for kind in ["Created", "SchedulerReady", "WorkersReady", "Updated", "Drained"] {
        assert!(events.lines().any(|line| line.starts_with(kind)), "{kind}: {events}");
    }
    assert!(!events.contains("ResultsLost"), "{events}");
    let table = stage.done(&["get", "computeclusters"], "");
    assert!(table.contains("Ready") && table.contains("2/2"), "{table}");
    stage.done(&["delete", "computecluster", "demo"], "");
    stage.until_empty();
    assert_eq!(operator.terminate(), Some(0), "{}", operator.log());
}

#[test]
fn what_a_cluster_has_goes_with_its_object_when_there_is_no_operator() {
    let Some(stage) = stage() else { return };
    let mut operator = stage.operator(&[], &[]);
    stage.apply(&Stage::document("demo", "replicas: 1"));
    stage.until_ready("demo", 1);
    operator.kill();
    stage.done(&["delete", "computecluster", "demo"], "");
    stage.until_empty();
}

#[test]
fn a_new_object_takes_the_name_of_one_that_is_still_going() {
    let Some(stage) = stage() else { return };
    let operator = stage.operator(&[], &[]);
    stage.apply(&Stage::document("demo", "replicas: 1"));
    let first = stage.until_ready("demo", 1)["metadata"]["uid"].clone();
    stage.done(&["replace", "--force", "-f", "-"], &Stage::document("demo", "replicas: 2"));
    let second = stage.until_ready("demo", 2)["metadata"]["uid"].clone();
    assert_ne!(first, second);
    assert_eq!(stage.pods().len(), 3, "{}", operator.log());
    stage.done(&["delete", "computecluster", "demo"], "");
    stage.until_empty();
}

#[test]
fn only_the_role_of_a_cluster_allows_to_read_its_clients_secret() {
    let Some(stage) = stage() else { return };
    let _operator = stage.operator(&[], &[]);
    stage.apply(&Stage::document("demo", "replicas: 0"));
    stage.until_ready("demo", 0);
    let who = format!("system:serviceaccount:{}:default", stage.namespace());
    let may = |secret: &str| {
        stage.kubectl(&["auth", "can-i", "get", &format!("secret/{secret}"), "--as", &who], "").ok()
    };
    assert!(!may("demo-client"));
    let account = format!("--serviceaccount={}:default", stage.namespace());
    stage.done(&["create", "rolebinding", "demo-client", "--role=demo-client", &account], "");
    assert!(may("demo-client"));
    assert!(!may("demo-ca"));
    stage.done(&["delete", "rolebinding", "demo-client"], "");
    stage.done(&["delete", "computecluster", "demo"], "");
    stage.until_empty();
}
