//! The provider against an account that lives in memory.

mod account;
mod fleets;

use std::sync::Arc;

use jiff::Timestamp;

use self::account::Fake;
use super::{
    Ec2Provider, Secrecy, Whose,
    build::{ClientBlock, Market},
    names::{self, tag},
    observe::InstanceState,
    testing::{self, now},
};
use crate::{
    model::{
        AnchorState, CallerContext, CallerEnvironment, ClusterKey, ClusterUid, ErrorKind, InstanceId,
        LaunchId, NodeId, NodeState, Stop,
    },
    provider::{AnchorRequest, Caller, LaunchRequest, Provider as _, Removal, Vitality},
    security::Identity,
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
  environment: {image: "ghcr.io/dask/dask:2026.8.0-py3.11"}
  secretEnv: {TOKEN: MY_TOKEN}
  workers: {replicas: 3, memory: 2GiB, ec2: {purchase: spotWithFallback}}
"#;

struct Scene {
    fake: Arc<Fake>,
    cluster: ClusterKey,
    document: Arc<ComputeCluster>,
    identity: Arc<Identity>,
}

impl Scene {
    fn new() -> Self {
        Self::of(DOCUMENT)
    }

    fn of(document: &str) -> Self {
        let fake = Arc::new(Fake::default());
        fake.with(|account| account.caller = "198.51.100.7".parse().ok());
        Self {
            fake,
            cluster: testing::cluster(),
            document: testing::document(document),
            identity: testing::identity(),
        }
    }

    /// A provider as after a restart: it remembers nothing.
    fn provider(&self) -> Ec2Provider {
        Ec2Provider::new(self.fake.clone(), Whose::Installation("here".to_owned()), now)
    }

    fn anchor(&self, token: Option<&str>) -> AnchorRequest {
        let environment = token.map(|token| ("MY_TOKEN".to_owned(), token.to_owned()));
        AnchorRequest {
            cluster: self.cluster.clone(),
            document: self.document.clone(),
            interpreter: None,
            context: CallerContext::default(),
            environment: CallerEnvironment(environment.into_iter().collect()),
        }
    }

    fn launch(&self, number: u64, choice: u32) -> LaunchRequest {
        let launch = LaunchId::from_random(number);
        let environment = [("MY_TOKEN".to_owned(), "s3cret".to_owned())].into();
        LaunchRequest {
            choice,
            environment: Some(CallerEnvironment(environment)),
            ..testing::request(&self.document, &GroupName::workers(), launch, self.identity.clone())
        }
    }
}

#[tokio::test]
async fn an_anchor_is_one_group_however_often_it_is_asked_for() {
    let scene = Scene::new();
    scene.fake.with(|account| account.lose.insert("create_group"));
    assert!(scene.provider().ensure_anchor(&scene.anchor(Some("x"))).await.is_err());
    for _ in 0..2 {
        scene.provider().ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    }
    scene.fake.with(|account| {
        assert_eq!(account.groups.len(), 1);
        let group = account.groups.values().next().unwrap();
        assert!(group.members_are_in);
        assert_eq!(group.clients, [ClientBlock::V4("198.51.100.7/32".to_owned())]);
    });
    let observed = scene.provider().observe(&scene.cluster).await.unwrap();
    assert_eq!((observed.anchor, observed.nodes.len()), (AnchorState::Present, 0));
}

#[tokio::test]
async fn a_caller_who_has_moved_is_let_in_and_the_old_address_shut_out() {
    let scene = Scene::new();
    scene.provider().ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    scene.fake.with(|account| account.caller = "203.0.113.1".parse().ok());
    scene.provider().ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    scene.fake.with(|account| account.caller = None);
    scene.provider().ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    scene.fake.with(|account| {
        let group = account.groups.values().next().unwrap();
        assert_eq!(group.clients, [ClientBlock::V4("203.0.113.1/32".to_owned())]);
        assert_eq!(account.renewals, 0, "the credentials of the cluster's first caller may have ended since");
    });
}

#[tokio::test]
async fn a_launch_whose_reply_was_lost_makes_nothing_twice_also_after_a_restart() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("s3cret"))).await.unwrap();
    scene.fake.with(|account| account.lose.insert("create_fleet"));
    let lost = provider.launch(&scene.launch(1, 0)).await.unwrap_err();
    assert_eq!(lost.kind, ErrorKind::Transient);
    let launched = scene.provider().launch(&scene.launch(1, 0)).await.unwrap();
    assert_eq!(launched.instances.len(), 3);
    scene.fake.with(|account| {
        assert_eq!(account.instances.len(), 3);
        let secrets: Vec<_> =
            account.parameters.values().filter(|(_, secrecy)| *secrecy == Secrecy::Encrypted).collect();
        assert_eq!(secrets.len(), 1);
        assert!(secrets[0].0.contains("s3cret") && secrets[0].0.contains("PRIVATE KEY"));
        assert_eq!(account.calls["put_parameter"], 1 + u32::try_from(account.parameters.len() - 1).unwrap());
    });
    let observed = scene.provider().observe(&scene.cluster).await.unwrap();
    assert!(observed.nodes.iter().all(|node| node.state == NodeState::Running));
    let machine = observed.nodes[0].machine.clone().unwrap();
    assert_eq!((machine.launch, machine.hourly.is_some()), (LaunchId::from_random(1), true));
}

