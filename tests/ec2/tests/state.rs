//! The state machine, without any I/O.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use ec2_double::{
    metadata::{Metadata, Question},
    protocol::{Fields, Parameters},
    state::{Caller, Cloud, Control, Instance, Service, Settings, State, Subnet},
    wire::{self, Reply, Request},
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

fn start() -> Timestamp {
    "2026-11-23T08:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

fn cloud() -> Cloud {
    Cloud::new(Settings::default(), 7, start())
}

fn call(cloud: &mut Cloud, action: &str, pairs: &[(&str, &str)], at: i64) -> Result<Fields, String> {
    let parameters = Parameters::of(pairs.iter().copied());
    let answered = cloud.query(Service::Ec2, action, &parameters, &Caller::anybody(), after(at));
    answered.result.map_err(|error| error.code)
}

fn launch<'a>(count: &'a str, token: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("ImageId", "ami-0c0ffee00000ec586"),
        ("InstanceType", "m5.large"),
        ("MinCount", "1"),
        ("MaxCount", count),
        ("ClientToken", token),
    ]
}

fn control(cloud: &mut Cloud, json: serde_json::Value) {
    let control: Control = serde_json::from_value(json).unwrap();
    cloud.control(control, start()).unwrap();
}

fn live(cloud: &Cloud) -> usize {
    cloud.instances().filter(|instance| instance.lives()).count()
}

#[test]
fn a_fleet_takes_one_subnet_of_each_zone_and_no_least_number_without_a_single_pool() {
    let mut cloud = cloud();
    let data = [("LaunchTemplateName", "t"), ("LaunchTemplateData.ImageId", "ami-0c0ffee00000ec586")];
    call(&mut cloud, "CreateLaunchTemplate", &data, 0).unwrap();
    let first = cloud.settings.subnets[0].clone();
    cloud.settings.subnets.push(Subnet { id: "subnet-0a".into(), ..first.clone() });
    let fleet = |more: &[(&'static str, &'static str)]| {
        let mut pairs = vec![
            ("Type", "instant"),
            ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName", "t"),
            ("LaunchTemplateConfigs.1.Overrides.1.InstanceType", "m5.large"),
            ("LaunchTemplateConfigs.1.Overrides.2.InstanceType", "m5.xlarge"),
            ("TargetCapacitySpecification.TotalTargetCapacity", "1"),
        ];
        pairs.extend(more);
        pairs
    };
    let least = call(&mut cloud, "CreateFleet", &fleet(&[("SpotOptions.MinTargetCapacity", "1")]), 0);
    assert_eq!(least.unwrap_err(), "InvalidParameterCombination");
    let mut both = fleet(&[("LaunchTemplateConfigs.1.Overrides.2.SubnetId", "subnet-0a")]);
    both.push(("LaunchTemplateConfigs.1.Overrides.1.SubnetId", &first.id));
    assert_eq!(call(&mut cloud, "CreateFleet", &both, 0).unwrap_err(), "InvalidParameterValue");
    let made = call(&mut cloud, "CreateFleet", &fleet(&[]), 0).unwrap();
    assert_eq!(made.count("fleetInstanceSet"), 1);
}

#[test]
fn a_token_that_is_used_again_makes_nothing() {
    let mut cloud = cloud();
    let first = call(&mut cloud, "RunInstances", &launch("3", "t"), 0).unwrap();
    let again = call(&mut cloud, "RunInstances", &launch("3", "t"), 1).unwrap();
    assert_eq!(first.text("reservationId"), again.text("reservationId"));
    assert_eq!(live(&cloud), 3);
    let other = call(&mut cloud, "RunInstances", &launch("4", "t"), 1);
    assert_eq!(other.unwrap_err(), "IdempotentParameterMismatch");
}

#[test]
fn a_token_gives_back_instances_that_have_ended() {
    let mut cloud = cloud();
    let first = call(&mut cloud, "RunInstances", &launch("1", "t"), 0).unwrap();
    let id = first.text("instancesSet.0.instanceId").unwrap().to_owned();
    call(&mut cloud, "TerminateInstances", &[("InstanceId.1", &id)], 10).unwrap();
    let again = call(&mut cloud, "RunInstances", &launch("1", "t"), 7200).unwrap();
    assert_eq!(again.text("instancesSet.0.instanceId"), Some(id.as_str()));
    assert_eq!(again.text("instancesSet.0.instanceState.name"), Some("terminated"));
    let described = call(&mut cloud, "DescribeInstances", &[], 7200).unwrap();
    assert_eq!(described.count("reservationSet"), 0);
}

