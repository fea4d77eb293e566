//! The plan as a whole: which part of the policy speaks when.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    conditions,
    operations::AnchorCall,
    outcome::{Action, Outcome, Plan},
    situation::{EngineView, Situation},
    size::desired,
    template::template_hash,
};
use crate::{
    model::{
        AnchorState, ClusterRecord, EndReason, Ending, Event, EventKind, FailureNote, Failures, Ledger,
        NodeId, NodeName, ObservedNode, Presence, Severity, Slot, SlotEntry, Stage, Stop,
    },
    spec::{ClusterSpec, GroupName, count_of},
};

/// How long before the end it is announced, at most a tenth of the limit.
const ANNOUNCE: Duration = Duration::from_mins(5);

/// A removing call is repeated after so long, as long as something is left.
pub(super) const REMOVE_AGAIN: Duration = Duration::from_secs(1);

/// What to do about a cluster.
pub fn plan(situation: &Situation<'_>) -> Plan {
    let mut planner = Planner::new(situation);
    planner.note_spending();
    let outcome = match &situation.record.wanted.presence {
        Presence::Absent(ending) => planner.tear_down(ending),
        Presence::Present => planner.keep_up(),
    };
    planner.finish(outcome)
}

/// Whether the plan could use a ranking of the workers, which costs the engine a little work.
pub fn needs_ranking(situation: &Situation<'_>) -> bool {
    if !matches!(situation.record.wanted.presence, Presence::Present) {
        return false;
    }
    let mut planner = Planner::new(situation);
    planner.converge();
    planner.lacks_ranking
}

/// `at` plus `delay`; the far end of time instead of an overflow.
pub(super) fn later(at: Timestamp, delay: Duration) -> Timestamp {
    let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
    at.checked_add(delay).unwrap_or(Timestamp::MAX)
}

/// The ledger, less the failures from before somebody asked for the cluster anew.
fn forgiving(record: &ClusterRecord) -> Ledger {
    let mut ledger = record.progress.ledger.clone();
    let asked_at = record.wanted.asked_at;
    for failures in
        ledger.groups.values_mut().map(|group| &mut group.failures).chain([&mut ledger.anchor_failures])
    {
        if failures.last.as_ref().is_some_and(|last| asked_at.is_some_and(|asked| last.at < asked)) {
            *failures = Failures::default();
        }
    }
    ledger
}

/// A plan in the making.
pub(super) struct Planner<'a> {
    pub(super) situation: &'a Situation<'a>,
    pub(super) ledger: Ledger,
    pub(super) actions: Vec<Action>,
    pub(super) events: Vec<Event>,
    /// Whether registered nodes are to go, and nobody has said which first.
    pub(super) lacks_ranking: bool,
    /// The cluster's own nodes in the world.
    nodes: HashMap<&'a NodeId, &'a ObservedNode>,
    /// Nodes that this plan ends.
    ending: BTreeSet<NodeName>,
    /// Nodes whose drain this plan begins.
    pub(super) drained: BTreeSet<NodeName>,
    /// The scheduler's address, once it has one.
    pub(super) scheduler_address: Option<String>,
    /// Set when the limit of hourly costs keeps nodes from being launched: what to say of it.
    pub(super) over_cost: Option<String>,
    /// Groups whose failures of this moment are counted already.
    failing: BTreeSet<GroupName>,
    next_tick: Option<Timestamp>,
}

impl<'a> Planner<'a> {
    fn new(situation: &'a Situation<'a>) -> Self {
        let cluster = situation.record.name();
        let own = situation.world.nodes.iter().filter(|node| node.id.cluster == *cluster);
        Self {
            situation,
            nodes: own.map(|node| (&node.id, node)).collect(),
            ending: BTreeSet::new(),
            drained: BTreeSet::new(),
            scheduler_address: None,
            over_cost: None,
            lacks_ranking: false,
            ledger: forgiving(situation.record),
            actions: Vec::new(),
            events: Vec::new(),
            failing: BTreeSet::new(),
            next_tick: None,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.situation.now
    }

    pub(super) fn spec(&self) -> &'a ClusterSpec {
        &self.situation.record.wanted.document.spec
    }

    /// Has the plan made again at `at`, if nothing causes that before.
    pub(super) fn wake_at(&mut self, at: Timestamp) {
        let at = at.max(later(self.now(), Duration::from_millis(10)));
        self.next_tick = Some(self.next_tick.map_or(at, |next| next.min(at)));
    }

    /// The same, so much later than now.
    pub(super) fn wake_in(&mut self, delay: Duration) {
        self.wake_at(later(self.now(), delay));
    }