#[tokio::test]
async fn many_workers_take_no_more_calls_than_few() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    provider.launch(&scene.launch(1, 0)).await.unwrap();
    let before = scene.fake.with(|account| account.calls.clone());
    let many = LaunchRequest { count: 1_000, ..scene.launch(2, 0) };
    assert_eq!(provider.launch(&many).await.unwrap().instances.len(), 1_000);
    let after = scene.fake.with(|account| account.calls.clone());
    assert_eq!(after["create_fleet"], before["create_fleet"] + 1);
    assert_eq!(after["put_parameter"], before["put_parameter"]);
    let observed = provider.observe(&scene.cluster).await.unwrap();
    let names: Vec<_> = observed.nodes.iter().map(|node| node.id.name()).collect();
    assert_eq!(names.len(), 1_003);
    provider.remove_nodes(&scene.cluster, &names, Stop::Now).await.unwrap();
    assert_eq!(scene.fake.with(|account| account.calls["terminate"]), 2);
    let observed = provider.observe(&scene.cluster).await.unwrap();
    assert!(observed.nodes.is_empty(), "what was removed is not shown any more");
}

#[tokio::test]
async fn no_room_leaves_nothing_and_another_choice_may_have_some() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    scene.fake.with(|account| account.full = Some(Market::Spot));
    let refused = provider.launch(&scene.launch(1, 0)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Capacity);
    let choices = provider.launching(&scene.document).unwrap().choices[&GroupName::workers()].len();
    let last = u32::try_from(choices - 1).unwrap();
    assert_eq!(provider.launch(&scene.launch(2, last)).await.unwrap().instances.len(), 3);
}

#[tokio::test]
async fn a_secret_that_nobody_has_any_more_is_asked_for_unless_it_is_kept_already() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    // As after a restart, until somebody hands it over again.
    let without = |number| LaunchRequest { environment: None, ..scene.launch(number, 0) };
    let missing = provider.launch(&without(1)).await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::Auth);
    assert!(missing.message.contains("MY_TOKEN"));
    provider.launch(&scene.launch(1, 0)).await.unwrap();
    scene.provider().launch(&without(2)).await.unwrap();
}

#[tokio::test]
async fn deleting_goes_on_until_nothing_is_left_and_takes_nobody_elses() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    provider.launch(&scene.launch(1, 0)).await.unwrap();
    let other = format!("/crewcall/here/{}-00/worker/workers-abc", ClusterUid::from_random(8));
    scene.fake.with(|account| account.parameters.insert(other.clone(), (String::new(), Secrecy::Plain)));
    let mut rounds = 0;
    while provider.remove_anchor(&scene.cluster).await.unwrap() == Removal::Ending {
        rounds += 1;
        assert!(rounds < 10, "it does not end");
    }
    scene.fake.with(|account| {
        assert!(account.instances.values().all(|one| one.state == InstanceState::Terminated));
        assert!(account.groups.is_empty() && account.templates.is_empty() && account.fleets.is_empty());
        assert_eq!(account.parameters.keys().collect::<Vec<_>>(), [&other]);
    });
    assert_eq!(scene.provider().remove_anchor(&scene.cluster).await.unwrap(), Removal::Gone);
}

#[tokio::test]
async fn what_an_installation_made_is_listed_and_swept_by_cluster() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    provider.launch(&scene.launch(1, 0)).await.unwrap();
    let managed = provider.list_managed().await.unwrap();
    assert_eq!(managed.len(), 1);
    assert_eq!(
        (managed[0].description.as_str(), managed[0].vitality),
        ("3 machines of cluster demo", Vitality::Alive)
    );
    while !provider.list_managed().await.unwrap().is_empty() {
        provider.sweep(&managed[0]).await.unwrap();
    }
    let foreign = Ec2Provider::new(scene.fake.clone(), Whose::Installation("there".to_owned()), now);
    assert!(foreign.list_managed().await.unwrap().is_empty());
}

