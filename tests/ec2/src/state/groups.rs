//! Security groups and their rules.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    cloud::Cloud,
    devices::named_exist,
    filters::{Filters, page},
    tags::{Tags, not_found, specified, tag_set},
};
use crate::{
    error::ApiError,
    protocol::{Fields, Parameters},
};

/// Which way a rule lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    /// To the members.
    Ingress,
    /// From the members.
    Egress,
}

/// The other side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Addresses of IPv4.
    Cidr(String),
    /// Addresses of IPv6.
    Cidr6(String),
    /// Members of a group.
    Group(String),
}

/// A rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// As in `sgr-0123`.
    pub id: String,
    /// Which way.
    pub direction: Direction,
    /// `tcp`, `udp`, `icmp`, or `-1` for all.
    pub protocol: String,
    /// First and last port; `None` where the protocol has none or all are meant.
    pub ports: Option<(i32, i32)>,
    /// The other side.
    pub peer: Peer,
    /// For people.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl Rule {
    fn same(&self, other: &Rule) -> bool {
        let key = |rule: &Rule| (rule.direction, rule.protocol.clone(), rule.ports, rule.peer.clone());
        key(self) == key(other)
    }
}

/// A security group.
#[derive(Debug, Clone)]
pub struct Group {
    /// Unique in the network.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its rules.
    pub rules: Vec<Rule>,
    /// When it was made.
    pub made: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

impl Cloud {
    /// The rules of a security group; none where there is no such group.
    pub fn rules_of(&self, group: &str) -> &[Rule] {
        self.groups.get(group).map(|group| group.rules.as_slice()).unwrap_or_default()
    }

    pub(super) fn add_default_group(&mut self) {
        let id = self.ids.id("sg");
        let inside = self.rule(Direction::Ingress, Peer::Group(id.clone()));
        let outside = self.rule(Direction::Egress, Peer::Cidr("0.0.0.0/0".into()));
        let group = Group {
            name: "default".into(),
            description: "default VPC security group".into(),
            rules: vec![inside, outside],
            made: self.now - self.settings.visibility,
            tags: Tags::new(),
        };
        self.groups.insert(id, group);
    }

    fn rule(&mut self, direction: Direction, peer: Peer) -> Rule {
        Rule {
            id: self.ids.id("sgr"),
            direction,
            protocol: "-1".into(),
            ports: None,
            peer,
            description: None,
            tags: Tags::new(),
        }
    }

    pub(super) fn default_group(&self) -> String {
        self.group_named("default").unwrap_or_default()
    }

    pub(super) fn group_named(&self, name: &str) -> Result<String, ApiError> {
        self.groups.iter().find(|(_, group)| group.name == name).map(|(id, _)| id.clone()).ok_or_else(|| {
            let text =
                format!("The security group '{name}' does not exist in default VPC '{}'", self.settings.vpc);
            ApiError::new("InvalidGroup.NotFound", text)
        })
    }

    pub(super) fn group_set(&self, ids: &[String]) -> Vec<Fields> {
        let name = |id| self.groups.get(id).map_or("", |group| group.name.as_str());
        ids.iter().map(|id| Fields::new().with("groupId", id).with("groupName", name(id))).collect()
    }

    pub(super) fn create_group(&mut self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let name = parameters.required("GroupName")?.to_owned();
        let description = parameters.required("GroupDescription")?.to_owned();
        if let Some(vpc) = parameters.text("VpcId").filter(|vpc| *vpc != self.settings.vpc) {
            return Err(not_found(vpc));
        }
        if name.starts_with("sg-") {
            return Err(ApiError::invalid(
                "Invalid value for groupName: group names may not start with 'sg-'",
            ));
        }
        if self.groups.values().any(|group| group.name == name) {
            let text = format!("The security group '{name}' already exists for VPC '{}'", self.settings.vpc);
            return Err(ApiError::new("InvalidGroup.Duplicate", text));
        }
        let tags = specified(parameters, "security-group", &["security-group"])?;
        let outside = self.rule(Direction::Egress, Peer::Cidr("0.0.0.0/0".into()));
        let id = self.ids.id("sg");
        let group = Group { name, description, rules: vec![outside], made: self.now, tags: tags.clone() };
        self.groups.insert(id.clone(), group);
        let arn = self.group_arn(&id);
        Ok(Fields::done().with("groupId", &id).with("securityGroupArn", arn).items("tagSet", tag_set(&tags)))
    }

