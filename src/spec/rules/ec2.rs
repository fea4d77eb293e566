//! What only EC2 has: that it stands with that provider, and that AWS would take it.

use std::collections::BTreeSet;

use super::{Problem, addresses, machines, names::at_most};
use crate::spec::{
    ANYWHERE, AddressKind, ComputeCluster, Ec2Spec, FieldPath, GroupName, MachineTemplate, limits, text::code,
};

pub(super) fn check(cluster: &ComputeCluster, found: &mut Vec<Problem>) {
    let spec = &cluster.spec;
    let base = FieldPath::of("spec.provider.ec2");
    if let Some(ec2) = spec.ec2() {
        place(&base, ec2, found);
        clients(&base.key("clientCidrs"), &ec2.client_cidrs, found);
        if ec2.addresses == AddressKind::SessionManager && !ec2.client_cidrs.is_empty() {
            found.push(
                Problem::error("no port is open to clients that come through Session Manager")
                    .at_key(&base.key("clientCidrs"), "clients here")
                    .at(&base.key("addresses"), "the way here")
                    .help("remove `clientCidrs`, or write `addresses: private`"),
            );
        }
        names(&base, ec2, found);
        money(&base, ec2, found);
        machines::check(&base.key("machines"), &ec2.machines, found);
        if !spec.tls {
            found.push(
                Problem::error("the scheduler of a cluster on EC2 has an open port, which only TLS guards")
                    .at(&FieldPath::of("spec.tls"), "switched off here")
                    .at_key(&base, "the provider")
                    .help("remove `tls: false`"),
            );
        }
    }
    let own = FieldPath::of("spec");
    let mut role = |path: &FieldPath, template: &MachineTemplate| {
        let path = path.key("ec2");
        if spec.ec2().is_some() {
            machines::check(&path, template, found);
        } else if *template != MachineTemplate::default() {
            found.push(only_on_ec2(cluster, &path));
        }
    };
    role(&own.key("scheduler"), &spec.scheduler.ec2);
    // That there are too many groups is said elsewhere.
    for (name, group) in spec.groups().take(limits::GROUPS + 1) {
        let groups = own.key("workerGroups");
        let path = if name == GroupName::workers() { own.key("workers") } else { groups.key(name.as_str()) };
        role(&path, &group.ec2);
    }
    machines::spot_scheduler(cluster, found);
}

fn only_on_ec2(cluster: &ComputeCluster, path: &FieldPath) -> Problem {
    let kind = cluster.spec.provider.kind().as_str();
    Problem::error(format!("the provider `{kind}` has no machines to be chosen"))
        .at_key(path, "")
        .at_key(&FieldPath::of("spec.provider").key(kind), "the provider")
        .help("remove `ec2` here, or run the cluster on EC2: `provider: {ec2: {}}`")
}

fn place(base: &FieldPath, ec2: &Ec2Spec, found: &mut Vec<Problem>) {
    let (zones, subnets) = (base.key("zones"), base.key("subnets"));
    if let Some(name) = ec2.region.as_ref().filter(|name| !is_region(name)) {
        found.push(
            Problem::error(format!("{} is no AWS region", code(name)))
                .at(&base.key("region"), "")
                .help("such as `eu-central-1`; an availability zone has a letter more, and goes to `zones`"),
        );
    }
    if !ec2.zones.is_empty() && !ec2.subnets.is_empty() {
        found.push(
            Problem::error("a subnet lies in one zone, so `zones` and `subnets` cannot both be given")
                .at_key(&zones, "zones here")
                .at_key(&subnets, "subnets here")
                .help("keep one of the two"),
        );
    }
    if ec2.addresses != AddressKind::Public && ec2.subnets.is_empty() {
        found.push(
            Problem::error("default subnets give machines no way out but a public address")
                .at(&base.key("addresses"), "none here")
                .rests_on(&subnets)
                .help("name `subnets` that have a NAT gateway or endpoints of AWS, or write `addresses: public`"),
        );
    }
    let few = at_most(&zones, ec2.zones.len(), limits::SUBNETS, "zones", found);
    for (index, zone) in ec2.zones.iter().enumerate().filter(|_| few) {
        let path = zones.index(index);
        if !is_zone(zone) {
            found.push(
                Problem::error(format!("{} is no availability zone", code(zone)))
                    .at(&path, "")
                    .help("write a region and a letter, such as `eu-central-1a`"),
            );
        } else if let Some(region) = ec2.region.as_ref().filter(|region| !zone.starts_with(region.as_str())) {
            found.push(
                Problem::error(format!("{} is not in the region {}", code(zone), code(region)))
                    .at(&path, "")
                    .at(&base.key("region"), "the region")
                    .help("name zones of the cluster's region"),
            );
        }
    }
    let few = at_most(&subnets, ec2.subnets.len(), limits::SUBNETS, "subnets", found);
    for (index, subnet) in ec2.subnets.iter().enumerate().filter(|_| few) {
        if !is_id(subnet, "subnet-") {
            found.push(
                Problem::error(format!("{} is no id of a subnet", code(subnet)))
                    .at(&subnets.index(index), "")
                    .help("write it as EC2 shows it, such as `subnet-0a1b2c3d4e5f60718`"),
            );
        }
    }
    each_once(&zones, "zone", &ec2.zones, found);
    each_once(&subnets, "subnet", &ec2.subnets, found);
}

