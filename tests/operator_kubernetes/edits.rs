//! What people change, and what is refused.

use serde_json::{Value, json};

use crate::stage::{Stage, stage};

fn condition<'a>(cluster: &'a Value, kind: &str) -> &'a Value {
    let all = cluster["status"]["conditions"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    all.iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

fn patch(stage: &Stage, name: &str, patch: &Value) {
    stage.done(&["patch", "computecluster", name, "--type=merge", "-p", &patch.to_string()], "");
}

#[test]
fn an_object_that_is_no_cluster_says_why_and_keeps_no_other_from_working() {
    let Some(stage) = stage() else { return };
    let _operator = stage.operator(&[], &[]);
    // The API server does not know Dask's units; the parser does.
    stage.apply(&Stage::document("bad", "replicas: 1").replace("512MiB", "64MiB"));
    let without = Stage::document("none", "replicas: 1");
    let without: Vec<&str> = without.lines().filter(|line| !line.contains("environment")).collect();
    stage.apply(&without.join("\n"));
    stage.apply(&Stage::document("good", "replicas: 1"));
    stage.until_ready("good", 1);
    for (name, kind, reason) in [("bad", "Accepted", "Invalid"), ("none", "EnvironmentMatched", "NoImage")] {
        let object = stage.until(name, "its refusal", |object| condition(object, kind)["status"] == "False");
        assert_eq!(condition(&object, kind)["reason"], reason, "{object:#}");
        assert_eq!(object["status"]["phase"], "Pending");
    }
    assert_eq!(stage.pods().len(), 2);
    stage.done(&["delete", "computeclusters", "--all"], "");
    stage.until_empty();
}

#[test]
fn an_edit_of_what_is_fixed_is_refused_and_the_cluster_goes_on() {
    let Some(stage) = stage() else { return };
    let _operator = stage.operator(&[], &[]);
    stage.apply(&Stage::document("demo", "replicas: 1"));
    stage.until_ready("demo", 1);
    // What the API server does not see of it is tested with the records that objects are read into.
    let other = json!({ "spec": { "environment": { "image": "daskdev/dask:latest" } } });
    let said =
        stage.kubectl(&["patch", "computecluster", "demo", "--type=merge", "-p", &other.to_string()], "");
    assert!(!said.ok() && said.err.contains("fixed for a cluster's life"), "{}{}", said.out, said.err);
    patch(&stage, "demo", &json!({ "spec": { "workers": { "replicas": 2 } } }));
    stage.until_ready("demo", 2);
    stage.done(&["delete", "computecluster", "demo"], "");
    stage.until_empty();
}

#[test]
fn changed_resources_roll_the_workers_one_by_one() {
    let Some(stage) = stage() else { return };
    let operator = stage.operator(&[], &[]);
    stage.apply(&Stage::document("demo", "replicas: 2"));
    stage.until_ready("demo", 2);
    patch(&stage, "demo", &json!({ "spec": { "workers": { "memory": "600MiB" } } }));
    stage.until("demo", "its new workers", |_| {
        let pods = stage.done(&["get", "pods", "-l", "crewcall.dev/role=worker", "-o", "json"], "");
        let pods: Value = serde_json::from_str(&pods).unwrap();
        let pods = pods["items"].as_array().unwrap().clone();
        let memory = (600_u64 << 20).to_string();
        let new =
            |pod: &Value| pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == memory.as_str();
        pods.len() == 2 && pods.iter().all(new)
    });
    stage.until_ready("demo", 2);
    assert!(!stage.events().contains("ResultsLost"), "{}", operator.log());
    stage.done(&["delete", "computecluster", "demo"], "");
    stage.until_empty();
}

#[test]
fn an_adaptive_group_is_scaled_by_its_bounds_alone() {
    let Some(stage) = stage() else { return };
    let _operator = stage.operator(&[], &[]);
    stage.apply(&Stage::document("demo", "min: 1, max: 3"));
    stage.until_ready("demo", 1);
    let said = stage.kubectl(&["scale", "computecluster/demo", "--replicas=2"], "");
    assert!(!said.ok(), "{}{}", said.out, said.err);
    stage.done(&["delete", "computecluster", "demo"], "");
    stage.until_empty();
}
