//! Security groups, as rules of iptables in the namespace of a host.

use std::{collections::BTreeSet, fmt::Write as _};

use crate::state::{Cloud, Direction, Instance, Peer, Rule};

/// What `iptables-restore` is to read for a host: what its groups do not let in or out stays outside or inside.
pub fn rules(cloud: &Cloud, instance: &Instance) -> String {
    let mut text = String::from(
        "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT DROP [0:0]\n\
         -A INPUT -i lo -j ACCEPT\n-A OUTPUT -o lo -j ACCEPT\n\
         -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A OUTPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A OUTPUT -d 169.254.169.254/32 -j ACCEPT\n",
    );
    let mut lines = BTreeSet::new();
    for group in &instance.groups {
        for rule in cloud.rules_of(group) {
            lines.extend(of_rule(cloud, rule));
        }
    }
    for line in lines {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    }
    text.push_str("COMMIT\n");
    text
}

fn of_rule(cloud: &Cloud, rule: &Rule) -> Vec<String> {
    let (chain, side) = match rule.direction {
        Direction::Ingress => ("INPUT", "-s"),
        Direction::Egress => ("OUTPUT", "-d"),
    };
    let protocol = match rule.protocol.as_str() {
        "-1" => String::new(),
        other => format!(" -p {other}"),
    };
    let ports = match rule.ports {
        Some((first, last)) if matches!(rule.protocol.as_str(), "tcp" | "udp") => {
            format!(" --dport {first}:{last}")
        }
        _ => String::new(),
    };
    peers(cloud, &rule.peer)
        .into_iter()
        .map(|peer| format!("-A {chain} {side} {peer}{protocol}{ports} -j ACCEPT"))
        .collect()
}

/// Groups are their members' private addresses.
fn peers(cloud: &Cloud, peer: &Peer) -> Vec<String> {
    match peer {
        Peer::Cidr(text) => vec![text.clone()],
        Peer::Cidr6(_) => Vec::new(),
        Peer::Group(group) => cloud
            .instances()
            .filter(|instance| instance.lives() && instance.groups.contains(group))
            .map(|instance| format!("{}/32", instance.private_ip))
            .collect(),
    }
}
