//! The nodes of the world, and what becomes of them as time passes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    model::{
        AnchorState, Departure, Exit, Machine, NodeId, NodeName, NodeState, ObservedNode, Stop, TemplateHash,
    },
    spec::ClusterName,
};

use super::world::{Habits, after};

/// One cluster of the world.
#[derive(Debug)]
pub(super) struct Place {
    pub name: ClusterName,
    pub anchor: Anchor,
    pub nodes: BTreeMap<NodeName, Node>,
    /// Every name that was ever started.
    pub started: BTreeSet<NodeName>,
    /// Who holds each result.
    pub results: BTreeMap<u64, NodeName>,
    /// Results that went with their worker while their scheduler lived.
    pub lost: u64,
    /// Results that went with their scheduler.
    pub lost_with_scheduler: u64,
    /// Departures of workers, with the sequence number from which on they are known.
    pub departures: Vec<(u64, Departure)>,
    /// Rises with everything that the scheduler would tell.
    pub sequence: u64,
}

/// How far an anchor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Absent,
    Present { made: Timestamp, visible: Timestamp },
    Ending { gone: Timestamp },
}

/// One node of the world.
#[derive(Debug)]
pub(super) struct Node {
    pub id: NodeId,
    pub template: TemplateHash,
    pub visible: Timestamp,
    pub runs: Timestamp,
    pub registers: Timestamp,
    pub registered: bool,
    pub end: Option<End>,
    pub retiring: Option<Timestamp>,
    /// Told to go: forgotten once it has ended.
    pub removed: bool,
    /// More about it, where it was launched in a batch.
    pub machine: Option<Machine>,
}

/// How a node will end, or has ended.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub at: Timestamp,
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl Node {
    pub fn new(id: NodeId, template: TemplateHash, now: Timestamp, habits: &Habits) -> Self {
        let runs = after(now, habits.start);
        Self {
            id,
            template,
            visible: after(now, habits.visibility),
            runs,
            registers: after(runs, habits.registration),
            registered: false,
            end: None,
            retiring: None,
            removed: false,
            machine: None,
        }
    }

    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.end.as_ref().is_some_and(|end| end.at <= now)
    }

    pub fn runs(&self, now: Timestamp) -> bool {
        self.runs <= now && !self.has_ended(now)
    }

    /// Whether nobody has told it to end.
    pub fn is_alive(&self) -> bool {
        self.end.is_none() && !self.removed
    }

    pub fn address(&self) -> String {
        format!("tls://{}:8786", self.id)
    }

    pub fn observed(&self, now: Timestamp) -> ObservedNode {
        let state = match &self.end {
            Some(end) if end.at <= now => {
                NodeState::Ended(Exit { at: end.at, code: end.code, signal: end.signal, reason: None })
            }
            _ if !self.is_alive() => NodeState::Ending,
            _ if self.runs <= now => NodeState::Running,
            _ => NodeState::Pending(None),
        };
        // The address of a machine is known before anything listens there.
        let known =
            state == NodeState::Running || self.machine.is_some() && matches!(state, NodeState::Pending(_));
        let endpoint = self.id.group.is_scheduler() && known;
        ObservedNode {
            id: self.id.clone(),
            template: self.template.clone(),
            state,
            origin: crate::model::Origin::default(),
            address: endpoint.then(|| self.address()),
            reach: None,
            dashboard: None,
            last_log: Vec::new(),
            machine: self.machine.clone(),
        }
    }

    /// When its provider ends it, if it has said so.
    fn taken_back_at(&self) -> Option<Timestamp> {
        self.machine.as_ref().and_then(|machine| machine.taken_back_at)
    }

    fn due(&self) -> impl Iterator<Item = Timestamp> {
        let end = self.end.as_ref().map(|end| end.at);
        let times = [Some(self.visible), Some(self.runs), Some(self.registers), self.retiring, end];
        times.into_iter().chain([self.taken_back_at()]).flatten()
    }
}

impl Place {
    pub fn new(name: ClusterName) -> Self {
        Self {
            name,
            anchor: Anchor::Absent,
            nodes: BTreeMap::new(),
            started: BTreeSet::new(),
            results: BTreeMap::new(),
            lost: 0,
            lost_with_scheduler: 0,
            departures: Vec::new(),
            sequence: 1,
        }
    }

    pub fn anchor_state(&self, now: Timestamp) -> AnchorState {
        match self.anchor {
            Anchor::Present { visible, .. } if visible <= now => AnchorState::Present,
            Anchor::Present { .. } | Anchor::Absent => AnchorState::Absent,
            Anchor::Ending { .. } => AnchorState::Ending,
        }
    }

