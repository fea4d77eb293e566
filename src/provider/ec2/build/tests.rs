//! Snapshots of calls and user data, and what they must never hold.

use std::{collections::BTreeMap, io::Read as _, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use super::*;
use crate::{
    engine::{
        Engine as _,
        dask::{DaskEngine, python},
    },
    model::{ClusterKey, ClusterUid, InstanceId, LaunchId, Money, NodeId, TemplateHash},
    provider::LaunchRequest,
    security::{CertificateRole, ClusterAuthority, Identity},
    spec::{ComputeCluster, GroupName, load},
};

const DOCUMENT: &str = r#"
apiVersion: crewcall.dev/v1alpha1
kind: ComputeCluster
metadata: {name: demo}
spec:
  provider:
    ec2:
      region: eu-central-1
      instanceProfiles: {scheduler: crewcall-scheduler, workers: crewcall-worker}
      tags: {team: data}
  environment: {image: "ghcr.io/dask/dask:2026.8.0-py3.11"}
  env: {MY_SETTING: "it's $HOME"}
  workers:
    replicas: 3
    threads: 2
    memory: 6GiB
    ec2: {purchase: spotWithFallback, disk: {size: 100GiB, throughput: 250}}
  workerGroups:
    gpu: {replicas: 1, ec2: {gpus: 1}}
"#;

const INSTALLED: Installed<'static> = Installed {
    installation: "here",
    region: "eu-central-1",
    ssm: "https://ssm.eu-central-1.amazonaws.com",
    group: "sg-1",
    secrets: "/crewcall/here/0000000000000007-00/worker/workers-abc",
    files: 4,
    root_device: None,
};

fn document(text: &str) -> Arc<ComputeCluster> {
    Arc::new(load("test", text).unwrap().cluster)
}

fn identity() -> Identity {
    let uid = ClusterUid::from_random(7);
    let now: Timestamp = "2026-11-23T09:00:00Z".parse().unwrap();
    let authority = ClusterAuthority::new(&uid, Duration::from_hours(24), now).unwrap();
    authority.issue(CertificateRole::Worker, &[]).unwrap()
}

fn request(document: &Arc<ComputeCluster>, group: &GroupName) -> LaunchRequest {
    let cluster = ClusterKey { uid: ClusterUid::from_random(7), name: "demo".parse().unwrap() };
    let id = NodeId::launched(cluster.name.clone(), group.clone(), InstanceId::placeholder());
    let engine = DaskEngine::default();
    let program = if group.is_scheduler() {
        engine.scheduler_launch(document, &id)
    } else {
        engine.worker_launch(document, &id, group, "tls://10.0.0.5:8786")
    };
    let launch = LaunchId::from_random(0xaa);
    LaunchRequest {
        token: launch.token(&cluster.uid),
        cluster,
        document: document.clone(),
        launch,
        group: group.clone(),
        count: 3,
        choice: 0,
        template: TemplateHash::new("abc"),
        expires_at: Some("2026-11-24T10:00:00Z".parse().unwrap()),
        program: Arc::new(program),
        identity: Some(Arc::new(identity())),
    }
}

fn made(document: &Arc<ComputeCluster>, group: &GroupName) -> InstancesCall {
    let choice = choices(document, group, "eu-central-1").remove(0);
    launch(&request(document, group), &choice, INSTALLED).unwrap()
}

fn script(call: &InstancesCall) -> String {
    let bytes = STANDARD.decode(&call.user_data).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    text
}

/// The call without its user data, which is shown as its parts.
fn shown(call: &InstancesCall) -> String {
    let script = script(call);
    let node = script.lines().find(|line| line.starts_with("{\"")).unwrap();
    let node: Value = serde_json::from_str(node).unwrap();
    let call = InstancesCall { user_data: String::new(), ..call.clone() };
    format!("{call:#?}\n\nnode.json:\n{node:#}\n")
}

#[test]
fn a_launch_of_workers_is_one_call() {
    insta::assert_snapshot!("workers", shown(&made(&document(DOCUMENT), &GroupName::workers())));
}

#[test]
fn a_launch_of_the_scheduler_is_one_call() {
    insta::assert_snapshot!("scheduler", shown(&made(&document(DOCUMENT), &GroupName::scheduler())));
}

#[test]
fn what_machines_are_started_with_has_no_secret_and_half_the_room_to_spare() {
    let document = document(DOCUMENT);
    let secret = Regex::new("BEGIN|PRIVATE KEY|AKIA|ASIA").unwrap();
    for group in [GroupName::workers(), GroupName::scheduler(), "gpu".parse().unwrap()] {
        let call = made(&document, &group);
        let bytes = STANDARD.decode(&call.user_data).unwrap();
        assert!(bytes.len() < 8 << 10, "{group}: {} bytes", bytes.len());
        let text = script(&call);
        assert!(!secret.is_match(&text), "{group}");
        assert_eq!(text, script(&made(&document, &group)), "the same request is the same script");
    }
}

#[test]
fn the_script_writes_its_files_whole() {
    let text = script(&made(&document(DOCUMENT), &GroupName::workers()));
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    let text = text
        .replace("/opt/crewcall", &format!("{here}/opt"))
        .replace("/etc/systemd/system", here)
        .replace("systemctl ", ": ");
    let done = std::process::Command::new("sh").arg("-euc").arg(text).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
    assert_eq!(read("opt/agent.py"), include_str!("agent/crewcall_agent.py"));
    let node: Value = serde_json::from_str(&read("opt/node.json")).unwrap();
    assert_eq!(node["environment"]["MY_SETTING"], "it's $HOME");
    assert!(read("crewcall.service").contains("TimeoutStopSec=45\n"));
}

