//! A launch from several pools, or of spare capacity: a launch template, and one instant fleet.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{
    BuildError, Installed, LaunchChoice, LaunchData, Market, Place, Pool,
    launch::{bare, instance_tags, launch_data},
};
use crate::{
    model::ClusterKey,
    provider::{LaunchRequest, ec2::names},
    spec::{ComputeCluster, GroupName},
};

/// `CreateLaunchTemplate`, as far as it is used: what launches of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateCall {
    /// Its name, with a digest of all that follows.
    pub name: String,
    /// What machines are.
    pub data: LaunchData,
    /// Tags of the template, and of the machines' volumes and interfaces.
    pub tags: BTreeMap<String, String>,
}

/// `CreateFleet` of the type `instant`, as far as it is used: as many machines as its pools have room for, at most
/// `count`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetCall {
    /// Makes the call one, however often it is made.
    pub token: String,
    /// Most machines.
    pub count: u32,
    /// How they are bought.
    pub market: Market,
    /// The name of their launch template.
    pub template: String,
    /// Their pools, the first one first.
    pub pools: Vec<Pool>,
    /// Tags of machines, and of the fleet's record.
    pub tags: BTreeMap<String, String>,
}

/// The calls of a launch by a fleet. They follow from their arguments alone, byte by byte.
pub fn fleet(
    request: &LaunchRequest,
    choice: &LaunchChoice,
    installed: Installed<'_>,
) -> Result<(TemplateCall, FleetCall), BuildError> {
    let data = launch_data(request, choice, installed)?;
    let own = request.document.spec.ec2().map(|ec2| ec2.tags.clone()).unwrap_or_default();
    let mut tags = names::tags(&request.cluster, installed.installation, &own);
    tags.extend(names::group_tags(&request.cluster.name, &request.group, &request.template));
    let template = template(&request.cluster, &request.group, data, tags);
    let fleet = FleetCall {
        token: request.token.clone(),
        count: request.count,
        market: choice.market,
        template: template.name.clone(),
        pools: choice.pools(),
        tags: instance_tags(request, choice, installed),
    };
    Ok((template, fleet))
}

/// The same for one machine that is only tried: without what it would be told.
pub fn fleet_trial(
    document: &ComputeCluster,
    (cluster, group): (&ClusterKey, &GroupName),
    choice: &LaunchChoice,
    (security_group, tags): (&str, BTreeMap<String, String>),
) -> (TemplateCall, FleetCall) {
    let data = bare(document, group, choice, security_group);
    let template = template(cluster, group, data, tags.clone());
    let fleet = FleetCall {
        token: String::new(),
        count: 1,
        market: choice.market,
        template: template.name.clone(),
        pools: choice.pools(),
        tags,
    };
    (template, fleet)
}

fn template(
    cluster: &ClusterKey,
    group: &GroupName,
    data: LaunchData,
    tags: BTreeMap<String, String>,
) -> TemplateCall {
    let name = names::launch_template(&cluster.uid, group, &fingerprint(&data, &tags));
    TemplateCall { name, data, tags }
}

/// All that a template says, as text.
fn fingerprint(data: &LaunchData, tags: &BTreeMap<String, String>) -> String {
    let LaunchData { image, group, public_address, placement_group, profile, key_name, user_data, disk } =
        data;
    let disk = disk
        .as_ref()
        .map(|disk| json!([disk.device, disk.size, disk.volume_type.as_str(), disk.iops, disk.throughput]));
    json!([image, group, public_address, placement_group, profile, key_name, user_data, disk, tags])
        .to_string()
}

/// Pools without those in a second subnet of a zone, which AWS does not take in one fleet. `zones`: those of subnets.
pub fn one_subnet_of_each_zone(pools: Vec<Pool>, zones: &BTreeMap<String, String>) -> Vec<Pool> {
    let mut taken: BTreeMap<&String, String> = BTreeMap::new();
    let mut left_out = BTreeSet::new();
    for pool in &pools {
        if let Place::Subnet(subnet) = &pool.place
            && let Some(zone) = zones.get(subnet)
            && taken.entry(zone).or_insert_with(|| subnet.clone()) != subnet
        {
            left_out.insert(subnet.clone());
        }
    }
    let fits = |pool: &Pool| !matches!(&pool.place, Place::Subnet(subnet) if left_out.contains(subnet));
    pools.into_iter().filter(fits).collect()
}
