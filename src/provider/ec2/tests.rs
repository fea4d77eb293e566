//! The provider against an account that lives in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    Belonging, Ec2Api, Ec2Provider, GroupCall, ParameterCall, Secrecy, SeenGroup, Whose,
    build::{ClientBlock, InstancesCall, Market},
    names::{self, tag},
    observe::{InstanceState, SeenInstance},
};
use crate::{
    engine::{Engine as _, dask::DaskEngine},
    model::{
        AnchorState, CallerContext, CallerEnvironment, ClusterKey, ClusterUid, ErrorKind, InstanceId,
        LaunchId, NodeId, NodeState, Stop, TemplateHash,
    },
    provider::{AnchorRequest, Caller, LaunchRequest, Provider as _, ProviderError, Removal, Vitality},
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
  environment: {image: "ghcr.io/dask/dask:2026.8.0-py3.11"}
  secretEnv: {TOKEN: MY_TOKEN}
  workers: {replicas: 3, memory: 2GiB, ec2: {purchase: spotWithFallback}}
"#;

/// An account. Every call is counted by its name.
#[derive(Default)]
struct Account {
    instances: BTreeMap<InstanceId, SeenInstance>,
    tokens: BTreeMap<String, (InstancesCall, Vec<InstanceId>)>,
    groups: BTreeMap<String, SeenGroup>,
    parameters: BTreeMap<String, (String, Secrecy)>,
    consoles: BTreeMap<InstanceId, String>,
    calls: BTreeMap<&'static str, u32>,
    /// The next call of that name has its effect, and its reply is lost.
    lose: BTreeSet<&'static str>,
    /// Where the caller is.
    caller: Option<IpAddr>,
    /// There is no room for this market.
    full: Option<Market>,
}

#[derive(Default)]
struct Fake(Mutex<Account>);

impl Fake {
    fn call<T>(
        &self,
        name: &'static str,
        act: impl FnOnce(&mut Account) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let mut account = self.0.lock().unwrap();
        *account.calls.entry(name).or_default() += 1;
        let outcome = act(&mut account);
        if account.lose.remove(name) { Err(ProviderError::unsure("the reply was lost")) } else { outcome }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Account) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }
}

fn fits(tags: &BTreeMap<String, String>, of: &Belonging) -> bool {
    let is = |key: &str, value: &str| tags.get(key).is_some_and(|found| found == value);
    match of {
        Belonging::Cluster(uid) => is(tag::CLUSTER_UID, uid.as_str()),
        Belonging::Launch(uid, launch) => {
            is(tag::CLUSTER_UID, uid.as_str()) && is(tag::LAUNCH, launch.as_str())
        }
        Belonging::Installation(id) => is(tag::INSTALLATION, id),
        Belonging::Anybody => tags.contains_key(tag::INSTALLATION),
    }
}

