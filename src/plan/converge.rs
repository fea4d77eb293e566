//! From what is there to what is wanted: the anchor, the scheduler, then each group of workers.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::{
    backoff::next_try,
    outcome::{Action, PlannedNode},
    planner::{Planner, later},
    template::template_hash,
};
use crate::{
    model::{
        EventKind, Incarnation, NodeId, NodeState, ObservedNode, Origin, Severity, Slot, SlotEntry, Stage,
        Stop, TemplateHash,
    },
    spec::GroupName,
};

/// A creating call that seems to have had no effect is repeated after so long.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(2);

/// A creating call is not repeated sooner, however it ended.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

impl Planner<'_> {
    pub(super) fn converge(&mut self) {
        self.note_names();
        self.note_launches();
        if !self.anchored() {
            return;
        }
        let scheduler = GroupName::scheduler();
        self.settle(&scheduler);
        self.forgive(&scheduler, 1);
        match self.scheduler() {
            None => self.end_orphaned_workers(),
            Some(address) => {
                self.scheduler_address = Some(address.clone());
                let groups = self.worker_groups();
                for group in &groups {
                    self.settle(group);
                }
                self.adapt();
                for group in &groups {
                    self.size_group(group, &address);
                }
            }
        }
        self.remove_strays();
    }

    /// Groups of the document, and those of which the ledger still has nodes.
    fn worker_groups(&self) -> BTreeSet<GroupName> {
        let wanted = self.spec().groups().map(|(name, _)| name);
        let known = self.ledger.groups.keys().filter(|name| !name.is_scheduler()).cloned();
        wanted.chain(known).collect()
    }

    /// Nodes that fill no slot, such as the predecessor of one that was replaced, are ended.
    fn remove_strays(&mut self) {
        let mut ended = Vec::new();
        let mut alive = Vec::new();
        let world = self.situation.world;
        for node in world.nodes.iter().filter(|node| node.id.cluster == *self.situation.record.name()) {
            let entry = self.entry(&node.id.group, node.id.slot);
            let current = entry.is_some_and(|e| {
                e.incarnation == node.id.incarnation
                    && e.stage != Stage::Vacant
                    && e.instance() == node.id.instance.as_ref()
            });
            match node.state {
                _ if current => {}
                NodeState::Ending => {}
                NodeState::Ended(_) => ended.push(node.id.name()),
                NodeState::Pending(_) | NodeState::Running => alive.push(node.id.name()),
            }
        }
        self.remove(ended, Stop::Now);
        self.remove(alive, Stop::Gently(self.spec().drain_grace()));
    }

    /// Takes names that are in the world and not in the ledger, as after the loss of a record, for
    /// used.
    fn note_names(&mut self) {
        let world = self.situation.world;
        for node in world.nodes.iter().filter(|node| node.id.cluster == *self.situation.record.name()) {
            // A name that the provider has given is never chosen by us.
            if node.id.instance.is_none() {
                self.note_name(node);
            }
        }
    }

    fn note_name(&mut self, node: &ObservedNode) {
        let id = &node.id;
        let known = self.entry(&id.group, id.slot);
        if known.is_some_and(|entry| entry.incarnation >= id.incarnation) {
            return;
        }
        let mut stage = Stage::Vacant;
        if known.is_some_and(|entry| entry.stage != Stage::Vacant) {
            if node.origin == Origin::Planned {
                return;
            }
            stage = Stage::Launched;
            self.announce_restart(id);
        }
        let entry = SlotEntry::new(id.incarnation, stage, self.now(), node.template.clone());
        self.ledger.groups.entry(id.group.clone()).or_default().slots.insert(id.slot, entry);
    }

    /// The provider has filled a slot anew, because a client asked for it: no failure, and nothing to do.
    fn announce_restart(&mut self, id: &NodeId) {
        let old =
            self.node_id(&id.group, id.slot).map_or_else(|| "a worker".to_owned(), |old| old.to_string());
        let message = format!("{old} was restarted on a client's wish; {id} takes its place");
        self.event(Severity::Normal, EventKind::NodeRestarted, Some(id.name()), message);
    }

    /// The scheduler's address, once it has one. Sees to it that there is a scheduler.
    fn scheduler(&mut self) -> Option<String> {
        let group = GroupName::scheduler();
        let template = template_hash(self.spec(), &group);
        let (slot, now) = (Slot(0), self.now());
        let vacant = self.entry(&group, slot).is_none_or(|entry| entry.stage == Stage::Vacant);
        if vacant {
            let failures = self.ledger.groups.entry(group.clone()).or_default().failures.clone();
            match next_try(&failures) {
                Some(at) if at > now => self.wake_at(at),
                _ if self.intend_all(&group, &[slot], &template) == 0 => {}
                _ => {
                    let message = "the scheduler is asked for".to_owned();
                    self.event(Severity::Normal, EventKind::NodeLaunching, None, message);
                }
            }
        }
        self.launch_intended(&group, None);
        let id = self.node_id(&group, slot)?;
        let node = self.observed(&id).filter(|node| node.is_alive())?;
        node.address.clone()
    }

    /// Workers of a scheduler that is gone hold nothing that anybody can ask for.
    fn end_orphaned_workers(&mut self) {
        let scheduler = self.node_id(&GroupName::scheduler(), Slot(0));
        let replaced =
            scheduler.as_ref().is_none_or(|id| self.observed(id).is_none_or(|node| !node.is_alive()));
        if !replaced {
            return;
        }
        let mut orphans = Vec::new();
        for group in self.worker_groups() {
            let slots = self.occupied(&group, |_| true);
            let ids: Vec<NodeId> = slots.into_iter().filter_map(|slot| self.node_id(&group, slot)).collect();
            for id in ids {
                self.vacate(&id);
                if self.observed(&id).is_some() {
                    orphans.push(id.name());
                }
            }
        }
        self.remove(orphans, Stop::Now);
    }

    /// The group's slots whose entry satisfies `which`.
    pub(super) fn occupied(&self, group: &GroupName, which: impl Fn(&SlotEntry) -> bool) -> Vec<Slot> {
        let slots = self.ledger.groups.get(group).map(|group| &group.slots).into_iter().flatten();
        slots
            .filter(|(_, entry)| entry.stage != Stage::Vacant && which(entry))
            .map(|(slot, _)| *slot)
            .collect()
    }

    /// Writes the intent to fill a slot under a name that was never used.
    pub(super) fn intend(&mut self, group: &GroupName, slot: Slot, template: &TemplateHash) {
        let now = self.now();
        let used = self.entry(group, slot).map(|entry| entry.incarnation);
        let cluster = self.situation.record.name().clone();
        let incarnation = used.map_or(Incarnation(0), Incarnation::next);
        let mut id = NodeId { cluster, group: group.clone(), slot, incarnation, instance: None };
        while self.observed(&id).is_some() && id.incarnation.next() != id.incarnation {
            id.incarnation = id.incarnation.next();
        }
        let entry = SlotEntry::new(id.incarnation, Stage::Intended, now, template.clone());
        self.ledger.groups.entry(id.group).or_default().slots.insert(slot, entry);
    }

    /// Makes the creating calls of all intents that have not been seen to have an effect.
    pub(super) fn launch_intended(&mut self, group: &GroupName, scheduler: Option<&str>) {
        if self.launching().is_some() {
            self.launch_batches(group, scheduler);
            return;
        }
        let operations = self.situation.operations;
        let mut nodes = Vec::new();
        for slot in self.occupied(group, |entry| entry.stage == Stage::Intended) {
            let (Some(id), Some(entry)) = (self.node_id(group, slot), self.entry(group, slot)) else {
                continue;
            };
            let template = entry.template.clone();
            let name = id.name();
            if operations.launching.contains(&name) {
                continue;
            }
            if let Some(asked) = operations.asked.get(&name) {
                let due = self.ask_again_at(group, *asked);
                if due > self.now() {
                    self.wake_at(due);
                    continue;
                }
            }
            nodes.push(PlannedNode { id, template });
        }
        let Some(first) = nodes.first() else { return };
        let role = first.id.role();
        self.actions.push(Action::Launch {
            group: group.clone(),
            role,
            nodes,
            scheduler: scheduler.map(str::to_owned),
        });
    }

    /// When a creating call that was made at `asked`, and has ended, is to be made again.
    pub(super) fn ask_again_at(&self, group: &GroupName, asked: Timestamp) -> Timestamp {
        match self.ledger.groups.get(group).map(|group| &group.failures) {
            Some(failures) if failures.last.as_ref().is_some_and(|note| note.at >= asked) => {
                next_try(failures).unwrap_or(asked).max(later(asked, SHORTEST_PAUSE))
            }
            _ => later(asked, ASK_AGAIN),
        }
    }
}