#[test]
fn a_launch_that_is_refused_makes_nothing_and_may_be_repeated_under_its_token() {
    let mut cloud = cloud();
    control(&mut cloud, serde_json::json!({"capacity": {"instance_type": "*", "zone": "*", "room": 0}}));
    let refused = call(&mut cloud, "RunInstances", &launch("2", "t"), 0);
    assert_eq!(refused.unwrap_err(), "InsufficientInstanceCapacity");
    assert!(cloud.leftovers().is_empty());
    control(&mut cloud, serde_json::json!({"calm": {}}));
    assert_eq!(call(&mut cloud, "RunInstances", &launch("2", "t"), 1).unwrap().count("instancesSet"), 2);
}

#[test]
fn the_same_seed_and_calls_give_the_same_ids() {
    let ids = || {
        let mut cloud = cloud();
        call(&mut cloud, "RunInstances", &launch("2", "t"), 0).unwrap()
    };
    assert_eq!(ids(), ids());
}

#[test]
fn a_role_may_read_parameters_below_its_path_and_list_none() {
    let mut cloud = cloud();
    let mut given = launch("1", "t");
    given.push(("IamInstanceProfile.Name", "crewcall-worker"));
    let id = call(&mut cloud, "RunInstances", &given, 0).unwrap();
    let id = id.text("instancesSet.0.instanceId").unwrap().to_owned();
    let put = br#"{"Name": "/crewcall/a/b", "Value": "v", "Type": "SecureString"}"#;
    cloud.ssm("PutParameter", put, &Caller::anybody(), start()).result.unwrap();
    let known = cloud.role_credentials(&id, start()).unwrap();
    let caller =
        Caller { access_key: Some(known.access_key), session_token: known.session_token, signed_at: None };
    let get = br#"{"Name": "/crewcall/a/b", "WithDecryption": true}"#;
    assert_eq!(cloud.ssm("GetParameter", get, &caller, start()).result.unwrap()["Parameter"]["Value"], "v");
    let list = cloud.ssm("GetParametersByPath", br#"{"Path": "/crewcall/a"}"#, &caller, start()).result;
    assert_eq!(list.unwrap_err().code, "AccessDeniedException");
    let answered = cloud.query(Service::Ec2, "DescribeInstances", &Parameters::default(), &caller, start());
    assert_eq!(answered.result.unwrap_err().code, "UnauthorizedOperation");
}

#[test]
fn metadata_wants_a_token_of_the_one_who_asks() {
    let mut cloud = cloud();
    let mut given = launch("2", "t");
    given.push(("MetadataOptions.HttpTokens", "required"));
    call(&mut cloud, "RunInstances", &given, 0).unwrap();
    let addresses: Vec<_> = cloud.instances().map(|instance| instance.private_ip).collect();
    let mut metadata = Metadata::default();
    let put =
        Question { method: "PUT", path: "/latest/api/token", seconds: Some("60"), ..Question::default() };
    let token = metadata.answer(&mut cloud, addresses[0], &put, start()).body;
    let token = String::from_utf8(token).unwrap();
    let get = |token| Question {
        method: "GET",
        path: "/latest/meta-data/instance-id",
        token,
        ..Question::default()
    };
    let mut status = |source, token, at| metadata.answer(&mut cloud, source, &get(token), after(at)).status;
    assert_eq!(status(addresses[0], Some(token.as_str()), 1), 200);
    assert_eq!(status(addresses[1], Some(token.as_str()), 1), 401);
    assert_eq!(status(addresses[0], None, 1), 401);
    assert_eq!(status(addresses[0], Some(token.as_str()), 61), 401);
}

#[test]
fn a_shutdown_from_inside_ends_as_was_asked() {
    for (behaviour, expected) in [("terminate", State::Terminated), ("stop", State::Stopped)] {
        let mut cloud = cloud();
        let mut given = launch("1", "t");
        given.push(("InstanceInitiatedShutdownBehavior", behaviour));
        call(&mut cloud, "RunInstances", &given, 0).unwrap();
        let id = cloud.instances().next().unwrap().id.clone();
        cloud.advance(after(5));
        cloud.host_ended(&id);
        assert_eq!(cloud.instance(&id).unwrap().state, expected);
    }
}

#[test]
fn a_lost_reply_is_no_answer_but_an_effect() {
    let mut cloud = cloud();
    control(&mut cloud, serde_json::json!({"mishap": {"action": "RunInstances", "fault": "lose-reply"}}));
    let body = b"Action=RunInstances&Version=2016-11-15&ImageId=ami-0c0ffee00000ec586&InstanceType=m5.large\
                 &MinCount=1&MaxCount=1";
    let header =
        |name: &str| (name == "authorization").then(|| "Credential=AKIA/1/us-east-1/ec2/aws4_request".into());
    let request = Request { header: &header, body };
    assert_eq!(wire::answer(&mut cloud, &request, start(), start()), Reply::Closed);
    assert_eq!(live(&cloud), 1);
    assert!(matches!(
        wire::answer(&mut cloud, &request, start(), start()),
        Reply::Answer { status: 200, .. }
    ));
}

#[derive(Debug, Clone)]
enum Step {
    Launch { count: u8, token: u8 },
    Terminate(usize),
    Stop(usize),
    PowerOff(usize),
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1..6_u8, 0..4_u8).prop_map(|(count, token)| Step::Launch { count, token }),
        (0..20_usize).prop_map(Step::Terminate),
        (0..20_usize).prop_map(Step::Stop),
        (0..20_usize).prop_map(Step::PowerOff),
        (0..4000_i64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #[test]
    fn whatever_is_done_devices_go_with_instances_and_room_is_never_exceeded(steps in steps()) {
        let mut cloud = cloud();
        control(&mut cloud, serde_json::json!({"capacity": {"instance_type": "*", "zone": "us-east-1a", "room": 2}}));
        control(&mut cloud, serde_json::json!({"settings": {"on_demand_vcpus": 16}}));
        let mut now = 0;
        for step in steps {
            let ids: Vec<_> = cloud.instances().map(|instance| instance.id.clone()).collect();
            let id = |index: usize| ids.get(index % ids.len().max(1)).cloned().unwrap_or_default();
            match step {
                Step::Launch { count, token } => {
                    let (count, token) = (count.to_string(), format!("t{token}"));
                    let _ = call(&mut cloud, "RunInstances", &launch(&count, &token), now);
                }
                Step::Terminate(index) => {
                    let _ = call(&mut cloud, "TerminateInstances", &[("InstanceId.1", &id(index))], now);
                }
                Step::Stop(index) => {
                    let _ = call(&mut cloud, "StopInstances", &[("InstanceId.1", &id(index))], now);
                }
                Step::PowerOff(index) => cloud.host_ended(&id(index)),
                Step::Wait(seconds) => {
                    now += seconds;
                    cloud.advance(after(now));
                }
            }
            let lives = live(&cloud);
            let volumes = cloud.leftovers().iter().filter(|left| left.starts_with("volume")).count();
            let interfaces = cloud.leftovers().iter().filter(|left| left.starts_with("network-interface")).count();
            prop_assert_eq!((volumes, interfaces), (lives, lives));
            let count = |fits: &dyn Fn(&Instance) -> bool| cloud.instances().filter(|found| fits(found)).count();
            let held = count(&|found| {
                found.zone == "us-east-1a" && !matches!(found.state, State::Stopped | State::Terminated)
            });
            prop_assert!(held <= 2, "{held} in a zone for two");
            let used = count(&|found| found.state <= State::Stopping);
            prop_assert!(used <= 8, "{used} of two processors each where 16 are allowed");
            let mut addresses: Vec<_> =
                cloud.instances().filter(|found| found.lives()).map(|found| found.private_ip).collect();
            addresses.sort();
            addresses.dedup();
            prop_assert_eq!(addresses.len(), lives);
        }
        let all: Vec<_> = cloud.instances().map(|instance| instance.id.clone()).collect();
        for id in all {
            let _ = call(&mut cloud, "TerminateInstances", &[("InstanceId.1", &id)], now);
        }
        cloud.advance(after(now + 10));
        prop_assert!(cloud.leftovers().is_empty(), "{:?}", cloud.leftovers());
    }
}
