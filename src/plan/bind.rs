//! Which position an instance fills, where the provider names nodes.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::{
    model::{Incarnation, InstanceId, LaunchId, Ledger, NodeId, Observed, ObservedNode, Slot},
    spec::GroupName,
};

/// A slot, as it is filled now.
#[derive(Debug, Clone, Copy)]
struct Position<'a> {
    group: &'a GroupName,
    slot: Slot,
    incarnation: Incarnation,
}

impl Position<'_> {
    /// Puts a node there, if it is of the same group.
    fn take(&self, id: &mut NodeId) {
        if *self.group == id.group {
            (id.slot, id.incarnation) = (self.slot, self.incarnation);
        }
    }
}

/// Gives every instance the position that it fills by the ledger: those that it knows their own, new
/// ones the open slots of their launch, in the order of their names. An instance for which there is none
/// stays without a position: it is one too many.
///
/// Whoever looks again with the same ledger finds the same. Nodes whose names were planned stay as they are.
#[must_use]
pub fn bind(ledger: &Ledger, mut world: Observed) -> Observed {
    if world.nodes.iter().all(|node| node.id.instance.is_none()) {
        return world;
    }
    let mut known: HashMap<&InstanceId, Position<'_>> = HashMap::new();
    let mut open: BTreeMap<&LaunchId, VecDeque<Position<'_>>> = BTreeMap::new();
    for (group, slots) in &ledger.groups {
        for (slot, entry) in &slots.slots {
            let position = Position { group, slot: *slot, incarnation: entry.incarnation };
            if let Some(instance) = entry.instance() {
                known.insert(instance, position);
            } else if let Some(launch) = entry.awaited() {
                open.entry(launch).or_default().push_back(position);
            }
        }
    }
    let mut fresh: Vec<&mut ObservedNode> = Vec::new();
    for node in world.nodes.iter_mut().filter(|node| node.id.instance.is_some()) {
        // What an earlier ledger said does not count.
        (node.id.slot, node.id.incarnation) = (Slot::NONE, Incarnation(0));
        match node.id.instance.as_ref().map(|instance| known.get(instance)) {
            None => {}
            Some(Some(position)) => position.take(&mut node.id),
            Some(None) => fresh.push(node),
        }
    }
    fresh.sort_unstable_by(|a, b| a.id.instance.cmp(&b.id.instance));
    for node in fresh {
        let launch = node.machine.as_ref().map(|machine| &machine.launch);
        let position = launch.and_then(|launch| open.get_mut(launch)?.pop_front());
        if let Some(position) = position {
            position.take(&mut node.id);
        }
    }
    world
}