#[async_trait]
impl Ec2Api for Fake {
    fn region(&self) -> &'static str {
        "eu-central-1"
    }

    fn machines_ssm(&self) -> String {
        "https://ssm.eu-central-1.amazonaws.com".to_owned()
    }

    fn renew(&self, _: &CallerEnvironment) {}

    async fn callers_address(&self) -> Option<IpAddr> {
        self.with(|account| account.caller)
    }

    async fn instances(&self, of: &Belonging) -> Result<Vec<SeenInstance>, ProviderError> {
        self.call("instances", |account| {
            Ok(account.instances.values().filter(|one| fits(&one.tags, of)).cloned().collect())
        })
    }

    async fn run_instances(&self, call: &InstancesCall) -> Result<Vec<InstanceId>, ProviderError> {
        self.call("run_instances", |account| {
            if let Some((known, made)) = account.tokens.get(&call.token) {
                let mismatch = ProviderError::new(ErrorKind::Conflict, "IdempotentParameterMismatch");
                return if known == call { Ok(made.clone()) } else { Err(mismatch) };
            }
            if account.full == Some(call.choice.market) {
                return Err(ProviderError::new(ErrorKind::Capacity, "InsufficientInstanceCapacity"));
            }
            let made: Vec<InstanceId> = (0..call.count)
                .map(|_| {
                    let id = InstanceId::new(format!("i-{:017x}", account.instances.len()));
                    let seen = SeenInstance {
                        id: id.clone(),
                        state: InstanceState::Running,
                        reason: None,
                        launched_at: now(),
                        private_address: "10.0.0.5".parse().ok(),
                        public_address: "203.0.113.5".parse().ok(),
                        instance_type: call.choice.instance_type.to_string(),
                        tags: call.tags.clone(),
                    };
                    account.instances.insert(id.clone(), seen);
                    id
                })
                .collect();
            account.tokens.insert(call.token.clone(), (call.clone(), made.clone()));
            Ok(made)
        })
    }

    async fn terminate(&self, instances: &[InstanceId]) -> Result<(), ProviderError> {
        self.call("terminate", |account| {
            let unknown = instances.iter().filter(|id| !account.instances.contains_key(id));
            let unknown: Vec<&str> = unknown.map(InstanceId::as_str).collect();
            if !unknown.is_empty() {
                let message = format!("the instance IDs '{}' do not exist", unknown.join(", "));
                return Err(ProviderError::new(ErrorKind::NotFound, message));
            }
            for id in instances {
                account.instances.get_mut(id).unwrap().state = InstanceState::Terminated;
            }
            Ok(())
        })
    }

    async fn tag(
        &self,
        instances: &[InstanceId],
        tags: &BTreeMap<String, String>,
    ) -> Result<(), ProviderError> {
        self.call("tag", |account| {
            for id in instances {
                account.instances.get_mut(id).unwrap().tags.extend(tags.clone());
            }
            Ok(())
        })
    }

    async fn untag(&self, instances: &[InstanceId], key: &str) -> Result<(), ProviderError> {
        self.call("untag", |account| {
            for id in instances {
                account.instances.get_mut(id).unwrap().tags.remove(key);
            }
            Ok(())
        })
    }

    async fn console(&self, instance: &InstanceId) -> Result<String, ProviderError> {
        self.call("console", |account| Ok(account.consoles.get(instance).cloned().unwrap_or_default()))
    }

    async fn root_device(&self, _: &str) -> Result<Option<String>, ProviderError> {
        Ok(Some("/dev/sda1".to_owned()))
    }

    async fn vpc_of_subnet(&self, _: &str) -> Result<String, ProviderError> {
        Ok("vpc-1".to_owned())
    }

    async fn groups(&self, of: &Belonging) -> Result<Vec<SeenGroup>, ProviderError> {
        self.call("groups", |account| {
            Ok(account.groups.values().filter(|one| fits(&one.tags, of)).cloned().collect())
        })
    }

    async fn create_group(&self, call: &GroupCall) -> Result<String, ProviderError> {
        self.call("create_group", |account| {
            if account.groups.contains_key(&call.name) {
                return Err(ProviderError::new(ErrorKind::Conflict, "InvalidGroup.Duplicate"));
            }
            let group = SeenGroup {
                id: call.name.clone(),
                tags: call.tags.clone(),
                members_are_in: false,
                clients: Vec::new(),
            };
            account.groups.insert(call.name.clone(), group);
            Ok(call.name.clone())
        })
    }

    async fn let_members_in(&self, group: &str) -> Result<(), ProviderError> {
        self.call("let_members_in", |account| {
            account.groups.get_mut(group).unwrap().members_are_in = true;
            Ok(())
        })
    }

    async fn let_in(&self, group: &str, blocks: &[ClientBlock]) -> Result<(), ProviderError> {
        self.call("let_in", |account| {
            account.groups.get_mut(group).unwrap().clients.extend(blocks.to_vec());
            Ok(())
        })
    }

    async fn shut_out(&self, group: &str, blocks: &[ClientBlock]) -> Result<(), ProviderError> {
        self.call("shut_out", |account| {
            account.groups.get_mut(group).unwrap().clients.retain(|block| !blocks.contains(block));
            Ok(())
        })
    }

    async fn delete_group(&self, group: &str) -> Result<(), ProviderError> {
        self.call("delete_group", |account| {
            if account.instances.values().any(|one| one.state != InstanceState::Terminated) {
                return Err(ProviderError::new(ErrorKind::Conflict, "DependencyViolation"));
            }
            account.groups.remove(group);
            Ok(())
        })
    }

    async fn parameters(&self, path: &str) -> Result<Vec<String>, ProviderError> {
        let below = format!("{path}/");
        self.call("parameters", |account| {
            Ok(account.parameters.keys().filter(|name| name.starts_with(&below)).cloned().collect())
        })
    }

    async fn put_parameter(&self, call: &ParameterCall) -> Result<(), ProviderError> {
        self.call("put_parameter", |account| {
            account.parameters.insert(call.name.clone(), (call.value.clone(), call.secrecy));
            Ok(())
        })
    }

    async fn delete_parameters(&self, names: &[String]) -> Result<(), ProviderError> {
        assert!(names.len() <= 10);
        self.call("delete_parameters", |account| {
            account.parameters.retain(|name, _| !names.contains(name));
            Ok(())
        })
    }
}