/// The order is that in which they are tried: whoever names one twice meant another.
fn each_once(path: &FieldPath, what: &str, names: &[String], found: &mut Vec<Problem>) {
    let mut known = BTreeSet::new();
    for (index, name) in names.iter().enumerate().take(limits::SUBNETS) {
        if !known.insert(name) {
            let message = format!("the {what} {} is named twice", code(name));
            found.push(Problem::error(message).at(&path.index(index), "").help("remove one of the two"));
        }
    }
}

fn clients(path: &FieldPath, clients: &[String], found: &mut Vec<Problem>) {
    if !at_most(path, clients.len(), limits::CLIENT_CIDRS, "blocks", found) {
        return;
    }
    for (index, text) in clients.iter().enumerate().filter(|(_, text)| *text != ANYWHERE) {
        let path = path.index(index);
        if addresses::cidr(&path, text, found).is_some_and(|block| block.is_everything()) {
            found.push(
                Problem::error(format!("{} lets everybody knock at the scheduler's port", code(text)))
                    .at(&path, "")
                    .help("if that is meant, write `anywhere`; certificates still say who gets in"),
            );
        }
    }
}

fn names(base: &FieldPath, ec2: &Ec2Spec, found: &mut Vec<Problem>) {
    if let Some(profiles) = &ec2.instance_profiles {
        let path = base.key("instanceProfiles");
        for (key, name) in [("scheduler", &profiles.scheduler), ("workers", &profiles.workers)] {
            if !is_profile(name) {
                found.push(
                    Problem::error(format!("{} is no name of an instance profile", code(name)))
                        .at(&path.key(key), "")
                        .help("write its name, not its ARN: letters, digits and any of `_+=,.@-`"),
                );
            }
        }
    }
    if let Some(name) = ec2.key_name.as_ref().filter(|name| !machines::is_aws_name(name)) {
        found.push(
            Problem::error(format!("{} is no name of a key pair", code(name)))
                .at(&base.key("keyName"), "")
                .help("write the name that EC2 lists, of plain ASCII characters"),
        );
    }
    let path = base.key("tags");
    if !at_most(&path, ec2.tags.len(), limits::TAGS, "tags", found) {
        return;
    }
    for (key, value) in &ec2.tags {
        tag(&path.key(key), key, value, found);
    }
}

fn tag(path: &FieldPath, key: &str, value: &str, found: &mut Vec<Problem>) {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "+-=._:,@".contains(c));
    let lower = key.to_ascii_lowercase();
    if key.is_empty() || key.len() > limits::TAG_KEY || !plain(key) {
        found.push(
            Problem::error(format!("{} is no key of a tag", code(key)))
                .at_key(path, "")
                .help("use letters, digits and any of `+-=._:,@`, at most 128 characters: machines read their tags themselves, which forbids the rest"),
        );
    } else if key == "Name" || lower.starts_with("aws:") || lower.starts_with("crewcall:") {
        found.push(
            Problem::error(format!("the tag {} is not a document's to set", code(key)))
                .at_key(path, "")
                .help("use a key other than `Name`, that begins with neither `crewcall:` nor `aws:`"),
        );
    }
    if value.chars().count() > limits::TAG_VALUE || value.chars().any(char::is_control) {
        found.push(
            Problem::error(format!("the value of the tag {} is none that AWS takes", code(key)))
                .at(path, "")
                .help("use at most 256 characters, on one line"),
        );
    }
}

fn money(base: &FieldPath, ec2: &Ec2Spec, found: &mut Vec<Problem>) {
    let path = base.key("prices");
    let few = at_most(&path, ec2.prices.len(), limits::PRICES, "prices", found);
    let prices =
        ec2.prices.iter().filter(|_| few).map(|(name, price)| (path.key(name.as_str()), Some(*price)));
    let limits = [("maxCost", ec2.max_cost), ("maxHourlyCost", ec2.max_hourly_cost)];
    for (path, amount) in prices.chain(limits.map(|(key, amount)| (base.key(key), amount))) {
        if amount.is_some_and(|amount| !amount.is_finite() || amount <= 0.0) {
            found.push(
                Problem::error(format!("`{path}` must be more than 0"))
                    .at(&path, "")
                    .help("write an amount in USD, such as 0.5 or 20"),
            );
        }
    }
}

fn is_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let fits = match parts.as_slice() {
        [land, middle @ .., number] => {
            land.len() == 2
                && letters(land)
                && !middle.is_empty()
                && middle.iter().all(letters)
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    };
    fits && name.len() <= 32
}

/// A region and a letter; local zones have a place between the two.
fn is_zone(name: &str) -> bool {
    let Some(rest) = name.strip_suffix(|c: char| c.is_ascii_lowercase()) else { return false };
    let words: Vec<&str> = rest.split('-').collect();
    let word =
        |word: &&str| !word.is_empty() && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    let number = |word: &&&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 32
        && words.len() >= 3
        && words
            .first()
            .is_some_and(|land| land.len() == 2 && land.bytes().all(|byte| byte.is_ascii_lowercase()))
        && words.iter().all(word)
        && words.last().as_ref().is_some_and(number)
}

/// Whether it is an id of EC2's: a prefix and 8 to 17 hexadecimal digits.
pub(super) fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| {
        (8..=17).contains(&digits.len())
            && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn is_profile(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= limits::PROFILE_NAME
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_regions_with_a_letter() {
        for name in ["eu-central-1a", "us-west-2-lax-1a", "us-gov-west-1b"] {
            assert!(is_zone(name) && !is_region(name), "{name}");
        }
        for name in ["eu-central-1", "eu-central-a", "a", "", "EU-central-1a", "eu-1a", "eu--1a"] {
            assert!(!is_zone(name), "{name}");
        }
    }
}