#[test]
fn a_machine_fetches_its_secrets_apart_from_what_is_none() {
    let identity = identity();
    let values = BTreeMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]);
    let contents = contents(&document(DOCUMENT), &identity, &values).unwrap();
    assert!(contents.secrets.contains(identity.key.expose().lines().nth(1).unwrap()));
    assert!(contents.secrets.contains("s3cret") && contents.secrets.len() < MAX_PARAMETER);
    let text = contents.files.concat();
    assert!(contents.files.iter().all(|piece| piece.len() <= MAX_PARAMETER));
    let bytes = STANDARD.decode(text).unwrap();
    let files: Value = serde_json::from_reader(flate2::read::GzDecoder::new(bytes.as_slice())).unwrap();
    assert_eq!(files["crewcall_preload.py"], python::PRELOAD_TEXT);
    assert!(files["dask.yaml"].as_str().unwrap().contains("/etc/crewcall/tls/tls.key"));
    assert!(!files.to_string().contains("s3cret") && !files.to_string().contains("BEGIN"));
}

#[test]
fn what_does_not_fit_says_how_long_it_is() {
    let values = BTreeMap::from([("TOKEN".to_owned(), "x".repeat(4_000))]);
    let error = contents(&document(DOCUMENT), &identity(), &values).unwrap_err();
    assert!(matches!(error, BuildError::Secrets(length) if length > MAX_PARAMETER), "{error}");
    // What does not compress.
    let long = |seed: u64| -> String {
        let ids =
            (0..400).map(|n| LaunchId::from_random(seed.wrapping_add(n).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        ids.map(|id| id.to_string()).collect()
    };
    let long = format!(
        "  env: {{A: {0}, B: {1}, C: {2}, D: {3}, E: {4}}}",
        long(1),
        long(1 << 9),
        long(1 << 10),
        long(1 << 11),
        long(1 << 12)
    );
    let document = document(&DOCUMENT.replace("  env: {MY_SETTING: \"it's $HOME\"}", &long));
    let choice = choices(&document, &GroupName::workers(), "eu-central-1").remove(0);
    let error = launch(&request(&document, &GroupName::workers()), &choice, INSTALLED).unwrap_err();
    assert!(matches!(error, BuildError::UserData(length) if length > MAX_USER_DATA), "{error}");
}

#[test]
fn spare_capacity_of_every_type_comes_before_the_full_price() {
    let document = document(DOCUMENT);
    let all = choices(&document, &GroupName::workers(), "eu-central-1");
    let markets: Vec<Market> = all.iter().map(|choice| choice.market).collect();
    let half = markets.len() / 2;
    assert!(half >= 2 && markets[..half].iter().all(|market| *market == Market::Spot));
    assert!(markets[half..].iter().all(|market| *market == Market::OnDemand));
    assert!(all.iter().all(|choice| choice.hourly.is_some_and(|price| price > Money(0))));
    let launching = launching(&document, "eu-central-1");
    assert_eq!(
        launching.choices.keys().map(GroupName::as_str).collect::<Vec<_>>(),
        ["gpu", "scheduler", "workers"]
    );
    assert!(launching.choices[&GroupName::workers()][0].label.ends_with(", spot"));
}

#[test]
fn zones_and_subnets_are_tried_in_their_order() {
    let text = DOCUMENT
        .replace("region: eu-central-1", "region: eu-central-1\n      zones: [eu-central-1b, eu-central-1a]");
    let all = choices(&document(&text), &GroupName::scheduler(), "eu-central-1");
    assert_eq!(all[0].place, Place::Zone("eu-central-1b".to_owned()));
    assert_eq!(all[1].place, Place::Zone("eu-central-1a".to_owned()));
    assert_eq!(all[0].instance_type, all[1].instance_type);
    let text = DOCUMENT
        .replace("region: eu-central-1", "addresses: private\n      subnets: [subnet-0a1b2c3d4e5f60718]");
    let call = made(&document(&text), &GroupName::scheduler());
    assert_eq!(
        (call.choice.place, call.public_address),
        (Place::Subnet("subnet-0a1b2c3d4e5f60718".to_owned()), Some(false))
    );
}

#[test]
fn the_callers_own_address_is_let_in_unless_the_document_names_others() {
    let ec2 = |text: &str| {
        let document = document(&DOCUMENT.replace("region: eu-central-1", text));
        document.spec.ec2().unwrap().clone()
    };
    let caller = "203.0.113.9".parse().ok();
    let texts = |blocks: Vec<ClientBlock>| blocks.iter().map(|b| b.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(texts(client_blocks(&ec2("region: eu-central-1"), caller)), ["203.0.113.9/32"]);
    assert!(client_blocks(&ec2("region: eu-central-1"), None).is_empty());
    assert_eq!(texts(client_blocks(&ec2("clientCidrs: [10.0.0.0/8]"), caller)), ["10.0.0.0/8"]);
    assert_eq!(texts(client_blocks(&ec2("clientCidrs: [anywhere]"), caller)), ["0.0.0.0/0", "::/0"]);
}
