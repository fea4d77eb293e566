//! From what EC2 shows of instances to what plans start from. Pure.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;

use super::{
    names::{self, COMM_PORT, SESSION_MANAGER, tag},
    prices,
};
use crate::{
    model::{
        ClusterKey, Exit, InstanceId, Machine, Money, NodeId, NodeState, ObservedNode, Origin, TemplateHash,
    },
    spec::Ec2Spec,
};

/// How many of its last lines are kept of a node that has ended.
const LAST_LINES: usize = 20;

/// Before each line of the agent's on the console.
const MARK: &str = "crewcall: ";

/// What the system puts before each line of the node's unit, and the number of the process after it.
const UNIT: &str = " crewcall[";

/// An instance as EC2 shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenInstance {
    /// Its id.
    pub id: InstanceId,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Why it is there, in EC2's words.
    pub reason: Option<String>,
    /// When it was launched.
    pub launched_at: Timestamp,
    /// Its address within the VPC.
    pub private_address: Option<IpAddr>,
    /// Its address on the internet.
    pub public_address: Option<IpAddr>,
    /// Its type.
    pub instance_type: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl SeenInstance {
    /// Whether it is a cluster's scheduler, by its tag.
    pub fn is_scheduler(&self) -> bool {
        let group = self.tags.get(tag::GROUP).and_then(|text| text.parse::<crate::spec::GroupName>().ok());
        group.is_some_and(|group| group.is_scheduler())
    }

    /// Whether it is reached through AWS Systems Manager, by its tag: its address leads nobody there.
    pub fn is_reached_by_session(&self) -> bool {
        self.tags.get(tag::REACH).is_some_and(|reach| reach == SESSION_MANAGER)
    }
}

/// The states of an instance, by EC2's own names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceState {
    /// It boots.
    Pending,
    /// It runs, or boots still.
    Running,
    /// It is about to be gone.
    ShuttingDown,
    /// It is gone, and shown for about an hour.
    Terminated,
    /// It is about to be stopped, which nobody of ours does.
    Stopping,
    /// It stands still.
    Stopped,
}

/// What a provider remembers of a machine beside what EC2 shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// When it was first seen as ended.
    pub ended_at: Option<Timestamp>,
    /// What it said on its console.
    pub report: Report,
}

/// What a machine said on its console.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What it has done, the newest last.
    pub steps: Vec<String>,
    /// The exit code of its container.
    pub exit_code: Option<i32>,
    /// Its last lines.
    pub last_lines: Vec<String>,
}

/// The lines of a console that the node's unit wrote, without what the system puts before them; all where there
/// are none.
pub fn own_lines(console: &str) -> Vec<String> {
    let all = || {
        console
            .lines()
            .map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>().trim_end().to_owned())
            .filter(|line| !line.is_empty())
    };
    let own: Vec<String> = all()
        .filter_map(|line| Some(line.split_once(UNIT)?.1.split_once("]: ")?.1.to_owned()))
        .filter(|line| !line.is_empty())
        .collect();
    if own.is_empty() { all().collect() } else { own }
}

impl Report {
    /// From the console's text, control characters and all.
    pub fn of(console: &str) -> Self {
        let lines = own_lines(console);
        let said: Vec<&str> =
            lines.iter().filter_map(|line| line.split_once(MARK)).map(|(_, said)| said).collect();
        let code = said.iter().rev().find_map(|line| line.strip_prefix("ended with exit code "));
        Self {
            steps: said.iter().map(|line| (*line).to_owned()).collect(),
            exit_code: code.and_then(|code| code.parse().ok()),
            last_lines: lines.iter().skip(lines.len().saturating_sub(LAST_LINES)).cloned().collect(),
        }
    }

    /// Why the machine says it failed.
    fn failure(&self) -> Option<&str> {
        self.steps.last()?.strip_prefix("failed: ")
    }
}

/// The node that an instance is; `None` for one without our tags.
pub fn node(
    cluster: &ClusterKey,
    seen: &SeenInstance,
    remembered: &Remembered,
    region: &str,
) -> Option<ObservedNode> {
    let tag = |key: &str| seen.tags.get(key);
    if tag(tag::CLUSTER_UID)? != cluster.uid.as_str() {
        return None;
    }
    let group: crate::spec::GroupName = tag(tag::GROUP)?.parse().ok()?;
    let launch = tag(tag::LAUNCH)?.parse().ok()?;
    let template = TemplateHash::new(tag(tag::TEMPLATE)?.as_str());
    let at = |address: IpAddr| match address {
        IpAddr::V4(address) => format!("tls://{address}:{COMM_PORT}"),
        IpAddr::V6(address) => format!("tls://[{address}]:{COMM_PORT}"),
    };
    let is_scheduler = group.is_scheduler();
    let address = seen.private_address.filter(|_| is_scheduler).map(at);
    let reach = seen.public_address.or(seen.private_address).filter(|_| !seen.is_reached_by_session());
    let reach = reach.filter(|_| is_scheduler).map(at);
    let state = state(seen, remembered);
    let ended = matches!(state, NodeState::Ended(_));
    Some(ObservedNode {
        id: NodeId::launched(cluster.name.clone(), group, seen.id.clone()),
        template,
        state,
        origin: Origin::Planned,
        address,
        reach,
        dashboard: None,
        last_log: if ended { remembered.report.last_lines.clone() } else { Vec::new() },
        machine: Some(Machine {
            launch,
            hourly: hourly(seen, region),
            // EC2 tells the machine alone, which hands its data over by itself.
            taken_back_at: None,
            expires_at: tag(tag::EXPIRES_AT).and_then(|text| text.parse().ok()),
            steps: remembered.report.steps.clone(),
        }),
    })
}

