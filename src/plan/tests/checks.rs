//! What must hold of every plan, and of a cluster at rest.

use std::collections::{BTreeMap, BTreeSet};

use super::{simulator::Simulator, story::Story};
use crate::{
    model::{ClusterRecord, Ledger, NodeId, NodeName, Slot, SlotEntry, Stage},
    plan::{Action, DrainCall, EngineView, Outcome, Plan, desired, plan, template_hash},
    spec::{GroupName, Size},
};

impl Simulator {
    /// What must hold of every plan.
    pub(super) fn check(&mut self, plan: &Plan) {
        assert_eq!(plan.outcome, Outcome::Continues);
        let before: BTreeMap<NodeId, SlotEntry> = self.story.entries();
        let after = entries(&plan.ledger, &self.story);
        for action in &plan.actions {
            match action {
                Action::Launch { nodes, .. } => {
                    for node in nodes {
                        let name = node.id.name();
                        assert_eq!(after[&node.id].stage, Stage::Intended, "{name} has a durable intent");
                        assert_eq!(after[&node.id].template, node.template, "{name} is what was intended");
                        assert!(!self.shown.contains(&name), "{name} was there before");
                        let meaning = self.meaning.entry(name).or_insert_with(|| node.template.clone());
                        assert_eq!(*meaning, node.template, "{} keeps its meaning", node.id);
                    }
                }
                Action::Drain { nodes } => {
                    for name in nodes {
                        let draining = after.iter().any(|(id, e)| id.name() == *name && e.is_draining());
                        assert!(draining, "{name} is drained, and the ledger does not know");
                    }
                }
                Action::Remove { nodes, .. } => {
                    for name in nodes {
                        self.check_removal(name, &before, &after);
                    }
                }
                Action::LaunchBatch(planned) => {
                    let intent = plan.ledger.launches.get(&planned.launch).expect("a durable intent");
                    assert_eq!((&intent.group, intent.count), (&planned.group, planned.count));
                    if let Some((before, _)) = self.batches.get(&planned.launch) {
                        assert_eq!(before, planned, "the same token goes with the same call");
                    }
                }
                Action::EnsureAnchor
                | Action::RemoveAnchor
                | Action::SetExpiry { .. }
                | Action::KeepCopy { .. } => {}
            }
        }
        self.check_sizes(plan);
    }

    fn check_removal(
        &self,
        name: &NodeName,
        before: &BTreeMap<NodeId, SlotEntry>,
        after: &BTreeMap<NodeId, SlotEntry>,
    ) {
        assert_ne!(*name, self.foreign);
        let live = after.iter().any(|(id, entry)| id.name() == *name && entry.is_live());
        assert!(!live, "{name} fills a slot and is removed");
        let held = before.iter().any(|(id, entry)| {
            id.name() == *name && matches!(entry.stage, Stage::Registered | Stage::Draining(_))
        });
        let alive = self.story.world.nodes.iter().any(|node| node.id.name() == *name && node.is_alive());
        let scheduler = self.story.world.nodes.iter().any(|node| {
            node.id.group.is_scheduler()
                && node.is_alive()
                && after.get(&node.id).is_some_and(SlotEntry::is_live)
        });
        let EngineView::Seen(status) = &self.story.engine else { return };
        if held && alive && scheduler && status.workers.contains_key(name) {
            let call = self.story.operations.drains.get(name);
            assert!(matches!(call, Some(DrainCall::Retired(_))), "{name} is removed with its data: {call:?}");
        }
    }

    fn check_sizes(&self, plan: &Plan) {
        let spec = &self.story.record.wanted.document.spec;
        for (name, group) in spec.groups() {
            let before = live(&self.story.record.progress.ledger, &name);
            let after = live(&plan.ledger, &name);
            let template = template_hash(spec, &name);
            let entries = plan.ledger.groups.get(&name).map(|group| &group.slots).into_iter().flatten();
            let rolls = entries.into_iter().any(|(_, e)| e.is_live() && e.template != template);
            let target = desired(group, plan.ledger.groups.get(&name)) as usize;
            if let Some(Size::Adaptive { min, max }) = group.size() {
                assert!((min as usize..=max as usize).contains(&target), "{target} is no size for {name}");
            }
            let most = target + usize::from(rolls);
            assert!(after <= before.max(most), "group {name} grows from {before} to {after}, over {most}");
        }
    }

    /// Workers of the adaptive group for the tasks that the fixed group cannot do.
    fn needed(&self, min: u32, max: u32) -> usize {
        let groups = self.story.record.wanted.document.spec.worker_groups.values();
        let others: u32 = groups.filter_map(|group| group.replicas).sum();
        u32::try_from(self.tasks).unwrap().saturating_sub(others).clamp(min, max) as usize
    }

    pub(super) fn assert_settled(&self) {
        let record = &self.story.record;
        let mut expected = BTreeSet::from([self.foreign.clone()]);
        for (id, entry) in self.story.entries() {
            match entry.stage {
                Stage::Vacant => continue,
                Stage::Registered => {}
                stage => panic!("{id} is at rest as {stage:?}"),
            }
            if !id.group.is_scheduler() {
                assert_eq!(entry.template, template_hash(&record.wanted.document.spec, &id.group), "{id}");
            }
            expected.insert(id.name());
        }
        for (name, spec) in record.wanted.document.spec.groups() {
            let live = live(&record.progress.ledger, &name);
            let wanted = desired(spec, record.progress.ledger.groups.get(&name)) as usize;
            assert_eq!(live, wanted, "size of {name}");
            if let Some(Size::Adaptive { min, max }) = spec.size() {
                // The last worker stays with what it holds; each one of a story holds something.
                let all: usize = record.progress.ledger.groups.keys().map(|g| live_workers(record, g)).sum();
                let last = live == 1 && all == 1;
                let needed = self.needed(min, max).max(usize::from(last));
                assert_eq!(live, needed, "adaptive size of {name}, {} tasks", self.tasks);
            }
        }
        let exists: BTreeSet<_> = self.story.world.nodes.iter().map(|node| node.id.name()).collect();
        assert_eq!(exists, expected, "what exists is what fills slots");
    }
}

fn live_workers(record: &ClusterRecord, group: &GroupName) -> usize {
    if group.is_scheduler() { 0 } else { live(&record.progress.ledger, group) }
}

fn live(ledger: &Ledger, group: &GroupName) -> usize {
    let slots = ledger.groups.get(group).map(|group| &group.slots).into_iter().flatten();
    slots.filter(|(_, entry)| entry.is_live()).count()
}

/// All entries of a ledger, by the node that fills them.
fn entries(ledger: &Ledger, story: &Story) -> BTreeMap<NodeId, SlotEntry> {
    let slots = ledger.groups.iter().flat_map(|(name, group)| {
        let id = |slot: &Slot| group.node(story.record.name(), name, *slot);
        group.slots.iter().filter_map(move |(slot, entry)| Some((id(slot)?, entry.clone())))
    });
    slots.collect()
}

#[test]
fn the_simulator_notices_a_plan_that_removes_what_fills_a_slot() {
    let mut simulator = Simulator::new(1);
    simulator.settle();
    let mut bad = plan(&simulator.story.situation());
    let nodes = vec![simulator.story.name("workers-0-0")];
    bad.actions.push(Action::Remove { nodes, how: crate::model::Stop::Now });
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulator.check(&bad)));
    assert!(caught.is_err());
}
