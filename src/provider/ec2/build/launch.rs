//! One launch as one call, and what machines of a launch have in common.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    BuildError, LaunchChoice, Market, Place, Pool,
    user_data::{Sources, user_data},
};
use crate::{
    provider::{LaunchRequest, ec2::names},
    spec::{
        AddressKind, Architecture, ComputeCluster, GroupName, InstanceProfiles, MachineTemplate, VolumeType,
    },
};

/// The size of a root volume where the document does not say, in GiB: that of Amazon's image for containers.
const DISK: u64 = 30;

/// What an installation and a cluster have that a launch needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed<'a> {
    /// Whose cluster.
    pub installation: &'a str,
    /// In which region.
    pub region: &'a str,
    /// The address of AWS Systems Manager, as machines reach it.
    pub ssm: &'a str,
    /// The cluster's security group.
    pub group: &'a str,
    /// The parameter with the secrets of the launch's role.
    pub secrets: &'a str,
    /// How many parameters hold its files.
    pub files: usize,
    /// What a named image calls its root volume; `None`: that of Amazon's own.
    pub root_device: Option<&'a str>,
}

/// `RunInstances`, as far as it is used: between one machine and `count`, all alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstancesCall {
    /// Makes the call one, however often it is made.
    pub token: String,
    /// Most machines.
    pub count: u32,
    /// How they are bought.
    pub market: Market,
    /// Of which type, and where.
    pub pool: Pool,
    /// What else they are.
    pub data: LaunchData,
    /// Tags of machines, and of their volumes and interfaces.
    pub tags: BTreeMap<String, String>,
}

/// What machines are, whatever their type, their place and their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchData {
    /// The machine image, or the parameter that holds its id.
    pub image: String,
    /// The cluster's security group.
    pub group: String,
    /// Whether machines get a public address, and an interface that says so; `None`: as their subnet has it.
    pub public_address: Option<bool>,
    /// A placement group.
    pub placement_group: Option<String>,
    /// The instance profile.
    pub profile: String,
    /// A key pair.
    pub key_name: Option<String>,
    /// User data, in base64.
    pub user_data: String,
    /// The root volume; `None`: as the image has it.
    pub disk: Option<Disk>,
}

/// A root volume; encrypted, and gone with its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// What the image calls it.
    pub device: String,
    /// GiB.
    pub size: u64,
    /// Its type.
    pub volume_type: VolumeType,
    /// Operations per second.
    pub iops: Option<u32>,
    /// MiB per second.
    pub throughput: Option<u32>,
}

/// The call of a launch from one pool. It follows from its arguments alone, byte by byte.
pub fn launch(
    request: &LaunchRequest,
    choice: &LaunchChoice,
    pool: Pool,
    installed: Installed<'_>,
) -> Result<InstancesCall, BuildError> {
    Ok(InstancesCall {
        token: request.token.clone(),
        count: request.count,
        market: choice.market,
        pool,
        data: launch_data(request, choice, installed)?,
        tags: instance_tags(request, choice, installed),
    })
}

/// What the machines of a launch are.
pub(super) fn launch_data(
    request: &LaunchRequest,
    choice: &LaunchChoice,
    installed: Installed<'_>,
) -> Result<LaunchData, BuildError> {
    let template = request.document.spec.machine_template(&request.group);
    let sources = Sources {
        region: installed.region,
        ssm: installed.ssm,
        secrets: installed.secrets,
        files: installed.files,
    };
    Ok(LaunchData {
        user_data: STANDARD.encode(user_data(request, choice.market, sources)?),
        disk: disk(&template, installed.root_device),
        ..bare(&request.document, &request.group, choice, installed.group)
    })
}

/// Tags of machines.
pub(super) fn instance_tags(
    request: &LaunchRequest,
    choice: &LaunchChoice,
    installed: Installed<'_>,
) -> BTreeMap<String, String> {
    let ec2 = request.document.spec.ec2().cloned().unwrap_or_default();
    let mut tags = names::tags(&request.cluster, installed.installation, &ec2.tags);
    tags.extend(names::machine_tags(
        &request.cluster.name,
        &request.group,
        &request.launch,
        &request.template,
        request.expires_at,
        choice.hourly_tag(),
    ));
    if ec2.addresses == AddressKind::SessionManager {
        tags.insert(names::tag::REACH.to_owned(), names::SESSION_MANAGER.to_owned());
    }
    tags
}

/// The call of a launch of one machine that is only tried: without what the machine would be told.
pub fn trial(
    document: &ComputeCluster,
    group: &GroupName,
    choice: &LaunchChoice,
    pool: Pool,
    (security_group, tags): (&str, BTreeMap<String, String>),
) -> InstancesCall {
    InstancesCall {
        token: String::new(),
        count: 1,
        market: choice.market,
        pool,
        data: bare(document, group, choice, security_group),
        tags,
    }
}

/// What machines are, without what they are told.
pub(super) fn bare(
    document: &ComputeCluster,
    group: &GroupName,
    choice: &LaunchChoice,
    security_group: &str,
) -> LaunchData {
    let ec2 = document.spec.ec2().cloned().unwrap_or_default();
    let template = document.spec.machine_template(group);
    let InstanceProfiles { scheduler, workers } = ec2.instance_profiles.unwrap_or_default();
    // Default subnets give out public addresses; others as the call says.
    let in_subnet = matches!(choice.places.first(), Some(Place::Subnet(_)));
    LaunchData {
        image: image(&template),
        group: security_group.to_owned(),
        public_address: in_subnet.then_some(ec2.addresses == AddressKind::Public),
        placement_group: template.placement_group.clone(),
        profile: if group.is_scheduler() { scheduler } else { workers },
        key_name: ec2.key_name,
        user_data: String::new(),
        disk: disk(&template, None),
    }
}

/// Amazon's own image for containers, which has Docker, in the newest version that Amazon recommends.
fn image(template: &MachineTemplate) -> String {
    template.ami.clone().unwrap_or_else(|| {
        let of_gpus = template.gpus.is_some()
            || template.instance_types.first().is_some_and(|name| name.family().starts_with(['g', 'p']));
        let variant = match (of_gpus, template.architecture()) {
            (true, _) => "gpu/",
            (false, Architecture::Arm64) => "arm64/",
            (false, Architecture::X86_64) => "",
        };
        format!("resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/{variant}recommended/image_id")
    })
}

/// The root volume. That of an image which is somebody's own is left as it is, unless the document says otherwise.
fn disk(template: &MachineTemplate, root_device: Option<&str>) -> Option<Disk> {
    if template.ami.is_some() && template.disk.is_none() {
        return None;
    }
    let wanted = template.disk.clone().unwrap_or_default();
    Some(Disk {
        device: root_device.unwrap_or("/dev/xvda").to_owned(),
        size: wanted.size.map_or(DISK, |size| size.bytes() >> 30),
        volume_type: wanted.volume_type.unwrap_or_default(),
        iops: wanted.iops,
        throughput: wanted.throughput,
    })
}