#[tokio::test]
async fn machines_of_another_installation_are_ended_only_when_their_own_tag_says_so() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    provider.launch(&scene.launch(1, 0)).await.unwrap();
    // Their tag says 10:00 on the next day.
    let at = |now: fn() -> Timestamp| {
        Ec2Provider::new(scene.fake.clone(), Whose::Installation("there".to_owned()), now)
    };
    let early = at(|| "2026-11-24T10:10:00Z".parse().unwrap());
    assert!(early.list_managed().await.unwrap().is_empty(), "clocks differ");
    let late = at(|| "2026-11-24T10:20:00Z".parse().unwrap());
    let found = late.list_managed().await.unwrap();
    assert_eq!((found.len(), found[0].vitality), (1, Vitality::Expired));
    assert_eq!(
        found[0].description,
        "3 machines of cluster demo of another installation, past its tag crewcall:expires-at"
    );
    late.sweep(&found[0]).await.unwrap();
    scene.fake.with(|account| {
        assert!(account.instances.values().all(|one| one.state == InstanceState::Terminated));
        assert_eq!(account.groups.len(), 1, "what costs nothing is its owner's");
    });
    assert!(late.list_managed().await.unwrap().is_empty());
}

#[tokio::test]
async fn machines_that_ec2_does_not_know_any_more_cost_one_call_and_keep_nobody_alive() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    let made = provider.launch(&scene.launch(1, 0)).await.unwrap().instances;
    let node_of = |id: &InstanceId| {
        NodeId::launched(scene.cluster.name.clone(), GroupName::workers(), id.clone()).name()
    };
    let gone = ["i-0dead", "i-0beef"].map(InstanceId::new);
    let names: Vec<_> = gone.iter().chain(&made).map(node_of).collect();
    provider.remove_nodes(&scene.cluster, &names, Stop::Now).await.unwrap();
    scene.fake.with(|account| {
        assert!(account.instances.values().all(|one| one.state == InstanceState::Terminated));
        assert_eq!(account.calls["terminate"], 2);
    });
}

#[tokio::test]
async fn a_machine_that_fails_to_boot_says_why_in_its_own_words() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    let made = provider.launch(&LaunchRequest { count: 1, ..scene.launch(1, 0) }).await.unwrap().instances;
    scene.fake.with(|account| {
        let text = "[ 3.1] crewcall[9]: crewcall: pulling the image x\n[ 9.9] crewcall[9]: crewcall: failed: docker pull: no such image\n";
        account.consoles.insert(made[0].clone(), text.to_owned());
        let seen = account.instances.get_mut(&made[0]).unwrap();
        (seen.state, seen.reason) = (InstanceState::Terminated, Some("Instance initiated shutdown".to_owned()));
    });
    let observed = provider.observe(&scene.cluster).await.unwrap();
    match &observed.nodes[0].state {
        NodeState::Ended(exit) => assert_eq!(exit.reason.as_deref(), Some("docker pull: no such image")),
        other => panic!("{other:?}"),
    }
    assert_eq!(observed.nodes[0].last_log.len(), 2);
}

#[tokio::test]
async fn another_lifetime_is_one_call_for_all_machines() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    provider.launch(&scene.launch(1, 0)).await.unwrap();
    let nodes: Vec<_> =
        provider.observe(&scene.cluster).await.unwrap().nodes.iter().map(|node| node.id.name()).collect();
    let at: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
    provider.set_expiry(&scene.cluster, &nodes, Some(at)).await.unwrap();
    assert_eq!(scene.fake.with(|account| account.calls["tag"]), 1);
    let observed = provider.observe(&scene.cluster).await.unwrap();
    assert!(observed.nodes.iter().all(|node| node.machine.as_ref().unwrap().expires_at == Some(at)));
    provider.set_expiry(&scene.cluster, &nodes, None).await.unwrap();
    let observed = provider.observe(&scene.cluster).await.unwrap();
    assert!(observed.nodes.iter().all(|node| node.machine.as_ref().unwrap().expires_at.is_none()));
}

