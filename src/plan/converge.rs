//! From what is there to what is wanted: the anchor, the scheduler, then each group of workers.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    backoff::{PERSISTENT, delay_after, next_try},
    outcome::{Action, PlannedNode},
    planner::{Planner, later, record_failure},
    situation::{AnchorCall, EngineView, Surroundings},
    size::{bounds, desired},
    template::template_hash,
};
use crate::{
    model::{
        AnchorState, Anchoring, DrainReason, EventKind, FailureNote, Failures, Incarnation, NodeId, NodeName,
        NodeState, Severity, Slot, SlotEntry, Stage, Stop, TemplateHash,
    },
    spec::GroupName,
};

/// A creating call that seems to have had no effect is repeated after so long.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(2);

/// A creating call is not repeated sooner, however it ended.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

impl Planner<'_> {
    pub(super) fn converge(&mut self) {
        if !self.anchored() {
            return;
        }
        let scheduler = GroupName::scheduler();
        self.settle(&scheduler);
        self.forgive(&scheduler, 1);
        match self.scheduler() {
            None => self.end_orphaned_workers(),
            Some(address) => {
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

    /// Whether the anchor is there; has it made if not.
    fn anchored(&mut self) -> bool {
        match self.situation.world.anchor {
            AnchorState::Present => {
                self.ledger.anchor = Anchoring::Made;
                self.ledger.anchor_failures = Failures::default();
                true
            }
            AnchorState::Ending => {
                self.wake_in(Duration::from_secs(1));
                false
            }
            AnchorState::Absent => {
                self.anchor_absent();
                false
            }
        }
    }

    fn anchor_absent(&mut self) {
        if self.ledger.anchor == Anchoring::Made {
            self.ledger.anchor = Anchoring::Intended;
            self.lose_everything();
        }
        if self.situation.facts.surroundings == Surroundings::Missing {
            return;
        }
        match &self.situation.operations.anchor {
            AnchorCall::InFlight => return,
            AnchorCall::Made(at) if !self.passed(*at, ASK_AGAIN) => return,
            AnchorCall::Failed(failure) => {
                let message = failure.message.clone();
                self.event(Severity::Warning, EventKind::ProviderError, None, message.clone());
                let note = FailureNote { at: failure.at, node: None, message };
                record_failure(&mut self.ledger.anchor_failures, true, note);
            }
            AnchorCall::NotMade | AnchorCall::Made(_) => {}
        }
        match next_try(&self.ledger.anchor_failures) {
            Some(at) if at > self.now() => self.wake_at(at),
            _ => self.actions.push(Action::EnsureAnchor),
        }
    }

    /// The anchor, to which everything belongs, is gone: so is everything.
    fn lose_everything(&mut self) {
        let message =
            "what held the cluster's processes is gone, and they with it; all results are lost".to_owned();
        self.event(Severity::Warning, EventKind::SchedulerLost, None, message.clone());
        let note = FailureNote { at: self.now(), node: None, message };
        record_failure(&mut self.ledger.anchor_failures, true, note);
        let now = self.now();
        for entry in self.ledger.groups.values_mut().flat_map(|group| group.slots.values_mut()) {
            entry.enter(Stage::Vacant, now);
        }
    }

    /// Nodes that fill no slot, such as the predecessor of one that was replaced, are ended.
    fn remove_strays(&mut self) {
        let mut ended = Vec::new();
        let mut alive = Vec::new();
        let world = self.situation.world;
        for node in world.nodes.iter().filter(|node| node.id.cluster == *self.situation.record.name()) {
            self.note_name(&node.id, &node.template);
            let entry = self.entry(&node.id.group, node.id.slot);
            let current =
                entry.is_some_and(|e| e.incarnation == node.id.incarnation && e.stage != Stage::Vacant);
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

    /// Takes a name that is in the world and not in the ledger, as after the loss of a record, for
    /// used.
    fn note_name(&mut self, id: &NodeId, template: &TemplateHash) {
        let known = self.entry(&id.group, id.slot);
        if known.is_some_and(|entry| entry.incarnation >= id.incarnation) {
            return;
        }
        if known.is_some_and(|entry| entry.stage != Stage::Vacant) {
            return;
        }
        let (since, template, incarnation) = (self.now(), template.clone(), id.incarnation);
        let entry = SlotEntry { incarnation, stage: Stage::Vacant, since, template, unseen_since: None };
        self.ledger.groups.entry(id.group.clone()).or_default().slots.insert(id.slot, entry);
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
                _ => {
                    self.intend(&group, slot, &template);
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

    /// Has a group grow, shrink or roll.
    fn size_group(&mut self, group: &GroupName, scheduler: &str) {
        let live = self.occupied(group, SlotEntry::is_live).len();
        let Some(wanted) = self.spec().group(group) else {
            self.follow_drains(group);
            let live = self.occupied(group, SlotEntry::is_live);
            self.shrink(group, live.len(), DrainReason::GroupRemoved, &live);
            return;
        };
        let target = desired(wanted, self.ledger.groups.get(group)) as usize;
        // An adaptive group shrinks below its bound by what is idle only, which is decided before.
        let most = if self.is_adaptive(group) { bounds(wanted).1 as usize } else { target };
        // What is taken back is not asked to drain again.
        self.reclaim(group, target.saturating_sub(live));
        self.follow_drains(group);
        let template = template_hash(self.spec(), group);
        self.forget_other_failures(group, &template);
        let live = self.occupied(group, SlotEntry::is_live);
        let outdated = self.occupied(group, |entry| entry.is_live() && entry.template != template);
        if outdated.is_empty() {
            self.grow(group, target.saturating_sub(live.len()), &template);
            self.shrink(group, live.len().saturating_sub(most), DrainReason::ScaleDown, &live);
        } else {
            self.roll(group, target, &template, outdated);
        }
        self.forgive(group, target);
        self.launch_intended(group, Some(scheduler));
    }

    /// Replaces nodes of an old template: those that never registered at once, of the others one new
    /// first, then one old drained.
    fn roll(&mut self, group: &GroupName, target: usize, template: &TemplateHash, outdated: Vec<Slot>) {
        let (registered, useless): (Vec<Slot>, Vec<Slot>) = outdated
            .into_iter()
            .partition(|slot| self.entry(group, *slot).is_some_and(|entry| entry.stage == Stage::Registered));
        self.shrink(group, useless.len(), DrainReason::Rolled, &useless);
        let fresh = self.occupied(group, |entry| entry.is_live() && entry.template == *template).len();
        let draining = self.occupied(group, SlotEntry::is_draining).len();
        let all = fresh + registered.len() + draining;
        let room = (target + 1).saturating_sub(all).min(target.saturating_sub(fresh));
        self.grow(group, room, template);
        let surplus = (fresh + registered.len()).saturating_sub(target + 1).min(registered.len());
        if surplus > 0 {
            self.shrink(group, surplus, DrainReason::ScaleDown, &registered);
            return;
        }
        let ready = |entry: &SlotEntry| entry.stage == Stage::Registered && entry.template == *template;
        let spare = (self.occupied(group, ready).len() + registered.len()).saturating_sub(target);
        let rolled = if draining == 0 { spare.min(1).min(registered.len()) } else { 0 };
        self.shrink(group, rolled, DrainReason::Rolled, &registered);
    }

    /// A new template deserves a try of its own: what failed with the old one says nothing about it.
    fn forget_other_failures(&mut self, group: &GroupName, template: &TemplateHash) {
        let Some(ledger) = self.ledger.groups.get_mut(group) else { return };
        let Some(failed) = ledger.failures.last.as_ref().and_then(|note| note.node.clone()) else { return };
        let cluster = self.situation.record.name();
        let other = ledger.slots.iter().any(|(slot, entry)| {
            entry.template != *template
                && ledger.node(cluster, group, *slot).is_some_and(|id| id.name() == failed)
        });
        if other {
            ledger.failures = Failures::default();
        }
    }

    /// The group's slots whose entry satisfies `which`.
    pub(super) fn occupied(&self, group: &GroupName, which: impl Fn(&SlotEntry) -> bool) -> Vec<Slot> {
        let slots = self.ledger.groups.get(group).map(|group| &group.slots).into_iter().flatten();
        slots
            .filter(|(_, entry)| entry.stage != Stage::Vacant && which(entry))
            .map(|(slot, _)| *slot)
            .collect()
    }

    /// Notes the intent to fill so many more slots; fewer while the group's nodes keep failing.
    fn grow(&mut self, group: &GroupName, missing: usize, template: &TemplateHash) {
        if missing == 0 {
            return;
        }
        let failures = self.ledger.groups.entry(group.clone()).or_default().failures.clone();
        let mut allowed = missing;
        if failures.streak >= PERSISTENT {
            let trying = self.occupied(group, |e| matches!(e.stage, Stage::Intended | Stage::Launched)).len();
            allowed = 1usize.saturating_sub(trying);
        }
        if let Some(at) = next_try(&failures).filter(|at| *at > self.now()) {
            self.wake_at(at);
            self.announce_backoff(group, &failures);
            allowed = 0;
        }
        let taken: BTreeSet<Slot> = self.occupied(group, |_| true).into_iter().collect();
        let free = (0..).map(Slot).filter(|slot| !taken.contains(slot)).take(allowed);
        let free: Vec<Slot> = free.collect();
        for slot in &free {
            self.intend(group, *slot, template);
        }
        let message = match free.len() {
            0 => return,
            1 => format!("a worker of group {group} is asked for"),
            count => format!("{count} workers of group {group} are asked for"),
        };
        self.event(Severity::Normal, EventKind::NodeLaunching, None, message);
    }

    fn announce_backoff(&mut self, group: &GroupName, failures: &Failures) {
        let just_now = failures.last.as_ref().is_some_and(|note| note.at == self.now());
        if just_now && failures.streak >= PERSISTENT {
            let (streak, delay) = (failures.streak, delay_after(failures.streak).as_secs());
            let message =
                format!("group {group} has failed {streak} times in a row; the next try is in {delay} s");
            self.event(Severity::Warning, EventKind::BackingOff, None, message);
        }
    }

    /// Writes the intent to fill a slot under a name that was never used.
    fn intend(&mut self, group: &GroupName, slot: Slot, template: &TemplateHash) {
        let now = self.now();
        let used = self.entry(group, slot).map(|entry| entry.incarnation);
        let cluster = self.situation.record.name().clone();
        let incarnation = used.map_or(Incarnation(0), Incarnation::next);
        let mut id = NodeId { cluster, group: group.clone(), slot, incarnation };
        while self.observed(&id).is_some() && id.incarnation.next() != id.incarnation {
            id.incarnation = id.incarnation.next();
        }
        let incarnation = id.incarnation;
        let slots = &mut self.ledger.groups.entry(id.group).or_default().slots;
        let (stage, template) = (Stage::Intended, template.clone());
        slots.insert(slot, SlotEntry { incarnation, stage, since: now, template, unseen_since: None });
    }

    /// Makes the creating calls of all intents that have not been seen to have an effect.
    fn launch_intended(&mut self, group: &GroupName, scheduler: Option<&str>) {
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
    fn ask_again_at(&self, group: &GroupName, asked: Timestamp) -> Timestamp {
        match self.ledger.groups.get(group).map(|group| &group.failures) {
            Some(failures) if failures.last.as_ref().is_some_and(|note| note.at >= asked) => {
                next_try(failures).unwrap_or(asked).max(later(asked, SHORTEST_PAUSE))
            }
            _ => later(asked, ASK_AGAIN),
        }
    }

    /// Takes `surplus` nodes out of a group, of those in `among`: first what never registered, then
    /// by the scheduler's ranking, and those only once they have handed their data over.
    pub(super) fn shrink(&mut self, group: &GroupName, surplus: usize, reason: DrainReason, among: &[Slot]) {
        if surplus == 0 {
            return;
        }
        let ids: Vec<NodeId> = among.iter().filter_map(|slot| self.node_id(group, *slot)).collect();
        let registered = |planner: &Self, id: &NodeId| {
            planner.entry(group, id.slot).is_some_and(|entry| entry.stage == Stage::Registered)
        };
        // The newest first: the longer a node is on its way, the sooner it will be of use.
        let unregistered: Vec<NodeId> =
            ids.iter().rev().filter(|id| !registered(self, id)).take(surplus).cloned().collect();
        let never_seen: Vec<NodeName> = unregistered.iter().map(NodeId::name).collect();
        for id in &unregistered {
            let message = format!("{id} is no longer wanted, and had not registered yet");
            self.event(Severity::Normal, EventKind::NodeEnded, Some(id.name()), message);
            self.vacate(id);
        }
        self.remove(never_seen, Stop::Gently(self.spec().drain_grace()));
        let rest = surplus - unregistered.len();
        if rest > 0 && !self.was_given_up(group) {
            let victims = self.ranked(&ids, rest);
            self.drain(group, &victims, reason);
        }
    }

    /// The first `count` of the scheduler's ranking that are among `ids`; none without a ranking,
    /// unless they go by force and nobody can be asked.
    fn ranked(&mut self, ids: &[NodeId], count: usize) -> Vec<NodeId> {
        let eligible = ids
            .iter()
            .filter(|id| self.entry(&id.group, id.slot).is_some_and(|e| e.stage == Stage::Registered));
        let EngineView::Seen(status) = self.situation.engine else {
            let forced = if self.is_forced() { count } else { 0 };
            return eligible.rev().take(forced).cloned().collect();
        };
        let Some(ranking) = &status.ranking else {
            self.lacks_ranking = true;
            return Vec::new();
        };
        let eligible: HashMap<NodeName, &NodeId> = eligible.map(|id| (id.name(), id)).collect();
        let known = ranking.iter().filter_map(|name| eligible.get(name));
        known.take(count).map(|id| (*id).clone()).collect()
    }

    /// Whether a scale-down of the group was given up in this generation.
    fn was_given_up(&self, group: &GroupName) -> bool {
        let kept = self.ledger.groups.get(group).and_then(|group| group.kept_at_generation);
        kept == Some(self.situation.record.wanted.generation)
    }
}
