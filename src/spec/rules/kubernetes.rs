//! What only Kubernetes has: that it stands with that provider, and who may connect.

use std::net::IpAddr;

use super::{
    Problem,
    names::{at_most, labels},
    pods,
};
use crate::spec::{
    ComputeCluster, FieldPath, GroupName, IpBlock, KubernetesSpec, NetworkPeer, PodTemplate, limits,
    text::code,
};

pub(super) fn check(cluster: &ComputeCluster, found: &mut Vec<Problem>) {
    let spec = &cluster.spec;
    let base_path = FieldPath::of("spec.provider.kubernetes");
    let none = PodTemplate::default();
    let base = spec.kubernetes().map(|kubernetes| {
        service(&base_path, kubernetes, found);
        let pods = &kubernetes.pods;
        let base = pods::Base { path: base_path.key("pods"), template: pods, fits: pods::fits(pods) };
        pods::check(
            &base.path,
            pods,
            &pods::Base { template: &none, path: base.path.clone(), fits: true },
            found,
        );
        base
    });
    let own = FieldPath::of("spec");
    let mut role = |path: &FieldPath, template: &PodTemplate| match &base {
        Some(base) => pods::check(&path.key("kubernetes"), template, base, found),
        None if *template == none => {}
        None => found.push(only_on_kubernetes(cluster, &path.key("kubernetes"))),
    };
    role(&own.key("scheduler"), &spec.scheduler.kubernetes);
    // That there are too many groups is said elsewhere.
    for (name, group) in spec.groups().take(limits::GROUPS + 1) {
        let groups = own.key("workerGroups");
        let path = if name == GroupName::workers() { own.key("workers") } else { groups.key(name.as_str()) };
        role(&path, &group.kubernetes);
    }
}

fn only_on_kubernetes(cluster: &ComputeCluster, path: &FieldPath) -> Problem {
    let kind = cluster.spec.provider.kind().as_str();
    Problem::error(format!("the provider `{kind}` has no pods to be shaped"))
        .at_key(path, "")
        .at_key(&FieldPath::of("spec.provider").key(kind), "the provider")
        .help("remove `kubernetes` here, or run the cluster on Kubernetes: `provider: {kubernetes: {}}`")
}

fn service(path: &FieldPath, kubernetes: &KubernetesSpec, found: &mut Vec<Problem>) {
    pods::annotations(&path.key("serviceAnnotations"), &kubernetes.service_annotations, found);
    let policy = &kubernetes.network_policy;
    let path = path.key("networkPolicy");
    let clients = path.key("clients");
    if !policy.enabled && !policy.clients.is_empty() {
        found.push(
            Problem::error("clients are let in by a network policy that is switched off")
                .at_key(&clients, "")
                .at(&path.key("enabled"), "switched off here")
                .help("remove `enabled: false`, or `clients`: without a policy everyone may connect"),
        );
    }
    if !at_most(&clients, policy.clients.len(), limits::NETWORK_PEERS, "clients", found) {
        return;
    }
    for (index, client) in policy.clients.iter().enumerate() {
        peer(&clients.index(index), client, found);
    }
}

fn peer(path: &FieldPath, peer: &NetworkPeer, found: &mut Vec<Problem>) {
    let block = path.key("ipBlock");
    let selectors = [("podSelector", &peer.pod_selector), ("namespaceSelector", &peer.namespace_selector)];
    for (key, selector) in selectors {
        let path = path.key(key);
        if let Some(selector) = selector {
            labels(&path.key("matchLabels"), &selector.match_labels, found);
        }
        if selector.is_some() && peer.ip_block.is_some() {
            found.push(
                Problem::error("a block of addresses stands alone")
                    .at_key(&path, "a selector here")
                    .at_key(&block, "a block here")
                    .help("make two clients of it: one with `ipBlock`, one with the selectors"),
            );
        }
    }
    match &peer.ip_block {
        Some(addresses) => ip_block(&block, addresses, found),
        None if peer.pod_selector.is_none() && peer.namespace_selector.is_none() => {
            let help =
                "write `podSelector`, `namespaceSelector` or `ipBlock`; every pod here is `podSelector: {}`";
            found.push(Problem::error("a client that names nobody").at(path, "").help(help));
        }
        None => {}
    }
}

fn ip_block(path: &FieldPath, block: &IpBlock, found: &mut Vec<Problem>) {
    let Some(whole) = cidr(&path.key("cidr"), &block.cidr, found) else {
        return;
    };
    let holes = path.key("except");
    if !at_most(&holes, block.except.len(), limits::NETWORK_EXCEPT, "blocks", found) {
        return;
    }
    for (index, text) in block.except.iter().enumerate() {
        let path = holes.index(index);
        let Some(hole) = cidr(&path, text, found) else { continue };
        if !whole.holds(&hole) {
            found.push(
                Problem::error(format!("{} does not lie within {}", code(text), code(&block.cidr)))
                    .at(&path, "")
                    .rests_on(&holes)
                    .help("leave out only what the block has, and not all of it"),
            );
        }
    }
}

/// A block of addresses: its first, as bits from the left, and how many of them are fixed.
struct Block {
    bits: u128,
    prefix: u32,
    is_v4: bool,
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u32 = prefix.parse().ok().filter(|_| digits)?;
        let (bits, width, is_v4) = match address.parse().ok()? {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32, true),
            IpAddr::V6(address) => (address.to_bits(), 128, false),
        };
        (prefix <= width).then_some(Self { bits, prefix, is_v4 })
    }

    /// The bits that a prefix of this length fixes.
    fn mask(prefix: u32) -> u128 {
        u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
    }

    fn is_first(&self) -> bool {
        self.bits & !Self::mask(self.prefix) == 0
    }

    /// Whether the other is a part of this one, and not all of it.
    fn holds(&self, other: &Self) -> bool {
        self.is_v4 == other.is_v4
            && other.prefix > self.prefix
            && other.bits & Self::mask(self.prefix) == self.bits
    }
}

fn cidr(path: &FieldPath, text: &str, found: &mut Vec<Problem>) -> Option<Block> {
    let block = Block::parse(text);
    let help = match &block {
        Some(block) if block.is_first() => return Some(Block { ..*block }),
        Some(_) => "write the block's first address, as in `10.1.0.0/16`; a single address ends in `/32`",
        None => "write an address and the length of its prefix, such as `10.0.0.0/8` or `fd00::/8`",
    };
    found.push(Problem::error(format!("{} is no block of addresses", code(text))).at(path, "").help(help));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_an_address_and_how_much_of_it_is_fixed() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "1.2.3.4/32", "fd00::/8", "::/0", "::1/128"] {
            assert!(Block::parse(text).is_some_and(|block| block.is_first()), "{text}");
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/+8", "10.0.0.0/", "/8", ""] {
            assert!(Block::parse(text).is_none(), "{text}");
        }
        assert!(!Block::parse("10.1.2.3/8").unwrap().is_first());
        let within =
            |whole: &str, part: &str| Block::parse(whole).unwrap().holds(&Block::parse(part).unwrap());
        assert!(within("10.0.0.0/8", "10.1.0.0/16") && within("0.0.0.0/0", "10.0.0.0/8"));
        assert!(!within("10.0.0.0/8", "10.0.0.0/8") && !within("10.0.0.0/8", "11.0.0.0/16"));
        assert!(!within("::/0", "10.0.0.0/8"));
    }
}
