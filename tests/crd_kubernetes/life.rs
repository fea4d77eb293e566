//! What the API server does with an object over its life: edits, scales, statuses, columns.

use serde_json::{Value, json};

use crate::stage::{Stage, stage};

const DOCUMENT: &str = r#"
apiVersion: crewcall.dev/v1alpha1
kind: ComputeCluster
metadata: {name: NAME}
spec:
  provider:
    kubernetes:
      serviceAnnotations: {a: b}
      pods: {securityContext: {runAsUser: null}, podSpec: {nodeName: null}}
  environment: {image: "ghcr.io/dask/dask:2026.8.0-py3.11"}
  scheduler: {memory: 2GiB}
  workers: {replicas: 2, memory: 1GiB}
  workerGroups: {big: {min: 1, max: 4}}
"#;

fn made(stage: &Stage, name: &str) -> String {
    stage.done(&["create", "--validate=strict", "-f", "-"], &DOCUMENT.replace("NAME", name));
    format!("computecluster/{name}")
}

fn patch(name: &str, spec: &Value) -> [String; 5] {
    let patch = json!({ "spec": spec }).to_string();
    ["patch".to_owned(), name.to_owned(), "--type=merge".to_owned(), "-p".to_owned(), patch]
}

fn as_texts(arguments: &[String; 5]) -> [&str; 5] {
    arguments.each_ref().map(String::as_str)
}

#[test]
fn what_is_fixed_for_a_clusters_life_is_refused_by_the_api_server() {
    let Some(stage) = stage() else { return };
    let name = made(&stage, "fixed");
    let edits = [
        ("spec.provider", json!({"provider": {"kubernetes": null, "ec2": {}}})),
        ("spec.provider.kubernetes.endpoint", json!({"provider": {"kubernetes": {"endpoint": "NodePort"}}})),
        (
            "spec.provider.kubernetes.serviceAnnotations",
            json!({"provider": {"kubernetes": {"serviceAnnotations": {"a": "c"}}}}),
        ),
        (
            "spec.provider.kubernetes.serviceAnnotations",
            json!({"provider": {"kubernetes": {"serviceAnnotations": null}}}),
        ),
        (
            "spec.provider.kubernetes.networkPolicy",
            json!({"provider": {"kubernetes": {"networkPolicy": {"enabled": false}}}}),
        ),
        ("spec.engine", json!({"engine": {"dask": {"workerPreload": ["module"]}}})),
        ("spec.environment", json!({"environment": {"image": "daskdev/dask:latest"}})),
        ("spec.environment", json!({ "environment": null })),
        ("spec.tls", json!({"tls": false})),
        ("spec.scheduler", json!({"scheduler": {"memory": "4GiB"}})),
        ("spec.scheduler", json!({"scheduler": {"env": {"A": "1"}}})),
        ("spec.scheduler", json!({"scheduler": {"kubernetes": {"priorityClassName": "high"}}})),
    ];
    for (field, edit) in edits {
        let message = stage.refused(&as_texts(&patch(&name, &edit)), "");
        assert!(message.contains(&format!("{field}: Forbidden: ")), "{edit}: {message}");
        assert!(message.contains("is fixed for a cluster's life"), "{edit}: {message}");
    }
    // Said otherwise, it is the same.
    let unchanged = json!({"tls": null, "engine": null, "provider": {"kubernetes": {"endpoint": null}}});
    stage.done(&as_texts(&patch(&name, &unchanged)), "");
}

#[test]
fn what_may_change_is_accepted() {
    let Some(stage) = stage() else { return };
    let name = made(&stage, "changed");
    let edits = [
        json!({"workers": {"memory": "2GiB", "threads": 2}}),
        json!({"workers": {"replicas": null, "min": 1, "max": 3}}),
        json!({"workers": {"replicas": 1, "min": null, "max": null}}),
        json!({"workerGroups": {"big": null, "gpu": {"replicas": 1}}}),
        json!({"idleTimeout": "never", "env": {"A": "1"}}),
        json!({"provider": {"kubernetes": {"pods": {"labels": {"team": "a"}}}}}),
    ];
    for edit in edits {
        stage.done(&as_texts(&patch(&name, &edit)), "");
    }
}

#[test]
fn a_null_that_removes_something_from_a_pod_is_kept() {
    let Some(stage) = stage() else { return };
    let name = made(&stage, "nulls");
    let object: Value = serde_json::from_str(&stage.done(&["get", &name, "-o", "json"], "")).unwrap();
    let pods = &object["spec"]["provider"]["kubernetes"]["pods"];
    assert_eq!(pods["podSpec"], json!({ "nodeName": null }), "{pods}");
    assert_eq!(pods["securityContext"], json!({ "runAsUser": null }), "{pods}");
}

