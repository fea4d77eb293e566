//! How a group comes to its size and template: growth, scale-down, rolling.

use std::collections::{BTreeSet, HashMap};

use super::{
    backoff::{PERSISTENT, delay_after, next_try},
    planner::Planner,
    situation::EngineView,
    size::{bounds, desired},
    template::template_hash,
};
use crate::{
    model::{
        DrainReason, EventKind, Failures, NodeId, NodeName, Severity, Slot, SlotEntry, Stage, Stop,
        TemplateHash,
    },
    spec::GroupName,
};

impl Planner<'_> {
    /// Has a group grow, shrink or roll.
    pub(super) fn size_group(&mut self, group: &GroupName, scheduler: &str) {
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
        let message = match self.intend_all(group, &free, template) {
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
        let never_seen = self.named(&unregistered);
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
