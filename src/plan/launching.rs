//! Nodes that are launched in batches and named by their provider.
//!
//! A launch is a set of slots with one id. Its intent is in the ledger until its call is answered, or
//! all its slots have found their instance; until then the same call is made again. What was not made
//! leaves its slots empty, and they are filled by another launch.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    operations::{LaunchCall, LaunchFailure, LaunchReply, MadeNodes},
    outcome::{Action, PlannedLaunch},
    planner::Planner,
    shortage::Room,
};
use crate::{
    model::{
        ErrorKind, EventKind, InstanceId, LaunchId, LaunchIntent, Launching, NodeId, NodeName, RequestHash,
        Severity, Slot, SlotMachine, Stage, TemplateHash,
    },
    spec::{GroupName, count_of},
};

impl<'a> Planner<'a> {
    /// How nodes are launched, where that is done in batches.
    pub(super) fn launching(&self) -> Option<&'a Launching> {
        self.situation.facts.launching.as_ref()
    }

    /// Notes which instances are there for the first time, and what launches were answered.
    pub(super) fn note_launches(&mut self) {
        if self.ledger.launches.is_empty() {
            return;
        }
        let situation = self.situation;
        for node in &situation.world.nodes {
            let (id, Some(machine)) = (&node.id, &node.machine) else { continue };
            let Some(instance) = id.instance.as_ref().filter(|_| id.cluster == *situation.record.name())
            else {
                continue;
            };
            let entry = self.entry(&id.group, id.slot);
            let expected = entry.is_some_and(|entry| {
                entry.incarnation == id.incarnation && entry.awaited() == Some(&machine.launch)
            });
            if expected {
                self.fill(&id.group, id.slot, instance);
            }
        }
        for reply in &situation.operations.launch_replies {
            self.note_reply(reply);
        }
        self.close_launches();
    }

    /// An instance is what fills a slot from now on.
    fn fill(&mut self, group: &GroupName, slot: Slot, instance: &InstanceId) {
        let now = self.now();
        let entry = self.ledger.groups.get_mut(group).and_then(|group| group.slots.get_mut(&slot));
        if let Some(entry) = entry {
            entry.machine = Some(SlotMachine::Known(instance.clone()));
            entry.enter(Stage::Launched, now);
        }
    }

    fn note_reply(&mut self, reply: &LaunchReply) {
        let Some(intent) = self.ledger.launches.get(&reply.launch).cloned() else { return };
        match &reply.result {
            Ok(made) => self.note_made(&reply.launch, &intent, made),
            Err(failure) => self.note_refusal(&reply.launch, &intent, failure),
        }
    }

    /// A launch was answered: this is all that comes of it.
    fn note_made(&mut self, launch: &LaunchId, intent: &LaunchIntent, made: &MadeNodes) {
        let group = &intent.group;
        for (slot, instance) in self.awaiting(launch, group).into_iter().zip(self.unplaced(group, made)) {
            self.fill(group, slot, &instance);
        }
        self.abandon(launch, group);
        let asked = intent.count as usize;
        if made.instances.len() < asked {
            let why = made.shortfall.as_deref().unwrap_or("the provider has no more room");
            let message = format!("{} of {asked} were launched: {why}", made.instances.len());
            self.note_shortage(intent, message);
        }
    }

    /// What a launch has made and fills no slot yet; what has ended already comes last.
    fn unplaced(&self, group: &GroupName, made: &MadeNodes) -> Vec<InstanceId> {
        let slots = self.ledger.groups.get(group).map(|group| &group.slots).into_iter().flatten();
        let placed: BTreeSet<&InstanceId> = slots.filter_map(|(_, entry)| entry.instance()).collect();
        let world = &self.situation.world.nodes;
        let ended: BTreeSet<&InstanceId> = world
            .iter()
            .filter(|node| !node.is_alive())
            .filter_map(|node| node.id.instance.as_ref())
            .collect();
        let mut unplaced: Vec<_> =
            made.instances.iter().filter(|instance| !placed.contains(instance)).cloned().collect();
        unplaced.sort_unstable_by_key(|instance| (ended.contains(instance), instance.clone()));
        unplaced
    }

    fn note_refusal(&mut self, launch: &LaunchId, intent: &LaunchIntent, failure: &LaunchFailure) {
        let group = &intent.group;
        match failure.kind {
            ErrorKind::Capacity | ErrorKind::Quota => {
                self.abandon(launch, group);
                self.note_shortage(intent, failure.message.clone());
                return;
            }
            // The same call will never work.
            ErrorKind::Invalid | ErrorKind::Conflict => self.abandon(launch, group),
            ErrorKind::NotFound
            | ErrorKind::Throttled
            | ErrorKind::Auth
            | ErrorKind::Transient
            | ErrorKind::Unknown => {}
        }
        let what = nodes(group, intent.count);
        let message = format!("{what} could not be launched: {}", failure.message);
        self.event(Severity::Warning, EventKind::ProviderError, None, message.clone());
        self.count_failure(group, None, message);
    }

    /// Slots of the group that a launch is still to fill.
    fn awaiting(&self, launch: &LaunchId, group: &GroupName) -> Vec<Slot> {
        self.occupied(group, |entry| entry.awaited() == Some(launch))
    }

    /// Expects nothing more of a launch.
    fn abandon(&mut self, launch: &LaunchId, group: &GroupName) {
        for slot in self.awaiting(launch, group) {
            if let Some(id) = self.node_id(group, slot) {
                self.vacate(&id);
            }
        }
        self.ledger.launches.remove(launch);
    }

    /// Forgets launches that no slot waits for. What still comes of them is one too many.
    fn close_launches(&mut self) {
        let entries = self.ledger.groups.values().flat_map(|group| group.slots.values());
        let awaited: BTreeSet<LaunchId> = entries.filter_map(|entry| entry.awaited()).cloned().collect();
        self.ledger.launches.retain(|launch, _| awaited.contains(launch));
    }

    /// Writes the intent of filling slots that are to be filled; fewer where there is no room or no money.
    /// Returns how many.
    pub(super) fn intend_all(&mut self, group: &GroupName, slots: &[Slot], template: &TemplateHash) -> usize {
        let Some(launching) = self.launching() else {
            for slot in slots {
                self.intend(group, *slot, template);
            }
            return slots.len();
        };
        let Room::Choice(choice) = self.room(group) else { return 0 };
        let affordable = self.affordable(group, choice, slots.len());
        let slots = slots.get(..affordable).unwrap_or_default();
        for batch in slots.chunks(launching.largest.max(1) as usize) {
            self.intend_launch(group, batch, template, choice);
        }
        slots.len()
    }

    fn intend_launch(&mut self, group: &GroupName, slots: &[Slot], template: &TemplateHash, choice: u32) {
        let at = self.now();
        for slot in slots {
            self.intend(group, *slot, template);
        }
        let Some(first) = slots.first().and_then(|slot| self.node_id(group, *slot)) else { return };
        let launch =
            LaunchId::of(&self.situation.record.wanted.uid, group, first.slot, first.incarnation, at);
        let count = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        let request = self.request_hash(group, count, choice, template);
        let ledger = self.ledger.groups.entry(group.clone()).or_default();
        for slot in slots {
            if let Some(entry) = ledger.slots.get_mut(slot) {
                entry.machine = Some(SlotMachine::Awaited(launch.clone()));
            }
        }
        let (group, template) = (group.clone(), template.clone());
        self.ledger.launches.insert(launch, LaunchIntent { group, count, choice, template, request, at });
    }

    /// Makes the calls of all launches of a group that are not answered.
    pub(super) fn launch_batches(&mut self, group: &GroupName, scheduler: Option<&str>) {
        self.close_launches();
        let of_group = self.ledger.launches.iter().filter(|(_, intent)| intent.group == *group);
        let open: Vec<_> = of_group.map(|(launch, intent)| (launch.clone(), intent.clone())).collect();
        for (launch, intent) in open {
            match self.situation.operations.launch_calls.get(&launch) {
                Some(LaunchCall::InFlight(_)) => continue,
                Some(LaunchCall::Ended(asked)) => {
                    let due = self.ask_again_at(group, *asked);
                    if due > self.now() {
                        self.wake_at(due);
                        continue;
                    }
                }
                None => {}
            }
            let LaunchIntent { count, choice, template, request, at, .. } = intent;
            if self.request_hash(group, count, choice, &template) == request {
                let (group, scheduler) = (group.clone(), scheduler.map(str::to_owned));
                let expires_at = self.expires_at();
                self.actions.push(Action::LaunchBatch(PlannedLaunch {
                    launch,
                    group,
                    count,
                    choice,
                    template,
                    scheduler,
                    expires_at,
                }));
            } else {
                self.give_up_launch(&launch, group, at);
            }
        }
    }

    /// A launch whose call may have been made cannot be repeated, because it would be another call under
    /// the same token. What has come of it shows itself, or has not been made.
    fn give_up_launch(&mut self, launch: &LaunchId, group: &GroupName, at: Timestamp) {
        if self.passed(at, self.situation.facts.visibility_delay) {
            self.abandon(launch, group);
            self.wake_in(std::time::Duration::ZERO);
        }
    }

    /// Fingerprint of the call that would launch such nodes now.
    fn request_hash(
        &self,
        group: &GroupName,
        count: u32,
        choice: u32,
        template: &TemplateHash,
    ) -> RequestHash {
        let document = &self.situation.record.wanted.document;
        let mut spec = document.spec.clone();
        // Sizes come and go, and other groups are not part of the call.
        spec.worker_groups.retain(|name, _| name == group);
        for sized in spec.worker_groups.values_mut().chain([&mut spec.workers]) {
            (sized.replicas, sized.min, sized.max) = (None, None, None);
        }
        let call = serde_json::json!([
            document.metadata,
            spec,
            group,
            count,
            choice,
            template,
            self.scheduler_address,
            self.expires_at(),
        ]);
        RequestHash::of(&call.to_string())
    }

    /// The names of nodes that have one: where the provider names them, what it has not named cannot be removed.
    pub(super) fn named(&self, ids: &[NodeId]) -> Vec<NodeName> {
        let all = self.launching().is_none();
        ids.iter().filter(|id| all || id.instance.is_some()).map(NodeId::name).collect()
    }
}

/// So many nodes of a group, for people.
pub(super) fn nodes(group: &GroupName, count: u32) -> String {
    if group.is_scheduler() {
        return "the scheduler".to_owned();
    }
    format!("{} of group {group}", count_of(count.into(), "worker"))
}
