//! Snapshots of calls and user data, and what they must never hold.

use std::{collections::BTreeMap, io::Read as _, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use regex::Regex;
use serde_json::Value;

use super::*;
use crate::{
    engine::dask::python,
    model::{LaunchId, Money},
    provider::{
        LaunchRequest,
        ec2::testing::{self, document, identity},
    },
    spec::{ComputeCluster, GroupName},
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

fn request(document: &Arc<ComputeCluster>, group: &GroupName) -> LaunchRequest {
    testing::request(document, group, LaunchId::from_random(0xaa), identity())
}

/// The first choice, as a fleet.
fn made(document: &Arc<ComputeCluster>, group: &GroupName) -> (TemplateCall, FleetCall) {
    let choice = choices(document, group, "eu-central-1").remove(0);
    fleet(&request(document, group), &choice, INSTALLED).unwrap()
}

/// The first choice, which is one type in one place.
fn single(document: &Arc<ComputeCluster>, group: &GroupName) -> InstancesCall {
    let choice = choices(document, group, "eu-central-1").remove(0);
    launch(&request(document, group), &choice, choice.single().unwrap(), INSTALLED).unwrap()
}

fn script(data: &LaunchData) -> String {
    let bytes = STANDARD.decode(&data.user_data).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    text
}

/// What the machine's agent reads.
fn node(data: &LaunchData) -> String {
    let script = script(data);
    let node = script.lines().find(|line| line.starts_with("{\"")).unwrap();
    let node: Value = serde_json::from_str(node).unwrap();
    format!("node.json:\n{node:#}\n")
}

fn without_user_data(data: &LaunchData) -> LaunchData {
    LaunchData { user_data: String::new(), ..data.clone() }
}

/// The calls without their user data, which is shown as its parts; nor the digest of it.
fn shown((template, fleet): &(TemplateCall, FleetCall)) -> String {
    let (name, digest) = template.name.rsplit_once('-').unwrap();
    assert_eq!(digest.len(), 16);
    let shown = TemplateCall {
        name: format!("{name}-..."),
        data: without_user_data(&template.data),
        tags: template.tags.clone(),
    };
    let fleet = FleetCall { template: shown.name.clone(), ..fleet.clone() };
    format!("{shown:#?}\n\n{fleet:#?}\n\n{}", node(&template.data))
}

#[test]
fn a_launch_of_workers_of_several_types_is_a_template_and_one_fleet() {
    insta::assert_snapshot!("workers", shown(&made(&document(DOCUMENT), &GroupName::workers())));
}

#[test]
fn a_launch_of_one_type_on_demand_is_one_call() {
    let one = DOCUMENT.replace("region: eu-central-1", "machines: {instanceTypes: [m7i.large]}");
    let call = single(&document(&one), &GroupName::scheduler());
    let shown = InstancesCall { data: without_user_data(&call.data), ..call.clone() };
    insta::assert_snapshot!("scheduler", format!("{shown:#?}\n\n{}", node(&call.data)));
}

#[test]
fn a_template_that_says_something_else_has_another_name() {
    let name = |text: &str, group: &GroupName| made(&document(text), group).0.name;
    let workers = GroupName::workers();
    assert_eq!(name(DOCUMENT, &workers), name(DOCUMENT, &workers));
    let other = name(&DOCUMENT.replace("100GiB", "101GiB"), &workers);
    assert_ne!(name(DOCUMENT, &workers), other);
    let dearer = DOCUMENT.replace("tags:", "prices: {m6a.large: 0.5}\n      tags:");
    assert_eq!(name(DOCUMENT, &workers), name(&dearer, &workers), "prices are not in it");
    assert!(other.starts_with("crewcall-0000000000000007-workers-"), "{other}");
}

#[test]
fn what_machines_are_started_with_has_no_secret_and_half_the_room_to_spare() {
    let document = document(DOCUMENT);
    let secret = Regex::new("BEGIN|PRIVATE KEY|AKIA|ASIA").unwrap();
    for group in [GroupName::workers(), GroupName::scheduler(), "gpu".parse().unwrap()] {
        let data = made(&document, &group).0.data;
        let bytes = STANDARD.decode(&data.user_data).unwrap();
        assert!(bytes.len() < 8 << 10, "{group}: {} bytes", bytes.len());
        let text = script(&data);
        assert!(!secret.is_match(&text), "{group}");
        assert_eq!(text, script(&made(&document, &group).0.data), "the same request is the same script");
    }
}

#[test]
fn the_script_writes_its_files_whole() {
    let text = script(&made(&document(DOCUMENT), &GroupName::workers()).0.data);
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
    let error = fleet(&request(&document, &GroupName::workers()), &choice, INSTALLED).unwrap_err();
    assert!(matches!(error, BuildError::UserData(length) if length > MAX_USER_DATA), "{error}");
}

#[test]
fn spare_capacity_of_every_type_comes_before_the_full_price() {
    let document = document(DOCUMENT);
    let all = choices(&document, &GroupName::workers(), "eu-central-1");
    let markets: Vec<Market> = all.iter().map(|choice| choice.market).collect();
    assert_eq!(markets, [Market::Spot, Market::OnDemand]);
    assert!(all.iter().all(|choice| choice.types.len() == 5 && choice.single().is_none()));
    let dearest = all[0].types.iter().filter_map(|priced| priced.hourly).max();
    assert!(all[0].hourly() == dearest && dearest > Some(Money(0)));
    let launching = launching(&document, "eu-central-1");
    assert_eq!(
        launching.choices.keys().map(GroupName::as_str).collect::<Vec<_>>(),
        ["gpu", "scheduler", "workers"]
    );
    let labels: Vec<_> =
        launching.choices[&GroupName::workers()].iter().map(|choice| choice.label.as_str()).collect();
    assert_eq!(labels, ["m6a.large or 4 others, spot", "m6a.large or 4 others"]);
}

#[test]
fn a_price_that_nobody_knows_is_that_of_the_whole_choice() {
    let text = DOCUMENT.replace("disk:", "instanceTypes: [m7i.large, x9z.large], disk:");
    let choice = choices(&document(&text), &GroupName::workers(), "eu-central-1").remove(0);
    assert_eq!((choice.hourly(), choice.to_string().as_str()), (None, "m7i.large or x9z.large, spot"));
    assert_eq!(choice.hourly_tag().unwrap(), "m7i.large=120758");
}

#[test]
fn zones_and_subnets_are_tried_in_their_order() {
    let zones = "region: eu-central-1\n      zones: [eu-central-1b, eu-central-1a]";
    let text = DOCUMENT.replace("region: eu-central-1", zones);
    let choice = choices(&document(&text), &GroupName::scheduler(), "eu-central-1").remove(0);
    assert!(choice.to_string().ends_with(", in 2 zones"), "{choice}");
    let pools = choice.pools();
    assert_eq!(pools[0].place, Place::Zone("eu-central-1b".to_owned()));
    assert_eq!(pools[1].place, Place::Zone("eu-central-1a".to_owned()));
    assert_eq!(pools[0].instance_type, pools[1].instance_type);
    let place = "machines: {instanceTypes: [m7i.large]}\n      addresses: private\n      \
                 subnets: [subnet-0a1b2c3d4e5f60718]";
    let call = single(&document(&DOCUMENT.replace("region: eu-central-1", place)), &GroupName::scheduler());
    assert_eq!(
        (call.pool.place, call.data.public_address),
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