    fn group_arn(&self, id: &str) -> String {
        format!("arn:aws:ec2:{}:{}:security-group/{id}", self.settings.region, self.settings.account)
    }

    /// The group that a call names by id, or by name.
    fn named(&self, parameters: &Parameters) -> Result<String, ApiError> {
        match parameters.text("GroupId") {
            Some(id) if self.groups.contains_key(id) => Ok(id.to_owned()),
            Some(id) => Err(not_found(id)),
            None => self.group_named(parameters.required("GroupName")?),
        }
    }

    pub(super) fn delete_group(&mut self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let id = self.named(parameters)?;
        if id == self.default_group() {
            let text = "the specified group: \"default\" name: \"default\" cannot be deleted by a user";
            return Err(ApiError::new("CannotDelete", text));
        }
        let referred = self.groups.iter().any(|(other, group)| {
            *other != id && group.rules.iter().any(|rule| rule.peer == Peer::Group(id.clone()))
        });
        if referred || self.interfaces.values().any(|interface| interface.groups.contains(&id)) {
            let text = format!("resource {id} has a dependent object");
            return Err(ApiError::new("DependencyViolation", text));
        }
        self.groups.remove(&id);
        Ok(Fields::done().with("groupId", id))
    }

    pub(super) fn authorize(&mut self, action: &str, parameters: &Parameters) -> Result<Fields, ApiError> {
        let id = self.named(parameters)?;
        let tags = specified(parameters, "security-group-rule", &["security-group-rule"])?;
        let mut rules = self.asked(direction(action), parameters)?;
        if rules.is_empty() {
            return Err(ApiError::missing("ipPermissions"));
        }
        let known = self.rules_of(&id);
        if let Some(twice) = rules.iter().find(|rule| known.iter().any(|known| known.same(rule))) {
            let text = format!("the specified rule \"{}\" already exists", words(twice));
            return Err(ApiError::new("InvalidPermission.Duplicate", text));
        }
        for rule in &mut rules {
            rule.tags.clone_from(&tags);
        }
        let fields: Vec<_> = rules.iter().map(|rule| self.rule_fields(&id, rule)).collect();
        if let Some(group) = self.groups.get_mut(&id) {
            group.rules.extend(rules);
        }
        self.effects.push(super::Effect::Rules);
        Ok(Fields::done().items("securityGroupRuleSet", fields))
    }

    pub(super) fn revoke(&mut self, action: &str, parameters: &Parameters) -> Result<Fields, ApiError> {
        let id = self.named(parameters)?;
        let direction = direction(action);
        let ids = parameters.texts("SecurityGroupRuleId");
        let asked = self.asked(direction, parameters)?;
        let known = self.rules_of(&id);
        let lacks_id =
            ids.iter().any(|id| !known.iter().any(|rule| rule.id == *id && rule.direction == direction));
        let lacks_rule = asked.iter().any(|asked| !known.iter().any(|rule| rule.same(asked)));
        if lacks_id || lacks_rule {
            let text = "The specified rule does not exist in this security group.";
            return Err(ApiError::new("InvalidPermission.NotFound", text));
        }
        if let Some(group) = self.groups.get_mut(&id) {
            group.rules.retain(|rule| {
                !ids.contains(&rule.id.as_str()) && !asked.iter().any(|asked| asked.same(rule))
            });
        }
        self.effects.push(super::Effect::Rules);
        Ok(Fields::done())
    }