    /// When the next thing happens by itself.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let anchor = match self.anchor {
            Anchor::Present { visible, .. } => Some(visible),
            Anchor::Ending { gone } => Some(gone),
            Anchor::Absent => None,
        };
        self.nodes.values().flat_map(Node::due).chain(anchor).filter(|due| *due > now).min()
    }

    /// The scheduler that workers talk to: the newest that runs.
    pub fn scheduler(&self, now: Timestamp) -> Option<&Node> {
        let schedulers = self.nodes.values().filter(|node| node.id.group.is_scheduler() && node.runs(now));
        schedulers.max_by_key(|node| (node.id.incarnation, node.runs))
    }

    /// Has everything happen that is due.
    pub fn advance(&mut self, now: Timestamp, habits: &Habits) {
        self.end_retirements(now, habits);
        for node in self.nodes.values_mut() {
            if let Some(at) = node.taken_back_at().filter(|at| *at <= now) {
                node.end.get_or_insert(End { at, code: None, signal: Some(9) });
            }
        }
        self.end_nodes(now);
        self.register(now);
        self.nodes.retain(|_, node| !(node.removed && node.has_ended(now)));
        if let Anchor::Ending { gone } = self.anchor
            && gone <= now
        {
            self.lose_all();
            self.nodes.clear();
            self.anchor = Anchor::Absent;
        }
    }

    fn register(&mut self, now: Timestamp) {
        if self.scheduler(now).is_none() {
            return;
        }
        let waiting = |node: &&mut Node| {
            !node.registered && !node.id.group.is_scheduler() && node.registers <= now && node.runs(now)
        };
        for node in self.nodes.values_mut().filter(waiting) {
            node.registered = true;
            self.sequence += 1;
        }
    }

    /// Workers that take over what others hold.
    pub fn recipients(&self, now: Timestamp) -> BTreeSet<NodeName> {
        let able = self.nodes.iter().filter(|(_, node)| {
            node.registered && node.runs(now) && node.retiring.is_none() && node.is_alive()
        });
        able.map(|(name, _)| name.clone()).collect()
    }

    pub fn held(&self, worker: &NodeName) -> Vec<u64> {
        self.results.iter().filter(|(_, holder)| *holder == worker).map(|(result, _)| *result).collect()
    }

    /// Workers whose data had the time to move: it has moved, and they end, unless nobody is left who
    /// could take it.
    fn end_retirements(&mut self, now: Timestamp, habits: &Habits) {
        let done: Vec<NodeName> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.retiring.is_some_and(|at| at <= now) && !node.has_ended(now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in done {
            let recipients = self.recipients(now);
            let held = self.held(&name);
            let Some(node) = self.nodes.get_mut(&name) else { continue };
            node.retiring = None;
            self.sequence += 1;
            if recipients.is_empty() && !held.is_empty() {
                continue;
            }
            node.registered = false;
            node.registers = Timestamp::MAX;
            node.end.get_or_insert(End { at: after(now, habits.stop), code: Some(0), signal: None });
            for (result, recipient) in held.into_iter().zip(recipients.iter().cycle()) {
                self.results.insert(result, recipient.clone());
            }
        }
    }

    fn end_nodes(&mut self, now: Timestamp) {
        let lives = self.scheduler(now).is_some();
        if !lives && self.nodes.values().any(|node| node.registered) {
            self.lose_all();
        }
        let ended: Vec<NodeName> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.registered && node.has_ended(now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in ended {
            let held = self.held(&name);
            for result in &held {
                self.results.remove(result);
            }
            if let Some(node) = self.nodes.get_mut(&name) {
                node.registered = false;
            }
            self.sequence += 1;
            self.lost += held.len() as u64;
            let departure = Departure {
                worker: name,
                at: now,
                expected: Some(false),
                lost_computed: held.len() as u64,
                lost_scattered: 0,
            };
            self.departures.push((self.sequence, departure));
        }
    }

    /// The scheduler is gone, and with it whatever it knew.
    fn lose_all(&mut self) {
        self.lost_with_scheduler += self.results.len() as u64;
        self.results.clear();
        self.sequence += 1;
        for node in self.nodes.values_mut() {
            node.registered = false;
        }
    }

    pub fn remove(&mut self, name: &NodeName, how: Stop, now: Timestamp, habits: &Habits) {
        let held = self.held(name);
        let Some(node) = self.nodes.get_mut(name) else { return };
        node.removed = true;
        let stops = after(now, habits.stop);
        let (signal, code) = match how {
            Stop::Now => (Some(9), None),
            Stop::Gently(_) => (None, Some(0)),
        };
        let end = node.end.get_or_insert(End { at: stops, code, signal });
        if how == Stop::Now {
            end.at = end.at.min(stops);
            return;
        }
        // A worker that is told to stop retires by itself first.
        node.retiring = None;
        let recipients: Vec<NodeName> =
            self.recipients(now).into_iter().filter(|other| other != name).collect();
        for (result, recipient) in held.into_iter().zip(recipients.iter().cycle()) {
            self.results.insert(result, recipient.clone());
        }
    }
}
