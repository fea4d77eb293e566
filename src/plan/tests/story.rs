//! A cluster whose world a test moves by hand, plan by plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    model::{
        AnchorState, BootId, CallerContext, Choice, ClusterRecord, ClusterUid, ConditionKind,
        ConditionStatus, EngineStatus, ErrorKind, Exit, Incarnation, InstanceId, Launching, Machine,
        MachineId, Money, NodeId, NodeName, NodeState, Observed, ObservedNode, Presence, Progress,
        RECORD_FORMAT, RecordCopies, Severity, Slot, SlotEntry, Stage, Stop, Wanted, WayIn, WorkerState,
        WorkerStatus,
    },
    plan::{
        Action, AnchorCall, CopyCall, DrainCall, EngineView, EnvironmentMatch, ExpiryCall, Facts, LaunchCall,
        LaunchFailure, LaunchReply, MadeNodes, Operations, Outcome, Plan, PlannedLaunch, Situation,
        Surroundings, bind, phase, plan, planner::later,
    },
    spec::{ClusterSpec, ComputeCluster, GroupName, WorkerGroupSpec},
};

pub(super) struct Story {
    pub record: ClusterRecord,
    pub world: Observed,
    pub engine: EngineView,
    pub operations: Operations,
    pub facts: Facts,
    pub now: Timestamp,
    /// Launches whose call is under way.
    pub calls: Vec<PlannedLaunch>,
    /// How many instances were ever launched.
    pub launched: u32,
}

pub(super) fn group(name: &str) -> GroupName {
    name.parse().expect("a group name")
}

pub(super) fn fixed(replicas: u32) -> WorkerGroupSpec {
    WorkerGroupSpec { replicas: Some(replicas), ..WorkerGroupSpec::default() }
}

pub(super) fn adaptive(min: u32, max: u32) -> WorkerGroupSpec {
    WorkerGroupSpec { min: Some(min), max: Some(max), ..WorkerGroupSpec::default() }
}

/// A record of a cluster `demo` that was just asked for.
pub(super) fn record(workers: &WorkerGroupSpec) -> ClusterRecord {
    let document: ComputeCluster = serde_json::from_value(serde_json::json!({
        "apiVersion": "crewcall.dev/v1alpha1", "kind": "ComputeCluster",
        "metadata": {"name": "demo"}, "spec": {"provider": {"local": {}}, "workers": workers},
    }))
    .expect("a document");
    ClusterRecord {
        format: RECORD_FORMAT,
        revision: 1,
        wanted: Wanted {
            uid: ClusterUid::from_random(7),
            document,
            generation: 1,
            created_at: Timestamp::UNIX_EPOCH,
            presence: Presence::Present,
            machine: MachineId::new("machine"),
            boot: BootId::new("boot"),
            context: CallerContext::default(),
            interpreter: None,
            forced_generation: None,
            asked_at: None,
        },
        progress: Progress::default(),
    }
}

pub(super) fn facts() -> Facts {
    Facts {
        start_deadline: Duration::from_mins(1),
        visibility_delay: Duration::ZERO,
        surroundings: Surroundings::AtHand,
        obstruction: None,
        environment: EnvironmentMatch::Matched,
        certificates_until: None,
        idle_period: Duration::from_secs(30),
        launching: None,
        record_copies: RecordCopies::NotKept,
        way_in: WayIn::Open,
    }
}

/// Two choices for workers, one for the scheduler.
pub(super) fn launching() -> Launching {
    let choice = |label: &str, price| Choice { label: label.to_owned(), hourly: Some(Money(price)) };
    let on_demand = choice("on demand", 100_000);
    let choices = BTreeMap::from([
        (GroupName::scheduler(), vec![on_demand.clone()]),
        (GroupName::workers(), vec![choice("spot", 40_000), on_demand]),
    ]);
    let capacity_retry = Duration::from_mins(1);
    Launching { choices, largest: 1000, capacity_retry, max_cost: None, max_hourly_cost: None }
}

pub(super) fn node(id: &NodeId, template: &crate::model::TemplateHash) -> ObservedNode {
    ObservedNode {
        id: id.clone(),
        template: template.clone(),
        state: NodeState::Running,
        origin: crate::model::Origin::default(),
        address: id.group.is_scheduler().then(|| format!("tls://{id}:8786")),
        reach: None,
        dashboard: None,
        last_log: Vec::new(),
        machine: None,
    }
}