    /// The rules that a call spells out, in either of the two ways.
    fn asked(&mut self, direction: Direction, parameters: &Parameters) -> Result<Vec<Rule>, ApiError> {
        let mut rules = Vec::new();
        for permission in parameters.list("IpPermissions") {
            let protocol = protocol(permission.required("IpProtocol")?);
            let ports = ports(permission, &protocol)?;
            let mut peers = Vec::new();
            for (list, key, peer) in [
                ("IpRanges", "CidrIp", Peer::Cidr as fn(String) -> Peer),
                ("Ipv6Ranges", "CidrIpv6", Peer::Cidr6),
                ("Groups", "GroupId", Peer::Group),
            ] {
                for entry in permission.list(list) {
                    let text = entry.text("Description").map(str::to_owned);
                    peers.push((peer(entry.required(key)?.to_owned()), text));
                }
            }
            for (peer, description) in peers {
                self.check(&peer)?;
                let rule = self.rule(direction, peer);
                rules.push(Rule { protocol: protocol.clone(), ports, description, ..rule });
            }
        }
        if let Some(cidr) = parameters.text("CidrIp") {
            let peer = Peer::Cidr(cidr.to_owned());
            self.check(&peer)?;
            let protocol = protocol(parameters.text("IpProtocol").unwrap_or("-1"));
            let ports = ports(parameters, &protocol)?;
            let rule = self.rule(direction, peer);
            rules.push(Rule { protocol, ports, ..rule });
        }
        Ok(rules)
    }

