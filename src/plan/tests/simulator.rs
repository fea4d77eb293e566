//! A pure world that carries plans out, in any order and with any luck, and checks every plan
//! against what must always hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::story::{Story, adaptive, fixed, node, worker};
use crate::{
    model::{
        AnchorState, Demand, ErrorKind, Exit, Ledger, NodeId, NodeName, NodeState, Observed, Slot, SlotEntry,
        Stage, TemplateHash, WorkerStatus,
    },
    plan::{
        Action, AnchorCall, DrainCall, EngineView, LaunchFailure, Operations, Outcome, Plan, desired,
        needs_ranking, plan, planner::later, template_hash,
    },
    spec::{GroupName, Size},
};

/// How a call of the controller comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Luck {
    Good,
    Refused,
    Broken,
    /// It has its effect, and the reply is lost.
    ReplyLost,
}

/// What can happen between two plans.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    Plan,
    Time(u16),
    CallEnds(usize, Luck),
    AllCallsEnd,
    EverythingStarts,
    NodeDies(usize, Option<i32>),
    EndingNodesGo,
    EngineAnswers,
    EngineFallsSilent,
    ControllerRestarts,
    Resize(u32),
    Adapt(u32, u32),
    Work(usize),
    ResizeOther(Option<u32>),
    Retemplate(u8),
    AnchorDies,
}

pub(super) struct Simulator {
    pub story: Story,
    calls: Vec<Action>,
    /// Every node that ever existed; a provider starts a name once.
    existed: BTreeSet<NodeName>,
    /// What each name was launched as.
    meaning: BTreeMap<NodeName, TemplateHash>,
    /// Names that some plan was shown.
    shown: BTreeSet<NodeName>,
    foreign: NodeName,
    /// Tasks that there are, each long enough for a worker of its own.
    tasks: usize,
}

impl Simulator {
    pub(super) fn new(workers: u32) -> Self {
        Self::from(workers, Ledger::default(), Observed::default())
    }

    pub(super) fn from(workers: u32, ledger: Ledger, world: Observed) -> Self {
        let mut story = Story::of(workers);
        story.record.progress.ledger = ledger;
        story.world = world;
        let mut foreign = node(&story.id("workers", 0, 0), &TemplateHash::new("foreign"));
        foreign.id.cluster = "other".parse().unwrap();
        let name = foreign.id.name();
        let existed = story.world.nodes.iter().map(|node| node.id.name()).collect();
        story.world.nodes.push(foreign);
        let (calls, meaning, shown) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Self { story, calls, existed, meaning, shown, foreign: name, tasks: 0 }
    }

    pub(super) fn happen(&mut self, what: &Happening) {
        match what {
            Happening::Plan => {
                self.plan();
            }
            Happening::Time(seconds) => {
                self.story.after(u64::from(*seconds));
            }
            Happening::CallEnds(which, luck) => {
                if !self.calls.is_empty() {
                    let call = self.calls.remove(which % self.calls.len());
                    self.call_ends(call, *luck);
                }
            }
            Happening::AllCallsEnd => self.all_calls_end(),
            Happening::EverythingStarts => self.everything_starts(),
            Happening::NodeDies(which, code) => self.node_dies(*which, *code),
            Happening::EndingNodesGo => {
                self.story.world.nodes.retain(|node| node.state != NodeState::Ending);
            }
            Happening::EngineAnswers => self.engine_answers(),
            Happening::EngineFallsSilent => {
                let message = "no answer".to_owned();
                self.story.engine = EngineView::Unreachable { since: self.story.now, message };
            }
            Happening::ControllerRestarts => {
                // Calls that were under way may have had their effect, or not.
                for (index, call) in std::mem::take(&mut self.calls).into_iter().enumerate() {
                    if index % 2 == 0 {
                        self.take_effect(&call);
                    }
                }
                self.story.restart();
            }
            Happening::Resize(replicas) => {
                let replicas = *replicas;
                self.story.edit(|spec| spec.workers = fixed(replicas));
            }
            Happening::Adapt(min, more) => {
                let (min, max) = (*min, min + more);
                self.story.edit(|spec| spec.workers = adaptive(min, max));
            }
            Happening::Work(tasks) => self.tasks = *tasks,
            Happening::ResizeOther(replicas) => {
                let replicas = *replicas;
                self.story.edit(|spec| {
                    let name: GroupName = "big".parse().unwrap();
                    match replicas {
                        Some(replicas) => spec.worker_groups.insert(name, fixed(replicas)),
                        None => spec.worker_groups.remove(&name),
                    };
                });
            }
            Happening::Retemplate(value) => {
                let value = value.to_string();
                self.story.edit(|spec| {
                    spec.env.insert("SETTING".to_owned(), value);
                });
            }
            Happening::AnchorDies => {
                self.story.world.anchor = AnchorState::Absent;
                self.story.world.nodes.retain(|node| node.id.name() == self.foreign);
                self.story.engine = EngineView::NotAsked;
            }
        }
    }

