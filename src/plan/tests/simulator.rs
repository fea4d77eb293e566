//! A pure world that carries plans out, in any order and with any luck, and checks every plan
//! against what must always hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::story::{Story, adaptive, fixed, node, worker};
use crate::{
    model::{
        AnchorState, Demand, ErrorKind, Exit, InstanceId, LaunchId, Ledger, NodeName, NodeState, Observed,
        Slot, TemplateHash, WorkerStatus,
    },
    plan::{
        Action, DrainCall, EngineView, LaunchFailure, MadeNodes, Plan, PlannedLaunch, needs_ranking, plan,
    },
    spec::GroupName,
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
    pub existed: BTreeSet<NodeName>,
    /// What each name was launched as.
    pub meaning: BTreeMap<NodeName, TemplateHash>,
    /// Names that some plan was shown.
    pub shown: BTreeSet<NodeName>,
    pub foreign: NodeName,
    /// What each launch was asked for as, and what it has made.
    pub batches: BTreeMap<LaunchId, (PlannedLaunch, Vec<InstanceId>)>,
    /// Tasks that there are, each long enough for a worker of its own.
    pub tasks: usize,
}

impl Simulator {
    pub(super) fn new(workers: u32) -> Self {
        Self::from(workers, Ledger::default(), Observed::default())
    }

    /// The same where nodes are launched in batches.
    pub(super) fn launching(workers: u32) -> Self {
        let mut simulator = Self::new(workers);
        let Story { facts, .. } = Story::launching(workers);
        simulator.story.facts = facts;
        simulator
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
        Self { story, calls, existed, meaning, shown, foreign: name, batches: BTreeMap::new(), tasks: 0 }
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

    fn plan(&mut self) -> Plan {
        self.story.look();
        if needs_ranking(&self.story.situation()) {
            let ranking = self.story.status().workers.keys().cloned().collect();
            self.story.status().ranking = Some(ranking);
        }
        let plan = plan(&self.story.situation());
        self.shown.extend(self.story.world.nodes.iter().map(|node| node.id.name()));
        self.check(&plan);
        self.story.record.progress.ledger = plan.ledger.clone();
        self.story.record.progress.conditions.clone_from(&plan.conditions);
        let name = self.story.record.name().clone();
        self.story.operations.settle(&plan.ledger, &self.story.world, &name);
        if let EngineView::Seen(status) = &mut self.story.engine {
            status.ranking = None;
        }
        let now = self.story.now;
        for action in &plan.actions {
            self.story.operations.begin(action, now);
            self.calls.push(action.clone());
        }
        plan
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
                let result = if luck == Luck::Good { Ok(()) } else { Err(failure(None)) };
                operations.anchor_ended(result, now);
            }
            Action::Launch { nodes, .. } => {
                let names: Vec<_> = nodes.iter().map(|node| node.id.name()).collect();
                let failed = if luck == Luck::Good { &[] } else { names.as_slice() };
                operations.launch_ended(&names, failed.iter().cloned().map(Some).map(failure));
            }
            Action::Drain { nodes } => {
                let call = match luck {
                    Luck::Good => DrainCall::Retired(now),
                    Luck::Refused => DrainCall::Refused(now),
                    _ => DrainCall::Failed { at: now, message: "bad luck".to_owned() },
                };
                operations.drain_ended(nodes.into_iter().map(|node| (node, call.clone())));
            }
            Action::LaunchBatch(planned) => {
                let made = self.batches.get(&planned.launch).map(|(_, instances)| instances.clone());
                let made = made.map(|instances| MadeNodes { instances, shortfall: None });
                let kind = match luck {
                    Luck::Refused => ErrorKind::Capacity,
                    Luck::Broken => ErrorKind::Invalid,
                    Luck::Good | Luck::ReplyLost => ErrorKind::Transient,
                };
                let result = made
                    .filter(|_| luck != Luck::ReplyLost)
                    .ok_or_else(|| LaunchFailure { kind, ..failure(None) });
                self.story.reply(&planned, result);
            }
            Action::SetExpiry { at, .. } => operations.expiry_ended(at, now),
            Action::KeepCopy { generation } => operations.copy_ended(generation, true, now),
            Action::Remove { nodes, .. } => operations.removal_ended(nodes, now),
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
            Action::LaunchBatch(planned) => {
                // The same token is the same call; every third launch finds room for half of it.
                let anchored = world.anchor == AnchorState::Present;
                if anchored && !self.batches.contains_key(&planned.launch) {
                    let count =
                        if self.batches.len() % 3 == 2 { planned.count.div_ceil(2) } else { planned.count };
                    let from = world.nodes.len();
                    let made = self.story.make(planned, count);
                    for node in &mut self.story.world.nodes[from..] {
                        (node.state, node.address) = (NodeState::Pending(None), None);
                        assert!(self.existed.insert(node.id.name()));
                    }
                    self.batches.insert(planned.launch.clone(), (planned.clone(), made));
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
            Action::RemoveAnchor | Action::SetExpiry { .. } | Action::KeepCopy { .. } => {}
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
        self.story.look();
        let schedulers = self.story.world.nodes.iter();
        let schedulers = schedulers.filter(|node| node.id.group.is_scheduler() && node.id.slot != Slot::NONE);
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
