//! An operator whose API server fails in the ways that API servers do.

use std::{fs, time::Duration};

use crate::{
    faulty::{Asked, Fault, Faulty},
    stage::{Operator, Stage, stage},
};

/// So many calls may be made for what is done here, and as many more in each second, whatever goes wrong.
const CALLS: usize = 200;
const EACH_SECOND: usize = 10;

/// So many calls at most in any second: what is more is a loop without a pause.
const BUSIEST: usize = 90;

/// An operator that reaches the API server through this one.
fn behind(server: &Faulty, stage: &Stage) -> Operator {
    let kubeconfig = stage.directory.path().join("faulty");
    fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    stage.operator(&[], &[("KUBECONFIG", kubeconfig.to_str().unwrap())])
}

fn is_patient(server: &Faulty) {
    let (all, busiest, seconds) = (server.asked().len(), server.busiest_second(), server.seconds());
    let told = format!("{all} calls in {seconds} s, {busiest} in the busiest second: {:#?}", server.table());
    eprintln!("{told}");
    assert!(all <= CALLS + EACH_SECOND * seconds && busiest <= BUSIEST, "{told}");
}

/// The first watches of each kind have expired; the first question about each kind comes too early; a few writes
/// fail, of pods too; the first reply about each pod, Service and status is lost. More of it at once only
/// takes longer: what keeps failing is tried ever more rarely.
fn faults() -> impl FnMut(&Asked) -> Fault + Send + 'static {
    let mut known = std::collections::BTreeSet::new();
    let lost = ["pods", "services", "computeclusters/status"];
    move |asked| match (asked.verb, asked.nth) {
        ("watch", 1..=3) => Fault::Answer(200, ""),
        ("get" | "list", 1) => Fault::Answer(429, "retry-after: 1\r\n"),
        ("patch" | "update", 2) => Fault::Answer(500, ""),
        ("create", 2) if asked.resource == "pods" => Fault::Answer(500, ""),
        ("create" | "delete" | "patch" | "update", _)
            if lost.contains(&asked.resource.as_str())
                && known.insert((asked.verb, asked.resource.clone(), asked.name.clone())) =>
        {
            Fault::DropReply
        }
        _ => Fault::None,
    }
}

#[test]
fn errors_lost_replies_and_expired_watches_are_outlived_without_a_second_pod() {
    let Some(stage) = stage() else { return };
    let server = Faulty::before(stage.administrator());
    server.rule(faults());
    let _operator = behind(&server, &stage);
    stage.apply(&Stage::document("demo", "replicas: 1"));
    stage.until_ready("demo", 1);
    stage.done(&["scale", "computecluster/demo", "--replicas=3"], "");
    stage.until_ready("demo", 3);
    server.no_doubles();
    stage.done(&["scale", "computecluster/demo", "--replicas=1"], "");
    stage.until_ready("demo", 1);
    server.no_doubles();
    stage.done(&["delete", "computecluster", "demo"], "");
    stage.until_empty();
    is_patient(&server);
}

#[test]
fn half_a_minute_of_silence_costs_no_pod() {
    let Some(stage) = stage() else { return };
    let server = Faulty::before(stage.administrator());
    let mut operator = behind(&server, &stage);
    stage.apply(&Stage::document("demo", "replicas: 1"));
    stage.until_ready("demo", 1);
    server.be_silent(Duration::from_secs(30));
    stage.done(&["scale", "computecluster/demo", "--replicas=3"], "");
    // Who has lost the lease ends, and Kubernetes starts the pod's container anew.
    stage.until("demo", "its three workers", |cluster| {
        if operator.is_dead() {
            operator = behind(&server, &stage);
        }
        cluster["status"]["phase"] == "Ready" && cluster["status"]["workers"]["ready"] == 3
    });
    server.no_doubles();
    stage.done(&["delete", "computecluster", "demo"], "");
    stage.until_empty();
    is_patient(&server);
}