#[tokio::test]
async fn a_document_that_cannot_work_is_refused_before_anything_is_made() {
    let scene = Scene::new();
    let environment = CallerEnvironment([("MY_TOKEN".to_owned(), "x".to_owned())].into());
    let caller = Caller { context: CallerContext::default(), environment };
    let refused = async |from: &str, to: &str| {
        let document = load("test", &DOCUMENT.replace(from, to)).unwrap().cluster;
        let error = scene.provider().prepare(&document, &caller, &|_| ()).await.unwrap_err();
        format!("{}; {}", error.message, error.hint.unwrap_or_default())
    };
    let profiles = "      instanceProfiles: {scheduler: crewcall-scheduler, workers: crewcall-worker}\n";
    assert!(refused(profiles, "").await.contains("module in `terraform/`"));
    assert!(refused("region: eu-central-1", "region: eu-west-1").await.contains("AWS_REGION"));
    assert!(refused("memory: 2GiB", "memory: 900TiB").await.contains("`instanceTypes`"));
    let priceless = "      maxHourlyCost: 2\n      machines: {instanceTypes: [x9z.large]}\n";
    let limited = refused(profiles, &format!("{profiles}{priceless}")).await;
    assert!(limited.contains("`maxHourlyCost` cannot be kept: the price of x9z.large"), "{limited}");
    assert!(scene.fake.with(|account| account.groups.is_empty() && account.instances.is_empty()));
    assert_eq!(names::COMM_PORT, 8786);
}

/// A program that poses as a forwarder which listens on these ports.
#[cfg(all(feature = "ec2", target_os = "linux"))]
fn forwarding(folder: &std::path::Path) -> super::Ec2Forwarding {
    use std::os::unix::fs::PermissionsExt as _;

    use crate::{
        model::{BootId, Ec2Context, MachineId},
        provider::Forwarding,
    };

    let program = folder.join("forwarder");
    let script = "#!/bin/sh\nread -r told\necho '{\"listening\": {\"comm\": 4710, \"dashboard\": 4711}}'\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let here = (MachineId::new("m"), BootId::new("b"));
    let files = |_: &ClusterKey| Some(["ca", "cert", "key"].map(std::path::PathBuf::from));
    let forwarding =
        Forwarding::new(folder.to_owned(), program, here, std::env::vars().collect(), Arc::new(files));
    let context = Ec2Context {
        account: "123456789012".to_owned(),
        region: "us-east-1".to_owned(),
        profile: None,
        config_file: None,
        credentials_file: None,
        endpoint: None,
        address_url: None,
    };
    super::Ec2Forwarding::new(forwarding, &context)
}

#[cfg(all(feature = "ec2", target_os = "linux"))]
#[tokio::test]
async fn the_scheduler_that_runs_has_a_dashboard_until_its_cluster_is_removed() {
    let (scene, folder) = (Scene::new(), tempfile::tempdir().unwrap());
    let whose = Whose::Installation("here".to_owned());
    let forwarding = Some(forwarding(folder.path()));
    let provider = Ec2Provider::with_forwarding(scene.fake.clone(), whose, now, forwarding);
    provider.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    provider.launch(&scene.launch(1, 0)).await.unwrap();
    let links = async || {
        let nodes = provider.observe(&scene.cluster).await.unwrap().nodes;
        nodes.into_iter().filter_map(|node| node.dashboard).collect::<Vec<_>>()
    };
    assert_eq!(links().await, [""; 0], "there are workers only");
    scene.fake.with(|account| {
        let mut machines = account.instances.values_mut();
        let one = machines.next().unwrap();
        one.tags.insert(tag::GROUP.to_owned(), "scheduler".to_owned());
        one.state = InstanceState::Pending;
        one.public_address = "203.0.113.9".parse().ok();
    });
    assert_eq!(links().await, [""; 0], "the scheduler does not run yet");
    scene.fake.with(|account| account.instances.values_mut().next().unwrap().state = InstanceState::Running);
    assert_eq!(links().await, ["http://127.0.0.1:4711/status"]);

    // What a forwarder keeps, and is left of one that died.
    let kept = folder.path().join("forwarders").join(scene.cluster.uid.as_str());
    std::fs::create_dir_all(&kept).unwrap();
    provider.remove_anchor(&scene.cluster).await.unwrap();
    assert!(!kept.exists());
    assert_eq!(links().await, [""; 0], "it is being removed");
    while provider.remove_anchor(&scene.cluster).await.unwrap() != Removal::Gone {}

    std::fs::create_dir_all(&kept).unwrap();
    let managed = provider.list_managed().await.unwrap();
    assert_eq!(managed.len(), 1);
    assert!(managed[0].description.starts_with("what a forwarder left of cluster"), "{managed:?}");
    provider.sweep(&managed[0]).await.unwrap();
    assert!(!kept.exists());
}