/// What an instance costs an hour: by the tag that it got when it was launched, else by the table.
pub fn hourly(seen: &SeenInstance, region: &str) -> Option<Money> {
    let tagged = seen.tags.get(tag::HOURLY).and_then(|text| names::hourly_of(text, &seen.instance_type));
    tagged.or_else(|| prices::hourly(&seen.instance_type.parse().ok()?, region, &Ec2Spec::default()))
}

fn state(seen: &SeenInstance, remembered: &Remembered) -> NodeState {
    match seen.state {
        InstanceState::Pending => NodeState::Pending(None),
        InstanceState::Running => NodeState::Running,
        // One that is stopped holds its place and its disk, and works for nobody.
        InstanceState::ShuttingDown | InstanceState::Stopping => NodeState::Ending,
        InstanceState::Terminated | InstanceState::Stopped => {
            let report = &remembered.report;
            let failed = report.failure().map(str::to_owned);
            // What the container ended with says more than that the machine went with it.
            let of_machine = seen.reason.clone().filter(|_| report.exit_code.is_none());
            NodeState::Ended(Exit {
                at: remembered.ended_at.unwrap_or(seen.launched_at),
                code: report.exit_code,
                signal: None,
                reason: failed.or(of_machine),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClusterUid;

    fn cluster() -> ClusterKey {
        ClusterKey { uid: ClusterUid::from_random(7), name: "demo".parse().unwrap() }
    }

    fn seen(group: &str, state: InstanceState) -> SeenInstance {
        let tags = [
            (tag::CLUSTER_UID, "0000000000000007"),
            (tag::GROUP, group),
            (tag::LAUNCH, "00000000000000aa"),
            (tag::TEMPLATE, "abc"),
            (tag::EXPIRES_AT, "2026-11-24T10:00:00Z"),
        ];
        SeenInstance {
            id: InstanceId::new("i-0abc"),
            state,
            reason: Some("Client.InstanceInitiatedShutdown: Instance initiated shutdown".to_owned()),
            launched_at: "2026-11-23T09:00:00Z".parse().unwrap(),
            private_address: Some("10.0.0.5".parse().unwrap()),
            public_address: Some("203.0.113.9".parse().unwrap()),
            instance_type: "m5.large".to_owned(),
            tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        }
    }

    #[test]
    fn a_scheduler_has_an_address_for_workers_and_one_for_clients_while_it_boots() {
        let node =
            node(&cluster(), &seen("scheduler", InstanceState::Pending), &Remembered::default(), "us-east-1")
                .unwrap();
        assert_eq!(node.id.name().as_str(), "demo-scheduler-i-0abc");
        assert_eq!(node.address.as_deref(), Some("tls://10.0.0.5:8786"));
        assert_eq!(node.reach.as_deref(), Some("tls://203.0.113.9:8786"));
        let machine = node.machine.unwrap();
        assert_eq!(machine.hourly, Some(Money(96_000)));
        assert_eq!(machine.expires_at, Some("2026-11-24T10:00:00Z".parse().unwrap()));
    }

    #[test]
    fn who_is_reached_through_a_session_has_no_address_for_clients_until_there_is_one() {
        let mut seen = seen("scheduler", InstanceState::Running);
        seen.tags.insert(tag::REACH.to_owned(), SESSION_MANAGER.to_owned());
        let node = node(&cluster(), &seen, &Remembered::default(), "us-east-1").unwrap();
        assert_eq!(node.address.as_deref(), Some("tls://10.0.0.5:8786"));
        assert_eq!(node.reach, None);
    }

    #[test]
    fn an_instance_of_another_cluster_or_without_our_tags_is_no_node() {
        let mut other = seen("workers", InstanceState::Running);
        other.tags.insert(tag::CLUSTER_UID.to_owned(), "0000000000000008".to_owned());
        assert!(node(&cluster(), &other, &Remembered::default(), "us-east-1").is_none());
        let mut bare = seen("workers", InstanceState::Running);
        bare.tags.remove(tag::LAUNCH);
        assert!(node(&cluster(), &bare, &Remembered::default(), "us-east-1").is_none());
    }

    #[test]
    fn how_a_machine_ended_is_what_its_container_ended_with_or_what_it_said_or_what_ec2_says() {
        let exit = |console: &str| {
            let remembered = Remembered { report: Report::of(console), ..Remembered::default() };
            let seen = seen("scheduler", InstanceState::Terminated);
            match node(&cluster(), &seen, &remembered, "us-east-1").unwrap().state {
                NodeState::Ended(exit) => (exit.code, exit.reason),
                other => panic!("{other:?}"),
            }
        };
        let idle = "[   12.1] crewcall[6]: crewcall: starting\r\n[ 99.0] crewcall[6]: crewcall: ended with exit code 77\r\n";
        assert_eq!(exit(idle), (Some(Exit::IDLE), None));
        let no_image = "x crewcall: booted\n\u{1b}[0mx crewcall: failed: docker pull: manifest unknown\n[ 99] reboot: Power down\n";
        assert_eq!(exit(no_image), (None, Some("docker pull: manifest unknown".to_owned())));
        let (code, reason) = exit("");
        assert!(code.is_none() && reason.unwrap().contains("Instance initiated shutdown"));
    }
}