    /// From now on everything goes well. Returns how many plans it took until one had nothing to do,
    /// and nothing was on its way.
    pub(super) fn settle(&mut self) -> usize {
        // What was given up is tried again.
        self.story.edit(|_| {});
        for round in 0..200 {
            self.all_calls_end();
            self.happen(&Happening::EndingNodesGo);
            self.everything_starts();
            self.engine_answers();
            let ledger = self.story.record.progress.ledger.clone();
            let plan = self.plan();
            let quiet = plan.actions.is_empty() && plan.next_tick.is_none() && plan.ledger == ledger;
            if quiet && self.calls.is_empty() {
                self.assert_settled();
                return round;
            }
            self.story.after(20);
        }
        panic!("not settled after 200 plans: {:#?}", self.story.entries());
    }

    fn assert_settled(&self) {
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
            let live = self.live(&record.progress.ledger, &name);
            let wanted = desired(spec, record.progress.ledger.groups.get(&name)) as usize;
            assert_eq!(live, wanted, "size of {name}");
            if let Some(Size::Adaptive { min, max }) = spec.size() {
                // What the fixed group can do is not this one's.
                let others = record
                    .wanted
                    .document
                    .spec
                    .worker_groups
                    .values()
                    .filter_map(|group| group.replicas)
                    .sum::<u32>();
                let rest = u32::try_from(self.tasks).unwrap().saturating_sub(others);
                let needed = rest.clamp(min, max) as usize;
                assert_eq!(live, needed, "adaptive size of {name} for {} long tasks", self.tasks);
            }
        }
        let exists: BTreeSet<_> = self.story.world.nodes.iter().map(|node| node.id.name()).collect();
        assert_eq!(exists, expected, "what exists is what fills slots");
    }

    fn live(&self, ledger: &Ledger, group: &GroupName) -> usize {
        let slots = ledger.groups.get(group).map(|group| &group.slots).into_iter().flatten();
        slots.filter(|(_, entry)| entry.is_live()).count()
    }

    fn plan(&mut self) -> Plan {
        if needs_ranking(&self.story.situation()) {
            let ranking = self.story.status().workers.keys().cloned().collect();
            self.story.status().ranking = Some(ranking);
        }
        let plan = plan(&self.story.situation());
        self.shown.extend(self.story.world.nodes.iter().map(|node| node.id.name()));
        self.check(&plan);
        self.story.record.progress.ledger = plan.ledger.clone();
        self.story.record.progress.conditions.clone_from(&plan.conditions);
        let operations = &mut self.story.operations;
        operations.launch_failures.clear();
        if matches!(operations.anchor, AnchorCall::Failed(_)) {
            operations.anchor = AnchorCall::NotMade;
        }
        if let EngineView::Seen(status) = &mut self.story.engine {
            status.ranking = None;
        }
        let now = self.story.now;
        for action in &plan.actions {
            begin(&mut self.story.operations, action, now);
            self.calls.push(action.clone());
        }
        let draining: BTreeSet<NodeName> = self
            .story
            .entries()
            .into_iter()
            .filter(|(_, entry)| entry.is_draining())
            .map(|(id, _)| id.name())
            .collect();
        let drains = &mut self.story.operations.drains;
        drains.retain(|node, call| *call == DrainCall::InFlight || draining.contains(node));
        plan
    }

    /// What must hold of every plan.
    fn check(&mut self, plan: &Plan) {
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
                Action::EnsureAnchor | Action::RemoveAnchor => {}
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
            let before = self.live(&self.story.record.progress.ledger, &name);
            let after = self.live(&plan.ledger, &name);
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

    fn call_ends(&mut self, call: Action, luck: Luck) {
        if matches!(luck, Luck::Good | Luck::ReplyLost) {
            self.take_effect(&call);
        }
        let now = self.story.now;
        let failure = |node: Option<NodeName>| LaunchFailure {
            node,
            at: now,
            kind: if luck == Luck::Broken { ErrorKind::Invalid } else { ErrorKind::Transient },
            message: "bad luck".to_owned(),
        };
        let operations = &mut self.story.operations;
        match call {
            Action::EnsureAnchor => {
                operations.anchor = match luck {
                    Luck::Good => AnchorCall::Made(now),
                    _ => AnchorCall::Failed(failure(None)),
                };
            }
            Action::Launch { nodes, .. } => {
                for node in nodes {
                    let name = node.id.name();
                    operations.launching.remove(&name);
                    if luck != Luck::Good {
                        operations.launch_failures.push(failure(Some(name)));
                    }
                }
            }
            Action::Drain { nodes } => {
                for name in nodes {
                    let call = match luck {
                        Luck::Good => DrainCall::Retired(now),
                        Luck::Refused => DrainCall::Refused(now),
                        _ => DrainCall::Failed { at: now, message: "bad luck".to_owned() },
                    };
                    operations.drains.insert(name, call);
                }
            }
            Action::Remove { nodes, .. } => {
                for name in nodes {
                    operations.removing.remove(&name);
                    operations.removed.insert(name, now);
                }
            }
            Action::RemoveAnchor => unreachable!("nothing is deleted here"),
        }
    }

    fn take_effect(&mut self, call: &Action) {
        let world = &mut self.story.world;
        match call {
            Action::EnsureAnchor => world.anchor = AnchorState::Present,
            Action::Launch { nodes, .. } => {
                for planned in nodes {
                    if world.anchor == AnchorState::Present && self.existed.insert(planned.id.name()) {
                        let mut node = node(&planned.id, &planned.template);
                        (node.state, node.address) = (NodeState::Pending(None), None);
                        world.nodes.push(node);
                    }
                }
            }
            Action::Drain { nodes } => {
                let at = self.story.now;
                for node in world.nodes.iter_mut().filter(|node| nodes.contains(&node.id.name())) {
                    node.state = NodeState::Ended(Exit { at, code: Some(0), signal: None, reason: None });
                    if let EngineView::Seen(status) = &mut self.story.engine {
                        status.workers.remove(&node.id.name());
                    }
                }
            }
            Action::Remove { nodes, .. } => {
                for node in world.nodes.iter_mut().filter(|node| nodes.contains(&node.id.name())) {
                    node.state = NodeState::Ending;
                }
            }
            Action::RemoveAnchor => {}
        }
    }

    fn all_calls_end(&mut self) {
        for call in std::mem::take(&mut self.calls) {
            self.call_ends(call, Luck::Good);
        }
    }

    fn everything_starts(&mut self) {
        for node in &mut self.story.world.nodes {
            if matches!(node.state, NodeState::Pending(_)) {
                node.state = NodeState::Running;
                node.address = node.id.group.is_scheduler().then(|| "tls://scheduler:8786".to_owned());
            }
        }
    }

    fn node_dies(&mut self, which: usize, code: Option<i32>) {
        let at = self.story.now;
        let own = |node: &&mut crate::model::ObservedNode| node.id.cluster == *self.story.record.name();
        let count = self.story.world.nodes.len();
        let Some(node) = self.story.world.nodes.iter_mut().cycle_from(which % count.max(1)).find(own) else {
            return;
        };
        let signal = code.is_none().then_some(9);
        node.state = NodeState::Ended(Exit { at, code, signal, reason: None });
        if node.id.group.is_scheduler() {
            self.story.engine = EngineView::NotAsked;
        } else if let EngineView::Seen(status) = &mut self.story.engine {
            status.workers.remove(&node.id.name());
        }
    }

    /// The newest scheduler, if it runs, sees the workers that run.
    fn engine_answers(&mut self) {
        let schedulers = self.story.world.nodes.iter().filter(|node| node.id.group.is_scheduler());
        let newest = schedulers.max_by_key(|node| node.id.incarnation);
        if newest.is_none_or(|node| node.state != NodeState::Running) {
            self.story.engine = EngineView::NotAsked;
            return;
        }
        let own = self.story.record.name().clone();
        let nodes = self.story.world.nodes.iter();
        let workers = nodes.filter(|node| {
            node.id.cluster == own && !node.id.group.is_scheduler() && node.state == NodeState::Running
        });
        let busy = |(index, node): (usize, &crate::model::ObservedNode)| {
            let processing = u32::from(index < self.tasks);
            (node.id.name(), WorkerStatus { processing, ..worker() })
        };
        let mut workers: Vec<_> = workers.collect();
        workers.sort_by_key(|node| node.id.group == GroupName::workers());
        let workers: BTreeMap<_, _> = workers.into_iter().enumerate().map(busy).collect();
        let (all, served) = (self.tasks as u64, workers.is_empty());
        let (runnable, unrunnable) = if served { (0, all) } else { (all, 0) };
        let occupancy = Duration::from_secs(3600 * all);
        let demand = Demand { resources: BTreeMap::new(), runnable, unrunnable, occupancy };
        let status = self.story.status();
        status.workers = workers;
        status.demand = if all == 0 { Vec::new() } else { vec![demand] };
    }
}

