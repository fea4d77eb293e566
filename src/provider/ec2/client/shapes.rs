//! Between the SDK's types and plain ones.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, Filter, Instance, InstanceNetworkInterfaceSpecification,
    InstanceStateName, IpPermission, IpRange, Ipv6Range, Placement, ResourceType, SecurityGroup, Tag,
    TagSpecification,
};
use jiff::Timestamp;

use crate::{
    model::InstanceId,
    provider::ec2::{
        api::{Belonging, SeenGroup},
        build::{ClientBlock, InstancesCall, LaunchData, Place},
        names::tag,
        observe::{InstanceState, SeenInstance},
    },
};

pub(super) fn sdk_tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

pub(super) fn plain_tags(tags: &[Tag]) -> BTreeMap<String, String> {
    tags.iter().filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default()))).collect()
}

pub(super) fn tagged(kind: ResourceType, tags: &BTreeMap<String, String>) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).set_tags(Some(sdk_tags(tags))).build()
}

pub(super) fn filters(of: &Belonging) -> Vec<Filter> {
    let by = |key: &str, value: &str| Filter::builder().name(format!("tag:{key}")).values(value).build();
    match of {
        Belonging::Cluster(cluster) => vec![by(tag::CLUSTER_UID, cluster.as_str())],
        Belonging::Launch(cluster, launch) => {
            vec![by(tag::CLUSTER_UID, cluster.as_str()), by(tag::LAUNCH, launch.as_str())]
        }
        Belonging::Installation(installation) => vec![by(tag::INSTALLATION, installation)],
        Belonging::Anybody => vec![Filter::builder().name("tag-key").values(tag::INSTALLATION).build()],
    }
}

pub(super) fn ids(instances: &[InstanceId]) -> Vec<String> {
    instances.iter().map(|id| id.as_str().to_owned()).collect()
}

pub(super) fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn port(number: u16) -> i32 {
    i32::from(number)
}

pub(super) fn seen(instance: &Instance) -> Option<SeenInstance> {
    let state = match instance.state()?.name()? {
        InstanceStateName::Pending => InstanceState::Pending,
        InstanceStateName::Running => InstanceState::Running,
        InstanceStateName::ShuttingDown => InstanceState::ShuttingDown,
        InstanceStateName::Terminated => InstanceState::Terminated,
        InstanceStateName::Stopping => InstanceState::Stopping,
        InstanceStateName::Stopped => InstanceState::Stopped,
        _ => return None,
    };
    let address = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    let launched_at = instance.launch_time().and_then(|at| Timestamp::from_second(at.secs()).ok());
    Some(SeenInstance {
        id: InstanceId::new(instance.instance_id()?),
        state,
        reason: instance.state_reason().and_then(|reason| reason.message.clone()),
        launched_at: launched_at.unwrap_or(Timestamp::UNIX_EPOCH),
        private_address: address(instance.private_ip_address()),
        public_address: address(instance.public_ip_address()),
        instance_type: instance.instance_type().map(|name| name.as_str().to_owned()).unwrap_or_default(),
        tags: plain_tags(instance.tags()),
    })
}

pub(super) fn seen_group(group: &SecurityGroup) -> Option<SeenGroup> {
    let id = group.group_id()?;
    let rules = group.ip_permissions();
    let members_are_in =
        rules.iter().any(|rule| rule.user_id_group_pairs().iter().any(|pair| pair.group_id() == Some(id)));
    let mut clients: Vec<ClientBlock> = Vec::new();
    for rule in rules
        .iter()
        .filter(|rule| rule.from_port().is_some_and(|from| ClientBlock::PORTS.map(port).contains(&from)))
    {
        clients
            .extend(rule.ip_ranges().iter().filter_map(|range| range.cidr_ip.clone()).map(ClientBlock::V4));
        clients.extend(
            rule.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6.clone()).map(ClientBlock::V6),
        );
    }
    clients.sort();
    clients.dedup();
    Some(SeenGroup { id: id.to_owned(), tags: plain_tags(group.tags()), members_are_in, clients })
}

/// One rule for each port, which EC2 keeps apart.
pub(super) fn client_rules(blocks: &[ClientBlock]) -> Vec<IpPermission> {
    let rule = |number: u16| {
        blocks
            .iter()
            .fold(IpPermission::builder().ip_protocol("tcp"), |rule, block| match block {
                ClientBlock::V4(block) => rule.ip_ranges(IpRange::builder().cidr_ip(block).build()),
                ClientBlock::V6(block) => rule.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(block).build()),
            })
            .from_port(port(number))
            .to_port(port(number))
            .build()
    };
    ClientBlock::PORTS.map(rule).into()
}

pub(super) fn disk(data: &LaunchData) -> Option<Vec<BlockDeviceMapping>> {
    let disk = data.disk.as_ref()?;
    let volume = EbsBlockDevice::builder()
        .volume_size(i32::try_from(disk.size).unwrap_or(i32::MAX))
        .volume_type(disk.volume_type.as_str().into())
        .set_iops(disk.iops.map(count))
        .set_throughput(disk.throughput.map(count))
        .encrypted(true)
        .delete_on_termination(true)
        .build();
    Some(vec![BlockDeviceMapping::builder().device_name(&disk.device).ebs(volume).build()])
}

pub(super) fn interfaces(call: &InstancesCall) -> Option<Vec<InstanceNetworkInterfaceSpecification>> {
    let Place::Subnet(subnet) = &call.pool.place else { return None };
    let interface = InstanceNetworkInterfaceSpecification::builder()
        .device_index(0)
        .subnet_id(subnet)
        .groups(&call.data.group)
        .set_associate_public_ip_address(call.data.public_address)
        .delete_on_termination(true);
    Some(vec![interface.build()])
}

pub(super) fn placement(call: &InstancesCall) -> Option<Placement> {
    let zone = match &call.pool.place {
        Place::Zone(zone) => Some(zone.clone()),
        Place::Anywhere | Place::Subnet(_) => None,
    };
    let group = call.data.placement_group.clone();
    (zone.is_some() || group.is_some())
        .then(|| Placement::builder().set_availability_zone(zone).set_group_name(group).build())
}
