//! What only Kubernetes has: that it stands with that provider, and who may connect.

use super::{
    Problem,
    addresses::cidr,
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