/// All entries of a ledger, by the node that fills them.
fn entries(ledger: &Ledger, story: &Story) -> BTreeMap<NodeId, SlotEntry> {
    let slots = ledger.groups.iter().flat_map(|(name, group)| {
        let id = |slot: &Slot| group.node(story.record.name(), name, *slot);
        group.slots.iter().filter_map(move |(slot, entry)| Some((id(slot)?, entry.clone())))
    });
    slots.collect()
}

/// What the controller notes when it begins an action.
fn begin(operations: &mut Operations, action: &Action, now: jiff::Timestamp) {
    match action {
        Action::EnsureAnchor => operations.anchor = AnchorCall::InFlight,
        Action::Launch { nodes, .. } => {
            for node in nodes {
                operations.launching.insert(node.id.name());
                operations.asked.insert(node.id.name(), now);
            }
        }
        Action::Drain { nodes } => {
            operations.drains.extend(nodes.iter().map(|node| (node.clone(), DrainCall::InFlight)));
        }
        Action::Remove { nodes, .. } => operations.removing.extend(nodes.iter().cloned()),
        Action::RemoveAnchor => operations.removing_anchor = true,
    }
}

trait CycleFrom<'a, T> {
    /// All items, beginning at `index`.
    fn cycle_from(self, index: usize) -> Box<dyn Iterator<Item = &'a mut T> + 'a>;
}

impl<'a, T> CycleFrom<'a, T> for std::slice::IterMut<'a, T> {
    fn cycle_from(self, index: usize) -> Box<dyn Iterator<Item = &'a mut T> + 'a> {
        let (front, back) = self.into_slice().split_at_mut(index);
        Box::new(back.iter_mut().chain(front.iter_mut()))
    }
}

/// The clock at the end of a simulation cannot overflow.
const _: () = assert!(u16::MAX as u64 * 100 < u32::MAX as u64);

#[test]
fn the_simulator_notices_a_plan_that_removes_what_fills_a_slot() {
    let mut simulator = Simulator::new(1);
    simulator.settle();
    let mut bad = plan(&simulator.story.situation());
    let nodes = vec![simulator.story.name("workers-0-0")];
    bad.actions.push(Action::Remove { nodes, how: crate::model::Stop::Now });
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulator.check(&bad)));
    assert!(caught.is_err());
    assert!(later(simulator.story.now, Duration::ZERO) == simulator.story.now);
}