    fn check(&self, peer: &Peer) -> Result<(), ApiError> {
        match peer {
            Peer::Group(id) if !self.groups.contains_key(id) => Err(not_found(id)),
            Peer::Cidr(text) if !is_network(text) => {
                Err(ApiError::invalid(format!("CIDR block {text} is malformed")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn describe_groups(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let ids = parameters.texts("GroupId");
        named_exist(&ids, |id| self.groups.contains_key(id))?;
        let names = parameters.texts("GroupName");
        for name in &names {
            self.group_named(name)?;
        }
        let filters = Filters::of(parameters)?;
        let mut found = Vec::new();
        for (id, group) in &self.groups {
            let fits = filters.fit(&group.tags, |name| {
                Some(match name {
                    "group-id" => vec![id.clone()],
                    "group-name" => vec![group.name.clone()],
                    "vpc-id" => vec![self.settings.vpc.clone()],
                    "description" => vec![group.description.clone()],
                    "owner-id" => vec![self.settings.account.clone()],
                    _ => return None,
                })
            })?;
            let wanted = (ids.is_empty() && names.is_empty())
                || ids.contains(&id.as_str())
                || names.contains(&group.name.as_str());
            if fits && wanted && self.visible(group.made) {
                found.push((id.clone(), self.group_fields(id, group)));
            }
        }
        let (found, token) = page(found, parameters, self.settings.page)?;
        let found = found.into_iter().map(|(_, fields)| fields);
        Ok(Fields::new().items("securityGroupInfo", found).with_some("nextToken", token))
    }

    pub(super) fn describe_rules(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let filters = Filters::of(parameters)?;
        let ids = parameters.texts("SecurityGroupRuleId");
        let mut found = Vec::new();
        for (group_id, group) in &self.groups {
            for rule in &group.rules {
                let fits = filters.fit(&rule.tags, |name| {
                    Some(match name {
                        "group-id" => vec![group_id.clone()],
                        "security-group-rule-id" => vec![rule.id.clone()],
                        _ => return None,
                    })
                })?;
                if fits && (ids.is_empty() || ids.contains(&rule.id.as_str())) {
                    found.push((rule.id.clone(), self.rule_fields(group_id, rule)));
                }
            }
        }
        let (found, token) = page(found, parameters, self.settings.page)?;
        let found = found.into_iter().map(|(_, fields)| fields);
        Ok(Fields::new().items("securityGroupRuleSet", found).with_some("nextToken", token))
    }

    fn group_fields(&self, id: &str, group: &Group) -> Fields {
        Fields::new()
            .with("ownerId", &self.settings.account)
            .with("groupId", id)
            .with("securityGroupArn", self.group_arn(id))
            .with("groupName", &group.name)
            .with("groupDescription", &group.description)
            .with("vpcId", &self.settings.vpc)
            .items("ipPermissions", self.permissions(group, Direction::Ingress))
            .items("ipPermissionsEgress", self.permissions(group, Direction::Egress))
            .items("tagSet", tag_set(&group.tags))
    }

    /// Rules of the same protocol and ports are one permission.
    fn permissions(&self, group: &Group, direction: Direction) -> Vec<Fields> {
        let mut kinds: Vec<(&str, Option<(i32, i32)>)> = Vec::new();
        let rules: Vec<_> = group.rules.iter().filter(|rule| rule.direction == direction).collect();
        for rule in &rules {
            let kind = (rule.protocol.as_str(), rule.ports);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let permission = |(protocol, ports): (&str, Option<(i32, i32)>)| {
            let (mut cidrs, mut cidrs6, mut groups) = (Vec::new(), Vec::new(), Vec::new());
            for rule in rules.iter().filter(|rule| (rule.protocol.as_str(), rule.ports) == (protocol, ports))
            {
                let entry = Fields::new().with_some("description", rule.description.as_ref());
                match &rule.peer {
                    Peer::Cidr(text) => cidrs.push(entry.with("cidrIp", text)),
                    Peer::Cidr6(text) => cidrs6.push(entry.with("cidrIpv6", text)),
                    Peer::Group(id) => {
                        groups.push(entry.with("userId", &self.settings.account).with("groupId", id));
                    }
                }
            }
            Fields::new()
                .with("ipProtocol", protocol)
                .with_some("fromPort", ports.map(|(first, _)| first))
                .with_some("toPort", ports.map(|(_, last)| last))
                .items("groups", groups)
                .items("ipRanges", cidrs)
                .items("ipv6Ranges", cidrs6)
                .items::<Fields>("prefixListIds", [])
        };
        kinds.into_iter().map(permission).collect()
    }

    fn rule_fields(&self, group: &str, rule: &Rule) -> Fields {
        let (first, last) = rule.ports.unwrap_or((-1, -1));
        let fields = Fields::new()
            .with("securityGroupRuleId", &rule.id)
            .with("groupId", group)
            .with("groupOwnerId", &self.settings.account)
            .with("isEgress", rule.direction == Direction::Egress)
            .with("ipProtocol", &rule.protocol)
            .with("fromPort", first)
            .with("toPort", last)
            .with_some("description", rule.description.as_ref())
            .items("tagSet", tag_set(&rule.tags));
        match &rule.peer {
            Peer::Cidr(text) => fields.with("cidrIpv4", text),
            Peer::Cidr6(text) => fields.with("cidrIpv6", text),
            Peer::Group(id) => {
                let group = Fields::new().with("groupId", id).with("userId", &self.settings.account);
                fields.fields("referencedGroupInfo", group)
            }
        }
    }
}

fn direction(action: &str) -> Direction {
    if action.ends_with("Egress") { Direction::Egress } else { Direction::Ingress }
}

fn protocol(named: &str) -> String {
    match named {
        "6" => "tcp".into(),
        "17" => "udp".into(),
        "1" => "icmp".into(),
        "all" => "-1".into(),
        other => other.to_owned(),
    }
}

fn ports(parameters: &Parameters, protocol: &str) -> Result<Option<(i32, i32)>, ApiError> {
    if protocol == "-1" {
        return Ok(None);
    }
    let port = |name: &str| {
        let text = parameters.required(name)?;
        text.parse::<i32>().map_err(|_| ApiError::invalid(format!("Invalid value '{text}' for {name}")))
    };
    let (first, last) = (port("FromPort")?, port("ToPort")?);
    if first > last {
        return Err(ApiError::invalid(format!("Invalid TCP/UDP port range ({first}:{last})")));
    }
    Ok(Some((first, last)))
}

fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    address.parse::<std::net::Ipv4Addr>().is_ok() && length.parse::<u8>().is_ok_and(|length| length <= 32)
}

fn words(rule: &Rule) -> String {
    let peer = match &rule.peer {
        Peer::Cidr(text) | Peer::Cidr6(text) | Peer::Group(text) => text,
    };
    let protocol = if rule.protocol == "-1" { "ALL".into() } else { rule.protocol.to_uppercase() };
    let ports = rule.ports.map(|(first, last)| format!(", from port: {first}, to port: {last}"));
    format!("peer: {peer}, {protocol}{}, ALLOW", ports.unwrap_or_default())
}