#[test]
fn kubectl_scale_sets_a_fixed_default_group_and_no_other() {
    let Some(stage) = stage() else { return };
    let name = made(&stage, "scaled");
    stage.done(&["scale", &name, "--replicas=5"], "");
    assert_eq!(stage.done(&["get", &name, "-o", "jsonpath={.spec.workers.replicas}"], ""), "5");
    let message = stage.refused(&["scale", &name, "--replicas=10001"], "");
    assert!(message.contains("10000"), "{message}");
    let adaptive = json!({"workers": {"replicas": null, "min": 1, "max": 3}});
    stage.done(&as_texts(&patch(&name, &adaptive)), "");
    let message = stage.refused(&["scale", &name, "--replicas=2"], "");
    assert!(
        message.contains("spec.workers: Invalid value: a group has either a fixed size or bounds"),
        "{message}"
    );
    // A group without a size can be given one.
    let open = json!({"workers": {"replicas": null, "min": null, "max": null}});
    stage.done(&as_texts(&patch(&name, &open)), "");
    stage.done(&["scale", &name, "--replicas=2"], "");
    assert_eq!(stage.done(&["get", &name, "-o", "jsonpath={.spec.workers.replicas}"], ""), "2");
}

#[test]
fn messages_say_what_was_meant() {
    let Some(stage) = stage() else { return };
    let text = DOCUMENT.replace("NAME", "wrong");
    let mistakes = [
        ("memory: 1GiB", "memory: 2 gigs", "no amount of memory"),
        ("memory: 1GiB", "memory: 4", "a number alone is in bytes"),
        ("memory: 1GiB", "cpu: two", "no number of processors; write it as"),
        ("memory: 1GiB", "cpu: 0", "no number of processors; write it as"),
        ("workers:", "idleTimeout: 30m1h\n  workers:", "no span of time; write it as 90s"),
        ("workers:", "drainGrace: never\n  workers:", "no span of time; write it as 90s"),
        ("workers:", "idleTimeout: 0s\n  workers:", "the least is 1s"),
        ("nodeName: null", "restartPolicy: Always", "`restartPolicy` is not to be changed"),
        (
            "min: 1, max: 4",
            "min: 5, max: 4",
            "spec.workerGroups[big].min: Invalid value: `min` is larger than `max`",
        ),
        ("replicas: 2,", "replicas: 2, max: 4,", "either a fixed size or bounds, not both"),
        ("big:", "much-too-big:", "a name here has at most 10 characters"),
    ];
    for (right, wrong, said) in mistakes {
        let message = stage.rehearse(&text.replace(right, wrong)).unwrap_err();
        assert!(message.contains(said), "{wrong}: {message}");
    }
    for right in ["cpu: 500m", "cpu: 2", "memory: 2147483648", "memory: 2 GB", "cpu: '0.5'"] {
        stage.rehearse(&text.replace("memory: 1GiB", right)).unwrap();
    }
}

#[test]
fn unknown_keys_are_refused_by_strict_validation() {
    let Some(stage) = stage() else { return };
    let text = DOCUMENT.replace("NAME", "strict").replace("replicas: 2", "replcas: 2");
    let message = stage.rehearse(&text).unwrap_err();
    assert!(message.contains("spec.workers.replcas"), "{message}");
    let said = stage.kubectl(&["create", "--dry-run=server", "--validate=warn", "-f", "-"], &text);
    assert!(said.ok() && said.err.contains("unknown field"), "{}", said.err);
}

#[test]
fn the_status_is_the_operators_and_shown_in_columns() {
    let Some(stage) = stage() else { return };
    let name = made(&stage, "status");
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "reason": "Sure", "message": "It is so.",
               "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let status = json!({"status": {
        "observedGeneration": 1, "phase": "Ready", "endpoint": "tls://status-scheduler:8786",
        "dashboard": "https://status-scheduler:8787",
        "conditions": [condition("SchedulerReady"), condition("Degraded")],
        "workers": {"ready": 2, "wanted": 3, "text": "3/4", "selector": "crewcall.dev/cluster=status"},
        "groups": {"big": {"ready": 1, "wanted": 1}}, "ledger": "{}",
    }});
    let write = |text: &Value| {
        stage.kubectl(&["patch", &name, "--subresource=status", "--type=merge", "-p", &text.to_string()], "")
    };
    let said = write(&status);
    assert!(said.ok() && !said.err.contains("Warning"), "{}", said.err);
    let table = stage.done(&["get", "ccl"], "");
    let row = table.lines().find(|line| line.starts_with("status ")).unwrap();
    for part in ["Ready", "3/4", "tls://status-scheduler:8786", "https://status-scheduler:8787"] {
        assert!(row.contains(part), "{part} in {table}");
    }
    assert!(stage.done(&["get", "crewcall", "-o", "wide"], "").contains("Sure"));
    let scale: Value =
        serde_json::from_str(&stage.done(&["get", &name, "--subresource=scale", "-o", "json"], "")).unwrap();
    assert_eq!(scale["status"], json!({"replicas": 2, "selector": "crewcall.dev/cluster=status"}));
    let twice = json!({"status": {"conditions": [condition("Degraded"), condition("Degraded")]}});
    assert!(write(&twice).err.contains("Duplicate value"), "a type of condition stands once");
    let long = json!({"status": {"ledger": "x".repeat(524_289)}});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), long.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let refused =
        stage.refused(&["patch", &name, "--subresource=status", "--type=merge", "--patch-file", path], "");
    assert!(refused.contains("status.ledger") && refused.contains("524288"), "{refused}");
    // Written with the spec, a status is dropped.
    let before = stage.done(&["get", &name, "-o", "jsonpath={.status.phase}"], "");
    stage.done(&["patch", &name, "--type=merge", "-p", r#"{"status": {"phase": "Odd"}}"#], "");
    assert_eq!(stage.done(&["get", &name, "-o", "jsonpath={.status.phase}"], ""), before);
}
