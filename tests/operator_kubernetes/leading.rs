//! Several operators, their ends, and what is said of them.

use crate::stage::{Stage, stage, until};

#[test]
fn another_operator_takes_over_in_the_middle_of_a_scale_up_and_makes_no_pod_twice() {
    let Some(stage) = stage() else { return };
    let failpoint = [("CREWCALL_FAILPOINT", "launch.after-call:2")];
    let mut first = stage.operator(&[], &failpoint);
    first.until_ready("held by this operator");
    let second = stage.operator(&[], &[]);
    second.until_ready("standby");
    stage.apply(&Stage::document("demo", "replicas: 3"));
    until("the death of the leader", || first.is_dead().then_some(()));
    stage.until_ready("demo", 3);
    second.until_ready("held by this operator");
    let mut pods = stage.pods();
    pods.sort();
    assert_eq!(pods, ["demo-scheduler-0-0", "demo-workers-0-0", "demo-workers-1-0", "demo-workers-2-0"]);
    stage.done(&["delete", "computecluster", "demo"], "");
    stage.until_empty();
}

#[test]
fn an_operator_that_dies_anywhere_is_followed_by_one_that_goes_on() {
    let Some(stage) = stage() else { return };
    let places = [
        "tick.before-note",
        "tick.after-note",
        "anchor.after-call",
        "launch.before-call",
        "launch.after-call",
    ];
    for place in places {
        let mut first = stage.operator(&[], &[("CREWCALL_FAILPOINT", place)]);
        stage.apply(&Stage::document("demo", "replicas: 1"));
        until("the death of the operator", || first.is_dead().then_some(()));
        // It had no time to give the lease up.
        stage.kubectl(&["delete", "lease", "crewcall-operator"], "");
        let _second = stage.operator(&[], &[]);
        stage.until_ready("demo", 1);
        assert_eq!(stage.pods().len(), 2, "{place}: {:?}", stage.pods());
        stage.done(&["delete", "computecluster", "demo"], "");
        stage.until_empty();
        stage.kubectl(&["delete", "lease", "crewcall-operator"], "");
    }
}

#[test]
fn an_operator_that_is_told_to_end_gives_its_lease_up() {
    let Some(stage) = stage() else { return };
    let mut first = stage.operator(&[], &[]);
    first.until_ready("held by this operator");
    assert_eq!(first.terminate(), Some(0), "{}", first.log());
    let lease = stage.object("lease", "crewcall-operator").unwrap();
    assert_eq!(lease["spec"].get("holderIdentity").and_then(|holder| holder.as_str()).unwrap_or(""), "");
    let begun = std::time::Instant::now();
    stage.operator(&[], &[]).until_ready("held by this operator");
    assert!(begun.elapsed().as_secs() < 12, "it waited for a lease that was given up");
}

#[test]
fn probes_and_metrics_say_what_is_the_case() {
    let Some(stage) = stage() else { return };
    let operator = stage.operator(&["--log-format", "json"], &[]);
    operator.until_ready("held by this operator");
    operator.until_ready(&format!("watch of computeclusters in {}: synced", stage.namespace()));
    assert_eq!(operator.ask("/healthz"), Some((200, "ok\n".to_owned())));
    stage.apply(&Stage::document("demo", "replicas: 0"));
    stage.until_ready("demo", 0);
    let metrics = operator.ask("/metrics").unwrap().1;
    for beginning in [
        "crewcall_clusters{phase=\"Ready\"} 1",
        "crewcall_leader 1",
        "crewcall_reconcile_seconds_count ",
        "crewcall_actions_total{action=\"launch\"} 1",
        "crewcall_api_requests_total{method=\"POST\",code=\"201\"} ",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(beginning)), "{beginning}: {metrics}");
    }
    let lines: Vec<serde_json::Value> =
        operator.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["cluster"] == "demo"), "{lines:?}");
    stage.done(&["delete", "computecluster", "demo"], "");
    stage.until_empty();
}

#[test]
fn two_namespaces_may_have_clusters_of_one_name() {
    let (Some(blue), Some(red)) = (stage(), stage()) else { return };
    let _operator = blue.operator(&["--namespace", red.namespace()], &[]);
    for stage in [&blue, &red] {
        stage.apply(&Stage::document("demo", "replicas: 1"));
    }
    for stage in [&blue, &red] {
        stage.until_ready("demo", 1);
        assert_eq!(stage.pods().len(), 2);
    }
    blue.done(&["delete", "computecluster", "demo"], "");
    blue.until_empty();
    red.until_ready("demo", 1);
    red.done(&["delete", "computecluster", "demo"], "");
    red.until_empty();
}
