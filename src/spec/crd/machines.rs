//! What the API server checks of clusters on EC2.

use super::rules::Rule;

/// Rules of the provider's settings.
pub(super) fn settings() -> Vec<Rule> {
    vec![
        Rule::new(
            "!has(self.zones) || !has(self.subnets) || self.zones.size() == 0 || self.subnets.size() == 0",
            "a subnet lies in one zone, so `zones` and `subnets` cannot both be given; keep one of the two",
        )
        .at(".zones"),
        Rule::new(
            "!has(self.addresses) || self.addresses == 'public' || (has(self.subnets) && self.subnets.size() > 0)",
            "default subnets give machines no way out but a public address; name `subnets` that have a NAT gateway \
             or endpoints of AWS, or write `addresses: public`",
        )
        .at(".addresses"),
        Rule::new(
            "!has(self.addresses) || self.addresses != 'sessionManager' || !has(self.clientCidrs) \
             || self.clientCidrs.size() == 0",
            "no port is open to clients that come through Session Manager; remove `clientCidrs`, or write \
             `addresses: private`",
        )
        .at(".clientCidrs"),
        Rule::new(
            "!has(self.region) || !has(self.zones) || self.zones.all(zone, zone.startsWith(self.region))",
            "a zone is not in the region; name zones of the cluster's region",
        )
        .at(".zones"),
        Rule::new(
            "!has(self.zones) || self.zones.all(name, self.zones.exists_one(other, other == name))",
            "a zone is named twice; remove one of the two",
        )
        .at(".zones"),
        Rule::new(
            "!has(self.subnets) || self.subnets.all(name, self.subnets.exists_one(other, other == name))",
            "a subnet is named twice; remove one of the two",
        )
        .at(".subnets"),
        Rule::new(
            "!has(self.clientCidrs) || self.clientCidrs.all(block, block == 'anywhere' \
             || (isCIDR(block) && cidr(block) == cidr(block).masked() && cidr(block).prefixLength() > 0))",
            "a block of addresses is its first address and the length of its prefix, such as `10.0.0.0/8`; for all \
             addresses write `anywhere`",
        )
        .at(".clientCidrs"),
        Rule::new(
            "!has(self.tags) || self.tags.all(key, key != 'Name' && !key.lowerAscii().startsWith('aws:') \
             && !key.lowerAscii().startsWith('crewcall:'))",
            "a tag is not a document's to set; use a key other than `Name`, that begins with neither `crewcall:` nor \
             `aws:`",
        )
        .at(".tags"),
    ]
}

/// Rules of what a machine is. That types are of one architecture is the parser's to know.
pub(super) fn template() -> Vec<Rule> {
    vec![
        Rule::new(
            "!has(self.instanceTypes) || self.instanceTypes.size() == 0 \
             || !(has(self.architecture) || has(self.gpus))",
            "`architecture` and `gpus` choose among all types, but types are named; keep one of the two",
        )
        .at(".instanceTypes"),
        Rule::new(
            "!has(self.instanceTypes) || self.instanceTypes.all(name, self.instanceTypes.exists_one(other, \
             other == name))",
            "an instance type is named twice; remove one of the two",
        )
        .at(".instanceTypes"),
    ]
}

/// Rules of a disk. Its size is the parser's to know: CEL cannot read Dask's units.
pub(super) fn disk() -> Vec<Rule> {
    let volume = "(has(self.type) ? self.type : 'gp3')";
    vec![
        Rule::new(
            format!("!has(self.iops) || {volume} != 'gp2'"),
            "a volume of the type `gp2` has no `iops` to be set; remove `iops`, or use another type",
        )
        .at(".iops"),
        Rule::new(
            format!("!has(self.throughput) || {volume} == 'gp3'"),
            "only a volume of the type `gp3` has a `throughput` to be set; remove it, or use another type",
        )
        .at(".throughput"),
        Rule::new(
            format!("{volume} != 'io2' || has(self.iops)"),
            "a volume of the type `io2` needs `iops`; add how many operations per second it is to have",
        )
        .at(".iops"),
    ]
}
