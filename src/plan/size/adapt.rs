//! From what is needed to what is done: growth at once, shrinking by what has been idle.

use std::collections::BTreeSet;

use super::{
    idle::Member,
    load::{GroupLoad, Load, bounds},
    reason,
    rule::{self, Need},
};
use crate::{
    model::{AdaptiveSize, DrainReason, EngineStatus, EventKind, Severity, WorkerState},
    plan::{backoff::PERSISTENT, planner::Planner, situation::EngineView, template::template_hash},
    spec::{GroupName, Memory, WorkerGroupSpec},
};

impl Planner<'_> {
    /// Decides the size of every adaptive group, and begins to drain what is no longer needed.
    ///
    /// While nobody knows what waits (no answer, or an engine that cannot say), sizes stay what they
    /// are, within their bounds.
    pub(in crate::plan) fn adapt(&mut self) {
        let spec = self.spec();
        let groups: Vec<GroupName> = spec.groups().map(|(name, _)| name).collect();
        for group in &groups {
            if self.is_adaptive(group) {
                self.take_back_refused(group);
            } else if let Some(ledger) = self.ledger.groups.get_mut(group) {
                ledger.adaptive = None;
            }
        }
        match self.situation.engine {
            EngineView::Seen(status) if status.knows_demand() => {
                self.tell_unsatisfiable(status);
                self.adapt_to(status);
            }
            EngineView::Seen(_) => self.stay(Some("size kept: its scheduler cannot say what waits")),
            EngineView::NotAsked | EngineView::Unreachable { .. } => self.stay(None),
        }
    }

    fn adapt_to(&mut self, status: &EngineStatus) {
        let spec = self.spec();
        if !spec.groups().any(|(name, _)| self.is_adaptive(&name)) {
            return;
        }
        let groups = spec.groups().map(|(name, group)| self.group_load(name, group)).collect();
        let load = Load { demand: &status.demand, groups };
        let needs = rule::needs(&load);
        for (group, need) in load.groups.iter().zip(&needs) {
            if self.is_adaptive(&group.name) {
                self.resize(group, need);
            }
        }
    }

    fn group_load<'s>(&self, name: GroupName, group: &'s WorkerGroupSpec) -> GroupLoad<'s> {
        let members = self.members(&name);
        let workers = || members.iter().filter_map(|member| member.worker);
        let takes_work = |member: &&Member<'_>| {
            member.worker.is_some_and(|w| matches!(w.state, WorkerState::Starting | WorkerState::Running))
        };
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (min, max) = bounds(group);
        let ledger = self.ledger.groups.get(&name);
        GroupLoad {
            min,
            max,
            threads: group.threads(),
            resources: &group.resources,
            memory_limit: group
                .memory
                .map(Memory::bytes)
                .or_else(|| workers().filter_map(|worker| worker.memory_limit).min()),
            live: count(members.len()),
            ready: count(members.iter().filter(takes_work).count()),
            held_bytes: workers().fold(0, |sum, worker| sum.saturating_add(worker.held_bytes)),
            held_results: workers().fold(0, |sum, worker| sum.saturating_add(worker.held_results)),
            with_actors: count(workers().filter(|worker| worker.actors > 0).count()),
            startup: ledger.and_then(|ledger| ledger.startup_millis).map(std::time::Duration::from_millis),
            failing: ledger.is_some_and(|ledger| ledger.failures.streak >= PERSISTENT),
            name,
        }
    }

    /// Moves one adaptive group towards what it needs.
    fn resize(&mut self, group: &GroupLoad<'_>, need: &Need) {
        let GroupLoad { name, min, max, live, .. } = group;
        let ledger = self.ledger.groups.entry(name.clone()).or_default();
        let known = ledger.adaptive.clone();
        let before = known.as_ref().map_or(*live, |state| state.wanted);
        let mut state = known.clone().unwrap_or_default();
        let present = if self.rolls(name) { before.min(*live) } else { *live };
        let at_event = self.events.len();
        let mut gone = 0;
        if need.workers < present {
            gone = self.release(name, &mut state, present.min(*max).saturating_sub(need.workers));
        } else {
            state.idle.clear();
            state.held_up = None;
        }
        state.wanted = need.workers.max(present.saturating_sub(gone).min(*max));
        let wanted = state.wanted;
        // A new group has no former size to be told of.
        let told = known.is_some() || *live > 0 || wanted > *min;
        let change = (wanted != before && told).then(|| {
            let why = if wanted > before {
                reason::why_larger(need, lanes(group), *min)
            } else if gone > 0 {
                let period = reason::seconds(self.situation.facts.idle_period);
                format!("{} had nothing to do for {period}", crate::spec::count_of(u64::from(gone), "worker"))
            } else if before > *max {
                format!("its maximum is {max}")
            } else {
                "what has ended is not needed".to_owned()
            };
            reason::change(before, wanted, *max, &why)
        });
        if let Some(change) = change {
            let (at, severity, kind) = (self.now(), Severity::Normal, EventKind::Scaled);
            let message = format!("group {name}: {change}");
            self.events.insert(at_event, crate::model::Event { at, severity, kind, node: None, message });
            (state.reason, state.changed_at) = (Some(change), Some(at));
        }
        self.ledger.groups.entry(name.clone()).or_default().adaptive = Some(state);
    }

    /// Has up to `surplus` workers go that were idle for long enough; returns how many do.
    fn release(&mut self, group: &GroupName, state: &mut AdaptiveSize, surplus: u32) -> u32 {
        if self.rolls(group) {
            return 0;
        }
        let members = self.members(group);
        let before = members.len();
        let ripe = self.idle_long_enough(state, &members);
        let goes = ripe.len().min(surplus as usize);
        self.shrink(group, goes, DrainReason::Idle, &ripe);
        let after = self.occupied(group, crate::model::SlotEntry::is_live).len();
        u32::try_from(before - after).unwrap_or(u32::MAX)
    }

    /// Whether workers of the group are being replaced.
    fn rolls(&self, group: &GroupName) -> bool {
        let template = template_hash(self.spec(), group);
        !self.occupied(group, |entry| entry.is_live() && entry.template != template).is_empty()
    }

    /// Adaptive groups stay what they are, within their bounds.
    fn stay(&mut self, why: Option<&str>) {
        let spec = self.spec();
        for (name, group) in spec.groups() {
            if !self.is_adaptive(&name) {
                continue;
            }
            let (min, max) = bounds(group);
            let ledger = self.ledger.groups.entry(name).or_default();
            let live = super::desired::live(ledger);
            let wanted = ledger.adaptive.as_ref().map_or(live, |state| state.wanted.min(live));
            let state = ledger.adaptive.get_or_insert_default();
            state.wanted = wanted.min(max).max(min);
            if let Some(why) = why {
                state.reason = Some(why.to_owned());
            }
        }
    }

    /// Says once of each kind of tasks that nobody will ever run them.
    fn tell_unsatisfiable(&mut self, status: &EngineStatus) {
        let found = rule::unsatisfiable(self.spec(), &status.demand);
        for tasks in &found {
            if !self.ledger.unsatisfiable.contains(&tasks.resources) {
                self.event(Severity::Warning, EventKind::NoWorkerFits, None, tasks.to_string());
            }
        }
        self.ledger.unsatisfiable =
            found.into_iter().map(|tasks| tasks.resources).collect::<BTreeSet<String>>();
    }
}

/// Threads of the group's present workers.
fn lanes(group: &GroupLoad<'_>) -> u64 {
    u64::from(group.ready) * u64::from(group.threads)
}