    /// Whether `delay` has passed since `since`; if not, the plan is made again when it has.
    pub(super) fn passed(&mut self, since: Timestamp, delay: Duration) -> bool {
        let due = later(since, delay);
        let passed = due <= self.now();
        if !passed {
            self.wake_at(due);
        }
        passed
    }

    pub(super) fn event(
        &mut self,
        severity: Severity,
        kind: EventKind,
        node: Option<NodeName>,
        message: String,
    ) {
        self.events.push(Event { at: self.now(), severity, kind, node, message });
    }

    pub(super) fn node_id(&self, group: &GroupName, slot: Slot) -> Option<NodeId> {
        let cluster = self.situation.record.name();
        self.ledger.groups.get(group)?.node(cluster, group, slot)
    }

    /// The cluster's own nodes in the world, as the provider lists them.
    pub(super) fn own_nodes(&self) -> impl Iterator<Item = &'a ObservedNode> + use<'a> {
        let cluster = self.situation.record.name();
        self.situation.world.nodes.iter().filter(move |node| node.id.cluster == *cluster)
    }

    pub(super) fn observed(&self, id: &NodeId) -> Option<&'a ObservedNode> {
        self.nodes.get(id).copied()
    }

    /// Counts a failure of a group, those of one moment once.
    pub(super) fn count_failure(&mut self, group: &GroupName, node: Option<NodeName>, message: String) {
        let first = self.failing.insert(group.clone());
        let at = self.now();
        let failures = &mut self.ledger.groups.entry(group.clone()).or_default().failures;
        record_failure(failures, first, FailureNote { at, node, message });
    }

    /// Ends and forgets nodes, unless that is under way already. The first word on a node counts.
    pub(super) fn remove(&mut self, mut nodes: Vec<NodeName>, how: Stop) {
        let operations = self.situation.operations;
        nodes.retain(|node| !operations.removing.contains(node) && !self.ending.contains(node));
        nodes.retain(|node| {
            operations.removed.get(node).is_none_or(|ended| self.passed(*ended, REMOVE_AGAIN))
        });
        self.ending.extend(nodes.iter().cloned());
        let alike = self.actions.iter_mut().find_map(|action| match action {
            Action::Remove { nodes, how: other } if *other == how => Some(nodes),
            _ => None,
        });
        match alike {
            Some(others) => others.extend(nodes),
            None if nodes.is_empty() => {}
            None => self.actions.push(Action::Remove { nodes, how }),
        }
    }

    /// The cluster is kept as it is wanted, until it reaches one of its limits.
    fn keep_up(&mut self) -> Outcome {
        if let Some(reason) = self.ended_by_belt().or_else(|| self.end_due()) {
            return Outcome::Ends(reason);
        }
        self.note_sighting();
        self.converge();
        self.correct_expiry();
        self.announce_workers();
        Outcome::Continues
    }

    /// Everything goes; drains are not waited for. Done when the world shows nothing, and nothing
    /// can still appear.
    fn tear_down(&mut self, ending: &Ending) -> Outcome {
        let world = self.situation.world;
        let operations = self.situation.operations;
        if operations.is_launching() {
            self.note_launching();
        }
        if operations.removing_anchor || operations.is_making() {
            return Outcome::Continues;
        }
        // What does not show any more may have left something: whoever made it has to say that it is gone.
        if world.anchor != AnchorState::Absent || !world.nodes.is_empty() || !operations.anchor_gone {
            if operations.anchor_removed.is_none_or(|ended| self.passed(ended, REMOVE_AGAIN)) {
                self.actions.push(Action::RemoveAnchor);
            }
            return Outcome::Continues;
        }
        if operations.gone_for_good {
            return Outcome::Finished;
        }
        // What was asked for just before the end may not be visible yet, the anchor included.
        let entries = self.ledger.groups.values().flat_map(|group| group.slots.values());
        let launches = self.ledger.launches.values().map(|launch| launch.at);
        let anchored = match operations.anchor {
            AnchorCall::Made(at) => at,
            // Whoever was here before may have asked for it until the end was known.
            _ => ending.at,
        };
        let newest = entries.map(|entry| entry.since).chain(launches).fold(anchored, Timestamp::max);
        if self.passed(newest, self.situation.facts.visibility_delay) {
            Outcome::Finished
        } else {
            Outcome::Continues
        }
    }

    /// Notes that a creating call was still under way: what it makes becomes visible that much later.
    fn note_launching(&mut self) {
        let now = self.now();
        let cluster = self.situation.record.name();
        for launch in self.ledger.launches.values_mut() {
            launch.at = now;
        }
        for (name, group) in &mut self.ledger.groups {
            for (slot, entry) in &mut group.slots {
                let (group, slot, incarnation) = (name.clone(), *slot, entry.incarnation);
                let id = NodeId { cluster: cluster.clone(), group, slot, incarnation, instance: None };
                if self.situation.operations.launching.contains(&id.name()) {
                    entry.since = now;
                }
            }
        }
    }

    /// Whether the cluster has reached one of its own limits; announces the end before it comes.
    fn end_due(&mut self) -> Option<EndReason> {
        let wanted = &self.situation.record.wanted;
        let idle_since = match self.situation.engine {
            EngineView::Seen(status) => status.idle_since,
            EngineView::NotAsked | EngineView::Unreachable { .. } => None,
        };
        let limits = [
            self.cost_limit().map(|(since, limit)| (EndReason::MaxCost, since, limit)),
            self.spec().max_lifetime().map(|limit| (EndReason::MaxLifetime, wanted.created_at, limit)),
            self.spec().idle_timeout().zip(idle_since).map(|(limit, since)| (EndReason::Idle, since, limit)),
        ];
        let mut near = BTreeSet::new();
        for (reason, since, limit) in limits.into_iter().flatten() {
            if self.passed(since, limit) {
                self.event(
                    Severity::Warning,
                    EventKind::Deleting,
                    None,
                    format!("being torn down: {reason}"),
                );
                return Some(reason);
            }
            if self.passed(since, limit.saturating_sub(ANNOUNCE.min(limit / 10))) {
                near.insert(reason);
                if !self.ledger.ends_announced.contains(&reason) {
                    let at = later(since, limit).strftime("%Y-%m-%dT%H:%M:%SZ");
                    let message = match reason {
                        EndReason::MaxLifetime => {
                            format!("will be torn down at {at}: its maxLifetime ends then")
                        }
                        EndReason::MaxCost => {
                            format!(
                                "will be torn down at {at}: its maxCost is spent then, at its present size"
                            )
                        }
                        EndReason::Idle | EndReason::Deleted => {
                            let clients = self.idle_clients();
                            format!("will be torn down at {at}, if it stays idle until then{clients}")
                        }
                    };
                    self.event(Severity::Warning, EventKind::EndAnnounced, None, message);
                }
            }
        }
        self.ledger.ends_announced = near;
        None
    }

    /// Clients that are connected to an idle cluster, and do not keep it.
    fn idle_clients(&self) -> String {
        match self.situation.engine {
            EngineView::Seen(status) if status.clients > 0 => {
                let clients = count_of(status.clients.into(), "connected client");
                format!(" ({clients}; a client alone is no work)")
            }
            _ => String::new(),
        }
    }

    /// Says so when the last worker that was missing has registered.
    fn announce_workers(&mut self) {
        let before = self.complete(&self.situation.record.progress.ledger);
        let after = self.complete(&self.ledger);
        if let (None, Some(count)) = (before, after) {
            let message = match count {
                0 => return,
                1 => "the one worker is there".to_owned(),
                count => format!("all {count} workers are there"),
            };
            self.event(Severity::Normal, EventKind::WorkersReady, None, message);
        }
    }

    /// How many workers are registered, if none is missing and none is still to be rolled.
    fn complete(&self, ledger: &Ledger) -> Option<usize> {
        let mut all = 0;
        for (name, group) in self.spec().groups() {
            let slots = ledger.groups.get(&name).map(|group| &group.slots).into_iter().flatten();
            let live: Vec<_> = slots.map(|(_, entry)| entry).filter(|entry| entry.is_live()).collect();
            let target = desired(group, ledger.groups.get(&name)) as usize;
            let template = template_hash(self.spec(), &name);
            let settled = |entry: &&SlotEntry| entry.stage == Stage::Registered && entry.template == template;
            if live.len() < target || !live.iter().all(settled) {
                return None;
            }
            all += live.len();
        }
        Some(all)
    }

    fn finish(mut self, outcome: Outcome) -> Plan {
        let conditions = conditions::conditions(self.situation, &self.ledger, self.over_cost.as_deref());
        if matches!(outcome, Outcome::Continues) {
            self.events.extend(conditions::new_obstacles(self.situation, &conditions));
            self.events.extend(conditions::news(self.situation, &conditions));
        }
        Plan {
            conditions,
            ledger: self.ledger,
            actions: self.actions,
            events: self.events,
            next_tick: self.next_tick,
            outcome,
        }
    }
}

/// Adds a failure; `first` of its moment lengthens the row.
pub(super) fn record_failure(failures: &mut Failures, first: bool, note: FailureNote) {
    failures.streak = failures.streak.saturating_add(u32::from(first));
    failures.last = Some(note);
}