pub(super) fn worker() -> WorkerStatus {
    WorkerStatus {
        address: "tls://127.0.0.1:40000".to_owned(),
        state: WorkerState::Running,
        held_bytes: 1000,
        held_results: 2,
        processing: 0,
        actors: 0,
        memory_limit: Some(1_000_000),
    }
}

impl Story {
    /// A cluster that was just asked for, with so many workers.
    pub(super) fn of(workers: u32) -> Self {
        Self {
            record: record(&fixed(workers)),
            world: Observed::default(),
            engine: EngineView::NotAsked,
            operations: Operations::default(),
            facts: facts(),
            now: Timestamp::UNIX_EPOCH,
            calls: Vec::new(),
            launched: 0,
        }
    }

    /// One that was just asked for where nodes are launched in batches.
    pub(super) fn launching(workers: u32) -> Self {
        let mut story = Self::of(workers);
        story.facts.launching = Some(launching());
        story.facts.visibility_delay = Duration::from_secs(10);
        story
    }

    /// The world is looked at.
    pub(super) fn look(&mut self) {
        let world = std::mem::take(&mut self.world);
        self.world = bind(&self.record.progress.ledger, world);
    }

    /// A launch makes so many nodes; whoever made the call is told nothing.
    pub(super) fn make(&mut self, planned: &PlannedLaunch, count: u32) -> Vec<InstanceId> {
        let number = |n: u32| InstanceId::new(format!("i-{:04}", self.launched + n));
        let instances: Vec<InstanceId> = (0..count.min(planned.count)).map(number).collect();
        self.launched += count.min(planned.count);
        for instance in &instances {
            let name = self.record.name().clone();
            let id = NodeId::launched(name, planned.group.clone(), instance.clone());
            let choices = self.facts.launching.as_ref().unwrap().choices.get(&planned.group);
            let mut node = node(&id, &planned.template);
            node.machine = Some(Machine {
                launch: planned.launch.clone(),
                hourly: choices.and_then(|choices| choices.get(planned.choice as usize)?.hourly),
                taken_back_at: None,
                expires_at: planned.expires_at,
                steps: Vec::new(),
            });
            self.world.nodes.push(node);
        }
        instances
    }

    /// The oldest call that is under way is answered: it made so many.
    pub(super) fn answered(&mut self, count: u32) -> &mut Self {
        let planned = self.calls.remove(0);
        let instances = self.make(&planned, count);
        self.reply(&planned, Ok(MadeNodes { instances, shortfall: None }));
        self
    }

    /// The oldest call that is under way fails.
    pub(super) fn refused(&mut self, kind: ErrorKind, message: &str) -> &mut Self {
        let planned = self.calls.remove(0);
        let failure = LaunchFailure { node: None, at: self.now, kind, message: message.to_owned() };
        self.reply(&planned, Err(failure));
        self
    }

    pub(super) fn reply(&mut self, planned: &PlannedLaunch, result: Result<MadeNodes, LaunchFailure>) {
        let launch = planned.launch.clone();
        self.operations.batch_ended(LaunchReply { launch, result });
    }

    /// A cluster whose workers are all there.
    pub(super) fn running(workers: u32) -> Self {
        let mut story = Self::of(workers);
        story.settle();
        story
    }

    pub(super) fn spec(&mut self) -> &mut ClusterSpec {
        &mut self.record.wanted.document.spec
    }

