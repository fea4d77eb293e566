//! Calls as the double reads them, and its answers as the provider does.

use std::{collections::BTreeMap, net::IpAddr};

use crewcall::{
    model::InstanceId,
    provider::ec2::{
        Belonging, Filled, PoolRefusal, SeenGroup,
        build::{ClientBlock, FleetCall, InstancesCall, LaunchData, Market, Place, TemplateCall},
        names::tag,
        observe::{InstanceState, SeenInstance},
    },
};
use ec2_double::{
    protocol::{Fields, Parameters},
    state::{Instance, State},
};

pub fn form(pairs: &[(String, String)]) -> Parameters {
    Parameters::of(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

#[expect(clippy::needless_pass_by_value, reason = "numbers and texts are written where they are given")]
pub fn pair(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

pub fn filters(of: &Belonging) -> Vec<(String, String)> {
    let wanted: Vec<(&str, &str)> = match of {
        Belonging::Cluster(cluster) => vec![(tag::CLUSTER_UID, cluster.as_str())],
        Belonging::Launch(cluster, launch) => {
            vec![(tag::CLUSTER_UID, cluster.as_str()), (tag::LAUNCH, launch.as_str())]
        }
        Belonging::Installation(id) => vec![(tag::INSTALLATION, id)],
        Belonging::Anybody => {
            return vec![pair("Filter.1.Name", "tag-key"), pair("Filter.1.Value.1", tag::INSTALLATION)];
        }
    };
    let each = |(index, (key, value)): (usize, (&str, &str))| {
        let number = index + 1;
        [
            pair(&format!("Filter.{number}.Name"), format!("tag:{key}")),
            pair(&format!("Filter.{number}.Value.1"), value),
        ]
    };
    wanted.into_iter().enumerate().flat_map(each).collect()
}

pub fn tags(kinds: &[&str], tags: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        let place = format!("TagSpecification.{}", index + 1);
        pairs.push(pair(&format!("{place}.ResourceType"), kind));
        for (number, (key, value)) in tags.iter().enumerate() {
            let number = number + 1;
            pairs.push(pair(&format!("{place}.Tag.{number}.Key"), key));
            pairs.push(pair(&format!("{place}.Tag.{number}.Value"), value));
        }
    }
    pairs
}

pub fn ids(instances: &[InstanceId], list: &str) -> Vec<(String, String)> {
    instances.iter().enumerate().map(|(index, id)| pair(&format!("{list}.{}", index + 1), id)).collect()
}

pub fn launch(call: &InstancesCall) -> Vec<(String, String)> {
    let mut pairs = vec![
        pair("ClientToken", &call.token),
        pair("MinCount", 1),
        pair("MaxCount", call.count),
        pair("InstanceType", &call.pool.instance_type),
    ];
    pairs.extend(data(&call.data, ""));
    if call.market == Market::Spot {
        pairs.push(pair("InstanceMarketOptions.MarketType", "spot"));
    }
    if let Place::Zone(zone) = &call.pool.place {
        pairs.push(pair("Placement.AvailabilityZone", zone));
    }
    pairs.extend(tags(&["instance", "volume", "network-interface"], &call.tags));
    pairs
}

pub fn data(data: &LaunchData, prefix: &str) -> Vec<(String, String)> {
    vec![
        pair(&format!("{prefix}ImageId"), &data.image),
        pair(&format!("{prefix}IamInstanceProfile.Name"), &data.profile),
        pair(&format!("{prefix}UserData"), &data.user_data),
        pair(&format!("{prefix}InstanceInitiatedShutdownBehavior"), "terminate"),
        pair(&format!("{prefix}SecurityGroupId.1"), &data.group),
    ]
}

pub fn template(call: &TemplateCall) -> Vec<(String, String)> {
    const DATA: &str = "LaunchTemplateData.";
    let mut pairs = vec![pair("LaunchTemplateName", &call.name)];
    pairs.extend(data(&call.data, DATA));
    let of_machines = tags(&["volume", "network-interface"], &call.tags);
    pairs.extend(of_machines.into_iter().map(|(name, value)| (format!("{DATA}{name}"), value)));
    pairs.extend(tags(&["launch-template"], &call.tags));
    pairs
}

pub fn fleet(call: &FleetCall) -> Vec<(String, String)> {
    let (market, options, strategy) = match call.market {
        Market::Spot => ("spot", "SpotOptions", "capacity-optimized-prioritized"),
        Market::OnDemand => ("on-demand", "OnDemandOptions", "prioritized"),
    };
    let configuration = "LaunchTemplateConfigs.1";
    let specification = format!("{configuration}.LaunchTemplateSpecification");
    let mut pairs = vec![
        pair("ClientToken", &call.token),
        pair("Type", "instant"),
        pair("TargetCapacitySpecification.TotalTargetCapacity", call.count),
        pair("TargetCapacitySpecification.DefaultTargetCapacityType", market),
        pair(&format!("{options}.AllocationStrategy"), strategy),
        pair(&format!("{specification}.LaunchTemplateName"), &call.template),
        pair(&format!("{specification}.Version"), 1),
    ];
    for (index, pool) in call.pools.iter().enumerate() {
        let place = format!("{configuration}.Overrides.{}", index + 1);
        pairs.push(pair(&format!("{place}.InstanceType"), &pool.instance_type));
        pairs.push(pair(&format!("{place}.Priority"), index));
        match &pool.place {
            Place::Anywhere => {}
            Place::Zone(zone) => pairs.push(pair(&format!("{place}.AvailabilityZone"), zone)),
            Place::Subnet(subnet) => pairs.push(pair(&format!("{place}.SubnetId"), subnet)),
        }
    }
    pairs.extend(tags(&["instance", "fleet"], &call.tags));
    pairs
}

pub fn filled(fields: &Fields) -> Filled {
    let text = |path: String| fields.text(&path).unwrap_or_default().to_owned();
    let of_set = |set: usize| {
        let list = format!("fleetInstanceSet.{set}.instanceIds");
        (0..fields.count(&list)).map(move |n| InstanceId::new(text(format!("{list}.{n}"))))
    };
    let refusal = |n: usize| {
        let overrides = format!("errorSet.{n}.launchTemplateAndOverrides.overrides");
        PoolRefusal {
            pool: text(format!("{overrides}.instanceType")),
            code: text(format!("errorSet.{n}.errorCode")),
            message: text(format!("errorSet.{n}.errorMessage")),
        }
    };
    Filled {
        instances: (0..fields.count("fleetInstanceSet")).flat_map(of_set).collect(),
        refusals: (0..fields.count("errorSet")).map(refusal).collect(),
    }
}

pub fn tags_of(fields: &Fields, place: &str) -> BTreeMap<String, String> {
    let text = |path: String| Some(fields.text(&format!("{place}.{path}"))?.to_owned());
    let tag = |n: usize| Some((text(format!("tagSet.{n}.key"))?, text(format!("tagSet.{n}.value"))?));
    (0..fields.count(&format!("{place}.tagSet"))).filter_map(tag).collect()
}

pub fn seen(instance: &Instance) -> SeenInstance {
    let state = match instance.state {
        State::Pending => InstanceState::Pending,
        State::Running => InstanceState::Running,
        State::Stopping => InstanceState::Stopping,
        State::Stopped => InstanceState::Stopped,
        State::ShuttingDown => InstanceState::ShuttingDown,
        State::Terminated => InstanceState::Terminated,
    };
    SeenInstance {
        id: InstanceId::new(&instance.id),
        state,
        reason: instance.reason.as_ref().map(|reason| reason.message.to_owned()),
        launched_at: instance.launched,
        private_address: instance.lives().then_some(IpAddr::V4(instance.private_ip)),
        public_address: instance.reachable_ip().map(IpAddr::V4),
        instance_type: instance.kind.name.clone(),
        tags: instance.tags.clone(),
    }
}

pub fn seen_group(fields: &Fields, place: &str) -> Option<SeenGroup> {
    let text = |path: String| fields.text(&format!("{place}.{path}"));
    let id = text("groupId".to_owned())?.to_owned();
    let tags = tags_of(fields, place);
    let mut group = SeenGroup { id, tags, members_are_in: false, clients: Vec::new() };
    for rule in 0..fields.count(&format!("{place}.ipPermissions")) {
        let peer = text(format!("ipPermissions.{rule}.groups.0.groupId"));
        group.members_are_in |= peer == Some(group.id.as_str());
        let ranges = fields.count(&format!("{place}.ipPermissions.{rule}.ipRanges"));
        group.clients.extend((0..ranges).filter_map(|n| {
            text(format!("ipPermissions.{rule}.ipRanges.{n}.cidrIp"))
                .map(|block| ClientBlock::V4(block.to_owned()))
        }));
    }
    Some(group)
}

pub fn clients(group: &str, blocks: &[ClientBlock]) -> Vec<(String, String)> {
    let mut pairs = vec![
        pair("GroupId", group),
        pair("IpPermissions.1.IpProtocol", "tcp"),
        pair("IpPermissions.1.FromPort", 8786),
        pair("IpPermissions.1.ToPort", 8786),
    ];
    let each = |(index, block): (usize, &ClientBlock)| {
        pair(&format!("IpPermissions.1.IpRanges.{}.CidrIp", index + 1), block.as_str())
    };
    pairs.extend(blocks.iter().enumerate().map(each));
    pairs
}
