//! What a document says of machines.

use std::collections::BTreeSet;

use super::{Problem, ec2::is_id, names::at_most};
use crate::spec::{
    Architecture, ComputeCluster, DiskSpec, FieldPath, GroupName, InstanceType, MachineTemplate, Purchase,
    VolumeType, limits, text::code,
};

pub(super) fn check(path: &FieldPath, machine: &MachineTemplate, found: &mut Vec<Problem>) {
    let types = path.key("instanceTypes");
    if at_most(&types, machine.instance_types.len(), limits::INSTANCE_TYPES, "instance types", found) {
        instance_types(&types, &machine.instance_types, found);
    }
    let requirements = [("architecture", machine.architecture.is_some()), ("gpus", machine.gpus.is_some())];
    for (key, _) in requirements.into_iter().filter(|(_, given)| *given && !machine.instance_types.is_empty())
    {
        found.push(
            Problem::error(format!("`{key}` chooses among all types, but types are named"))
                .at_key(&path.key(key), "a requirement here")
                .at_key(&types, "types here")
                .help("keep one of the two"),
        );
    }
    if let Some(gpus) = machine.gpus.filter(|gpus| !(1..=limits::GPUS).contains(gpus)) {
        found.push(
            Problem::error(format!("no machine has {gpus} GPUs"))
                .at(&path.key("gpus"), "")
                .help("write 1 to 16, or leave it out for machines without"),
        );
    }
    if let Some(ami) = machine.ami.as_ref().filter(|ami| !is_ami(ami)) {
        found.push(
            Problem::error(format!("{} names no machine image", code(ami))).at(&path.key("ami"), "").help(
                "write its id, such as `ami-0a1b2c3d4e5f60718`, or `resolve:ssm:` and a parameter's name",
            ),
        );
    }
    if let Some(name) = machine.placement_group.as_ref().filter(|name| !is_aws_name(name)) {
        found.push(
            Problem::error(format!("{} is no name of a placement group", code(name)))
                .at(&path.key("placementGroup"), "")
                .help("write the name that EC2 lists, of plain ASCII characters"),
        );
    }
    if let Some(disk) = &machine.disk {
        self::disk(&path.key("disk"), disk, found);
    }
}

fn instance_types(path: &FieldPath, types: &[InstanceType], found: &mut Vec<Problem>) {
    let mut known = BTreeSet::new();
    let first = types.first().map(InstanceType::architecture);
    for (index, name) in types.iter().enumerate() {
        let path = path.index(index);
        if !known.insert(name) {
            let message = format!("the type {} is named twice", code(name.as_str()));
            found.push(Problem::error(message).at(&path, "").help("remove one of the two"));
        } else if first != Some(name.architecture()) {
            let architecture = first.unwrap_or(Architecture::X86_64).as_str();
            found.push(
                Problem::error(format!(
                    "{} has processors of {}, and the first type here of {architecture}",
                    code(name.as_str()),
                    name.architecture().as_str()
                ))
                .at(&path, "")
                .rests_on(&path.parent().unwrap_or_default().index(0))
                .help("machines of one group run one machine image: name types of one architecture"),
            );
        }
    }
}

fn disk(path: &FieldPath, disk: &DiskSpec, found: &mut Vec<Problem>) {
    const GIB: u64 = 1 << 30;
    let [least, most] = limits::DISK_GIB;
    if let Some(size) = disk.size {
        let gib = size.bytes() / GIB;
        if !size.bytes().is_multiple_of(GIB) || !(least..=most).contains(&gib) {
            found.push(
                Problem::error("the size of a disk is a whole number of GiB")
                    .at(&path.key("size"), "")
                    .help(format!("write {least}GiB to {most}GiB")),
            );
        }
    }
    let volume = disk.volume_type.unwrap_or_default();
    let bounds = [
        ("iops", disk.iops, limits::DISK_IOPS, volume != VolumeType::Gp2),
        ("throughput", disk.throughput, limits::DISK_THROUGHPUT, volume == VolumeType::Gp3),
    ];
    for (key, value, [least, most], has) in bounds {
        let Some(value) = value else { continue };
        let path_of = path.key(key);
        if !has {
            found.push(
                Problem::error(format!(
                    "a volume of the type `{}` has no `{key}` to be set",
                    volume.as_str()
                ))
                .at_key(&path_of, "")
                .rests_on(&path.key("type"))
                .help(format!("remove `{key}`, or use another type")),
            );
        } else if !(least..=most).contains(&value) {
            found.push(
                Problem::error(format!("`{key}` of a volume is {least} to {most}"))
                    .at(&path_of, format!("{value} here"))
                    .help("leave it out for EC2's own default"),
            );
        }
    }
    if volume == VolumeType::Io2 && disk.iops.is_none() {
        found.push(
            Problem::error("a volume of the type `io2` needs `iops`")
                .at(&path.key("type"), "")
                .rests_on(&path.key("iops"))
                .help("add how many operations per second it is to have, such as `iops: 3000`"),
        );
    }
}

/// A scheduler that is taken back takes every result with it.
pub(super) fn spot_scheduler(cluster: &ComputeCluster, found: &mut Vec<Problem>) {
    let spec = &cluster.spec;
    let purchase = spec.machine_template(&GroupName::scheduler()).purchase.unwrap_or_default();
    if purchase == Purchase::OnDemand {
        return;
    }
    let path = if spec.scheduler.ec2.purchase.is_some() {
        FieldPath::of("spec.scheduler.ec2.purchase")
    } else {
        FieldPath::of("spec.provider.ec2.machines.purchase")
    };
    found.push(
        Problem::warning("the scheduler's machine can be taken back, and all results with it")
            .at(&path, "")
            .help("write `scheduler: {ec2: {purchase: onDemand}}`: it is a small machine"),
    );
}

fn is_ami(text: &str) -> bool {
    let parameter = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.:/-".contains(c))
    };
    text.len() <= limits::REFERENCE
        && (is_id(text, "ami-") || text.strip_prefix("resolve:ssm:").is_some_and(parameter))
}

/// Whether it can be the name of a key pair or of a placement group.
pub(super) fn is_aws_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= limits::AWS_NAME
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