    /// An edit of the document.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut ClusterSpec)) {
        change(self.spec());
        self.ask_anew();
    }

    /// What is wanted is asked for, once more or for the first time.
    pub(super) fn ask_anew(&mut self) {
        self.record.wanted.ask(self.now);
    }

    pub(super) fn situation(&self) -> Situation<'_> {
        Situation {
            record: &self.record,
            world: &self.world,
            engine: &self.engine,
            operations: &self.operations,
            facts: &self.facts,
            now: self.now,
        }
    }

    /// Plans, notes the ledger as the controller would, and tells what was planned.
    pub(super) fn plan(&mut self) -> String {
        self.look();
        let plan = plan(&self.situation());
        let told = self.tell(&plan);
        self.record.progress.ledger = plan.ledger;
        self.record.progress.conditions = plan.conditions;
        self.record.progress.observed_generation = self.record.wanted.generation;
        self.operations.launch_failures.clear();
        self.operations.launch_replies.clear();
        for action in plan.actions {
            match action {
                Action::EnsureAnchor => self.operations.anchor = AnchorCall::Made(self.now),
                Action::Launch { nodes, .. } => {
                    self.operations.asked.extend(nodes.into_iter().map(|node| (node.id.name(), self.now)));
                }
                Action::LaunchBatch(planned) => {
                    let call = LaunchCall::InFlight(self.now);
                    self.operations.launch_calls.insert(planned.launch.clone(), call);
                    self.calls.push(planned);
                }
                Action::SetExpiry { .. } => self.operations.expiry = Some(ExpiryCall::InFlight),
                Action::KeepCopy { .. } => self.operations.copy = CopyCall::InFlight,
                Action::Drain { nodes } => {
                    self.operations.drains.extend(nodes.into_iter().map(|node| (node, DrainCall::InFlight)));
                }
                Action::Remove { nodes, .. } => self.operations.removing.extend(nodes),
                Action::RemoveAnchor => self.operations.removing_anchor = true,
            }
        }
        told
    }

    fn tell(&self, plan: &Plan) -> String {
        let mut told = String::new();
        for action in &plan.actions {
            match action {
                Action::EnsureAnchor => told.push_str("make the anchor\n"),
                Action::Launch { nodes, scheduler, .. } => {
                    let names: Vec<_> = nodes.iter().map(|node| node.id.to_string()).collect();
                    let to = if scheduler.is_some() { "with a scheduler" } else { "alone" };
                    writeln!(told, "launch {}, {to}", names.join(" ")).unwrap();
                }
                Action::LaunchBatch(planned) => {
                    let PlannedLaunch { group, count, choice, .. } = planned;
                    writeln!(told, "launch {count} of {group}, choice {choice}").unwrap();
                }
                Action::SetExpiry { nodes, at } => {
                    let at = at.map_or_else(|| "never".to_owned(), |at| at.to_string());
                    writeln!(told, "let {} expire {at}", join(nodes)).unwrap();
                }
                Action::Drain { nodes } => writeln!(told, "drain {}", join(nodes)).unwrap(),
                Action::Remove { nodes, how: Stop::Now } => {
                    writeln!(told, "remove now {}", join(nodes)).unwrap();
                }
                Action::Remove { nodes, how: Stop::Gently(grace) } => {
                    writeln!(told, "remove within {grace:?} {}", join(nodes)).unwrap();
                }
                Action::KeepCopy { generation } => {
                    writeln!(told, "keep a copy of generation {generation}").unwrap();
                }
                Action::RemoveAnchor => told.push_str("remove the anchor\n"),
            }
        }
        for event in &plan.events {
            let mark = if event.severity == Severity::Warning { "!" } else { "" };
            writeln!(told, "{mark}{:?}: {}", event.kind, event.message).unwrap();
        }
        match plan.outcome {
            Outcome::Continues => {}
            Outcome::Ends(reason) => writeln!(told, "ends, because {reason}").unwrap(),
            Outcome::Finished => told.push_str("nothing is left\n"),
        }
        if let Some(at) = plan.next_tick {
            let seconds = at.duration_since(self.now).as_secs_f64();
            writeln!(told, "looks again in {seconds} s").unwrap();
        }
        if told.is_empty() { "nothing\n".to_owned() } else { told }
    }

    pub(super) fn phase(&self) -> String {
        phase(&self.record).to_string()
    }

    /// The reason of a condition that holds (or not), and its message.
    pub(super) fn condition(&self, kind: ConditionKind) -> String {
        let found = self.record.progress.conditions.iter().find(|condition| condition.kind == kind);
        let condition = found.expect("every kind has a condition");
        let holds = match condition.status {
            ConditionStatus::True => "yes",
            ConditionStatus::False => "no",
            ConditionStatus::Unknown => "unknown",
        };
        format!("{holds}, {}: {}", condition.reason, condition.message)
    }

    pub(super) fn after(&mut self, seconds: u64) -> &mut Self {
        self.now = later(self.now, Duration::from_secs(seconds));
        self
    }

    pub(super) fn id(&self, group_name: &str, slot: u32, incarnation: u32) -> NodeId {
        let (slot, incarnation) = (Slot(slot), Incarnation(incarnation));
        NodeId {
            cluster: self.record.name().clone(),
            group: group(group_name),
            slot,
            incarnation,
            instance: None,
        }
    }

    /// `workers-2-0` of the cluster.
    pub(super) fn name(&self, short: &str) -> NodeName {
        NodeName::new(format!("{}-{short}", self.record.name()))
    }

    /// The anchor and whatever was asked for exist and run.
    pub(super) fn all_start(&mut self) -> &mut Self {
        self.world.anchor = AnchorState::Present;
        let there: BTreeSet<NodeId> = self.world.nodes.iter().map(|node| node.id.clone()).collect();
        for (id, entry) in self.entries() {
            if entry.stage == Stage::Intended && !there.contains(&id) {
                self.world.nodes.push(node(&id, &entry.template));
            }
        }
        self
    }

    /// The scheduler answers, and sees every worker that runs.
    pub(super) fn all_register(&mut self) -> &mut Self {
        let mut status = self.status().clone();
        for node in &self.world.nodes {
            if !node.id.group.is_scheduler() && node.state == NodeState::Running {
                status.workers.entry(node.id.name()).or_insert_with(worker);
            }
        }
        self.engine = EngineView::Seen(status);
        self
    }

    /// What the scheduler says; it answers from now on.
    pub(super) fn status(&mut self) -> &mut EngineStatus {
        if !matches!(self.engine, EngineView::Seen(_)) {
            self.engine = EngineView::Seen(EngineStatus::default());
        }
        match &mut self.engine {
            EngineView::Seen(status) => status,
            _ => unreachable!("set above"),
        }
    }

    /// Starts and registers whatever is asked for until nothing more is.
    pub(super) fn settle(&mut self) {
        for _ in 0..5 {
            self.plan();
            self.all_start();
            self.all_register();
        }
        self.status().ranking = None;
        self.plan();
    }

    /// The scheduler ranks workers, the first to go first.
    pub(super) fn rank(&mut self, short: &[&str]) {
        let names = short.iter().map(|short| self.name(short)).collect();
        self.status().ranking = Some(names);
    }

    pub(super) fn node_mut(&mut self, short: &str) -> &mut ObservedNode {
        let name = self.name(short);
        self.world.nodes.iter_mut().find(|node| node.id.name() == name).expect("such a node")
    }

    /// A node ends; its scheduler no longer sees it.
    pub(super) fn ends(&mut self, short: &str, code: Option<i32>) -> &mut Self {
        let at = self.now;
        let signal = if code.is_none() { Some(9) } else { None };
        self.node_mut(short).state = NodeState::Ended(Exit { at, code, signal, reason: None });
        let name = self.name(short);
        if let EngineView::Seen(status) = &mut self.engine {
            status.workers.remove(&name);
        }
        if short.starts_with("scheduler") {
            self.engine = EngineView::NotAsked;
        }
        self
    }

    /// Removals that were asked for are done.
    pub(super) fn removals_end(&mut self) -> &mut Self {
        let removing = std::mem::take(&mut self.operations.removing);
        self.world.nodes.retain(|node| !removing.contains(&node.id.name()));
        if let EngineView::Seen(status) = &mut self.engine {
            status.workers.retain(|name, _| !removing.contains(name));
        }
        self
    }

    pub(super) fn drained(&mut self, short: &str, call: DrainCall) {
        let name = self.name(short);
        self.operations.drains.insert(name, call);
    }

    pub(super) fn launch_fails(&mut self, short: &str, kind: ErrorKind, message: &str) {
        let failure =
            LaunchFailure { node: Some(self.name(short)), at: self.now, kind, message: message.to_owned() };
        self.operations.launch_failures.push(failure);
    }

    /// Another controller takes over: what this one had begun is forgotten.
    pub(super) fn restart(&mut self) -> &mut Self {
        self.calls.clear();
        self.operations = Operations::default();
        self.engine = EngineView::NotAsked;
        self
    }

    pub(super) fn entries(&self) -> BTreeMap<NodeId, SlotEntry> {
        let groups = self.record.progress.ledger.groups.iter();
        let slots = groups.flat_map(|(name, group)| {
            let slots = group.slots.iter();
            slots.filter_map(|(slot, entry)| {
                Some((group.node(self.record.name(), name, *slot)?, entry.clone()))
            })
        });
        slots.collect()
    }
}

fn join(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" ")
}