fn now() -> Timestamp {
    "2026-11-23T09:00:00Z".parse().unwrap()
}

struct Scene {
    fake: Arc<Fake>,
    cluster: ClusterKey,
    document: Arc<ComputeCluster>,
    identity: Arc<Identity>,
}

impl Scene {
    fn new() -> Self {
        let cluster = ClusterKey { uid: ClusterUid::from_random(7), name: "demo".parse().unwrap() };
        let fake = Arc::new(Fake::default());
        fake.with(|account| account.caller = "198.51.100.7".parse().ok());
        let authority = ClusterAuthority::new(&cluster.uid, Duration::from_hours(24), now()).unwrap();
        Self {
            fake,
            cluster,
            document: Arc::new(load("test", DOCUMENT).unwrap().cluster),
            identity: Arc::new(authority.issue(CertificateRole::Worker, &[]).unwrap()),
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
        let group = GroupName::workers();
        let id = NodeId::launched(self.cluster.name.clone(), group.clone(), InstanceId::placeholder());
        let launch = LaunchId::from_random(number);
        let program = DaskEngine::default().worker_launch(&self.document, &id, &group, "tls://10.0.0.4:8786");
        LaunchRequest {
            cluster: self.cluster.clone(),
            document: self.document.clone(),
            token: launch.token(&self.cluster.uid),
            launch,
            group,
            count: 3,
            choice,
            template: TemplateHash::new("abc"),
            expires_at: Some("2026-11-24T10:00:00Z".parse().unwrap()),
            program: Arc::new(program),
            identity: Some(self.identity.clone()),
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
    });
}

#[tokio::test]
async fn a_launch_whose_reply_was_lost_makes_nothing_twice_also_after_a_restart() {
    let scene = Scene::new();
    let provider = scene.provider();
    provider.ensure_anchor(&scene.anchor(Some("s3cret"))).await.unwrap();
    scene.fake.with(|account| account.lose.insert("run_instances"));
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
    assert_eq!(after["run_instances"], before["run_instances"] + 1);
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
    scene.provider().ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    let forgot = scene.provider();
    let missing = forgot.launch(&scene.launch(1, 0)).await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::Auth);
    assert!(missing.message.contains("MY_TOKEN"));
    let knows = scene.provider();
    knows.ensure_anchor(&scene.anchor(Some("x"))).await.unwrap();
    knows.launch(&scene.launch(1, 0)).await.unwrap();
    scene.provider().launch(&scene.launch(2, 0)).await.unwrap();
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
        assert!(account.groups.is_empty());
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
    assert_eq!((managed[0].description.as_str(), managed[0].vitality), ("3 machines", Vitality::Alive));
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
    assert_eq!(found[0].description, "3 machines of another installation, past its tag crewcall:expires-at");
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
