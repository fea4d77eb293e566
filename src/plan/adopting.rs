//! Taking up a cluster whose record was lost, from a copy of the record and from what is there.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::{
    model::{
        AdaptiveSize, Anchoring, ClusterRecord, GroupLedger, Incarnation, Ledger, Money, Observed,
        ObservedNode, Progress, Slot, SlotEntry, SlotMachine, Spending, Stage,
    },
    spec::{GroupName, Size},
};

/// What comes of an attempt to take a cluster up.
#[derive(Debug, Clone, PartialEq)]
pub enum Adoption {
    /// With this record it goes on as it was.
    Possible(Box<ClusterRecord>),
    /// There is nothing that could go on; why.
    Pointless(&'static str),
}

/// The record with which a cluster goes on: what `copy` wants of it, and a ledger of the nodes that are seen.
///
/// Only what provider and launch made is taken: slots and their history are forgotten, and so is what it had cost, which
/// is guessed from what it costs now.
pub fn adopt(copy: ClusterRecord, world: &Observed, max_cost: Option<Money>, now: Timestamp) -> Adoption {
    let own = || world.nodes.iter().filter(|node| node.is_alive() && node.id.cluster == *copy.name());
    if !own().any(|node| node.id.group.is_scheduler()) {
        return Adoption::Pointless("its scheduler is gone, and nothing of it can be saved");
    }
    let mut ledger = Ledger {
        anchor: Anchoring::Made,
        copied_generation: Some(copy.wanted.generation),
        ..Ledger::default()
    };
    let mut groups: BTreeMap<GroupName, Vec<&ObservedNode>> = BTreeMap::new();
    for node in own() {
        groups.entry(node.id.group.clone()).or_default().push(node);
    }
    for (group, mut nodes) in groups {
        nodes.sort_unstable_by(|a, b| a.id.instance.cmp(&b.id.instance));
        ledger.groups.insert(group.clone(), group_of(&copy, &group, &nodes, now));
    }
    let prices = own().filter_map(|node| node.machine.as_ref()?.hourly);
    let hourly = prices.fold(Money::default(), Money::plus);
    if hourly != Money::default() {
        let lived = Duration::try_from(now.duration_since(copy.wanted.created_at)).unwrap_or_default();
        // A guess ends nothing: some of the limit is left, and its end is announced.
        let most = max_cost.map_or(Money(u64::MAX), |limit| Money(limit.0 / 10 * 9));
        ledger.spending = Some(Spending { spent: hourly.for_time(lived).min(most), since: now, hourly });
    }
    let progress = Progress { ledger, ..Progress::default() };
    Adoption::Possible(Box::new(ClusterRecord { revision: 1, progress, ..copy }))
}

fn group_of(copy: &ClusterRecord, group: &GroupName, nodes: &[&ObservedNode], now: Timestamp) -> GroupLedger {
    let entry = |node: &ObservedNode| SlotEntry {
        machine: node.id.instance.clone().map(SlotMachine::Known),
        booting: node.machine.as_ref().and_then(|machine| machine.steps.last().cloned()),
        // Whether it has registered is seen when its scheduler is asked.
        ..SlotEntry::new(Incarnation(0), Stage::Launched, now, node.template.clone())
    };
    let slots = (0..).map(Slot).zip(nodes.iter().map(|node| entry(node))).collect();
    let size = copy.wanted.document.spec.group(group).and_then(crate::spec::WorkerGroupSpec::size);
    // As large as it is, until its demand is known.
    let adaptive = matches!(size, Some(Size::Adaptive { .. })).then(|| AdaptiveSize {
        wanted: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
        ..AdaptiveSize::default()
    });
    GroupLedger { slots, adaptive, ..GroupLedger::default() }
}
