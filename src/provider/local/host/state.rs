//! What a host knows of its nodes, and what follows from each thing that happens to them. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::super::os::ProcessId;
use super::{
    node::{Admission, Deed, End, Node, Order, Phase},
    protocol::{HostNode, HowToStop},
};
use crate::model::NodeName;

/// What a node may take beyond its grace before it is ended: the worker ends itself at the grace.
const GRACE_MARGIN: Duration = Duration::from_secs(5);

/// Ends of processes nobody knows (yet) that are remembered: a node may end before its `forked` is read.
const UNCLAIMED_ENDS: usize = 256;

/// The nodes of a host.
#[derive(Default)]
pub struct Nodes {
    by_name: BTreeMap<NodeName, Node>,
    /// Every name ever started; never shrinks, so that a repeated launch is known as such.
    started: BTreeSet<NodeName>,
    queue: VecDeque<(NodeName, Vec<u8>)>,
    unclaimed: VecDeque<(i32, End)>,
    revision: u64,
}

impl Nodes {
    /// Rises with everything that [`Nodes::observe`] would show.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether any process of a node runs, or will.
    pub fn any_alive(&self) -> bool {
        self.by_name.values().any(|node| !node.has_ended())
    }

    /// Whether a node's process runs, or will.
    pub fn is_alive(&self, name: &NodeName) -> bool {
        self.by_name.get(name).is_some_and(|node| !node.has_ended())
    }

    /// Whether this name was ever started.
    pub fn knows(&self, name: &NodeName) -> bool {
        self.started.contains(name)
    }

    pub(super) fn get(&self, name: &NodeName) -> Option<&Node> {
        self.by_name.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &NodeName) -> Option<&mut Node> {
        self.by_name.get_mut(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&NodeName, &Node)> {
        self.by_name.iter()
    }

    /// Forgets a node that has ended: its successor was taken in.
    pub fn forget(&mut self, name: &NodeName) {
        self.by_name.remove(name);
        self.revision += 1;
    }

    /// Takes a node in, to be started as soon as there is a fork server. A name that was ever known is
    /// left as it is.
    pub fn admit(&mut self, admission: Admission) {
        let Admission { launch, origin, command } = admission;
        let name = launch.id.name();
        if !self.started.insert(name.clone()) {
            return;
        }
        self.by_name.insert(name.clone(), Node::new(launch, origin));
        self.queue.push_back((name, command));
        self.revision += 1;
    }

    /// The next node to be started, now in the hands of the fork server of this generation.
    pub fn next_to_send(&mut self, generation: u32) -> Option<Vec<u8>> {
        while let Some((name, command)) = self.queue.pop_front() {
            if let Some(node) = self.by_name.get_mut(&name) {
                node.phase = Phase::Sent(generation);
                return Some(command);
            }
        }
        None
    }

    /// Everything in the queue ends before it was started.
    pub fn fail_queue(&mut self, reason: &str, at: Timestamp) {
        for (name, _) in std::mem::take(&mut self.queue) {
            self.fail_unstarted(&name, reason, at);
        }
    }

    /// The fork server of this generation is gone; what it was told and did not do is not done.
    pub fn fork_server_lost(&mut self, generation: u32, reason: &str, at: Timestamp) {
        let lost: Vec<NodeName> = self
            .by_name
            .iter()
            .filter(|(_, node)| matches!(node.phase, Phase::Sent(sent) if sent == generation))
            .map(|(name, _)| name.clone())
            .collect();
        for name in lost {
            self.fail_unstarted(&name, reason, at);
        }
    }

    /// A node that never had a process ends.
    pub fn fail_unstarted(&mut self, name: &NodeName, reason: &str, at: Timestamp) {
        let Some(node) = self.by_name.get_mut(name) else { return };
        if !matches!(node.phase, Phase::Queued | Phase::Sent(_)) {
            return;
        }
        node.failure = Some(reason.to_owned());
        node.phase = Phase::Ended(End { at, code: None, signal: None });
        self.revision += 1;
        self.forget_ended(name);
    }

    /// A node has a process.
    pub fn forked(&mut self, name: &NodeName, process: ProcessId, alive: bool) -> Option<Deed> {
        let end = self.take_unclaimed(process.pid);
        let Some(node) = self.by_name.get_mut(name) else {
            // Removed, or given up with its fork server, while it was being forked.
            return Some(Deed::Kill(process));
        };
        if node.has_ended() {
            return Some(Deed::Kill(process));
        }
        self.revision += 1;
        node.phase = match end {
            // The pid of something that ended earlier may be this node's by now.
            Some(end) if !alive => Phase::Ended(end),
            _ => Phase::Running(process),
        };
        if node.has_ended() {
            self.forget_ended(name);
            return None;
        }
        node.ordered.map(|_| Deed::Kill(process))
    }

    /// A node listens.
    pub fn listening(&mut self, name: &NodeName, address: String, dashboard_port: Option<u16>) {
        if let Some(node) = self.by_name.get_mut(name) {
            node.address = Some(address);
            node.dashboard_port = dashboard_port.or(node.dashboard_port);
            self.revision += 1;
        }
    }

    /// A node will have no dashboard.
    pub fn without_dashboard(&mut self, name: &NodeName) {
        if let Some(node) = self.by_name.get_mut(name) {
            node.dashboard_port = None;
            self.revision += 1;
        }
    }

    /// A node said why it cannot start.
    pub fn failed(&mut self, name: &NodeName, reason: String) {
        if let Some(node) = self.by_name.get_mut(name) {
            node.failure = Some(reason);
            self.revision += 1;
        }
    }

    /// Processes of nodes, by name.
    pub fn running(&self) -> impl Iterator<Item = (&NodeName, ProcessId)> {
        self.by_name.iter().filter_map(|(name, node)| Some((name, node.process()?)))
    }

    /// Names of all nodes that are shown.
    pub fn names(&self) -> impl Iterator<Item = &NodeName> {
        self.by_name.keys()
    }

    /// A process has ended. Returns its node, if it was one.
    pub fn ended(&mut self, pid: i32, end: End) -> Option<NodeName> {
        let name = self.running().find(|(_, process)| process.pid == pid).map(|(name, _)| name.clone());
        let Some(name) = name else {
            if self.unclaimed.len() == UNCLAIMED_ENDS {
                self.unclaimed.pop_front();
            }
            self.unclaimed.push_back((pid, end));
            return None;
        };
        if let Some(node) = self.by_name.get_mut(&name) {
            node.phase = Phase::Ended(end);
            self.revision += 1;
        }
        self.forget_ended(&name);
        Some(name)
    }

    /// The last lines of the log of a node that has ended.
    pub fn set_last_log(&mut self, name: &NodeName, lines: Vec<String>) {
        if let Some(node) = self.by_name.get_mut(name) {
            node.last_log = lines;
            self.revision += 1;
        }
    }

    /// Somebody ordered the end of a node.
    pub fn remove(&mut self, name: &NodeName, how: HowToStop, now: Instant) -> Option<Deed> {
        let node = self.by_name.get_mut(name)?;
        self.revision += 1;
        match node.phase {
            Phase::Queued | Phase::Ended(_) => {
                self.by_name.remove(name);
                None
            }
            Phase::Sent(_) => {
                node.ordered = Some(Order::Killed);
                None
            }
            Phase::Running(process) => match (how, node.ordered) {
                // A repeated order neither asks twice nor gives more time.
                (_, Some(Order::Killed)) | (HowToStop::Gently { .. }, Some(Order::Until(_))) => None,
                (HowToStop::Now, _) => {
                    node.ordered = Some(Order::Killed);
                    Some(Deed::Kill(process))
                }
                (HowToStop::Gently { grace }, None) => {
                    let until = now.checked_add(grace.saturating_add(GRACE_MARGIN)).unwrap_or(now);
                    node.ordered = Some(Order::Until(until));
                    Some(Deed::Terminate(process))
                }
            },
        }
    }

    /// Nodes whose time to end by themselves is over.
    pub fn overdue(&mut self, now: Instant) -> Vec<Deed> {
        let mut deeds = Vec::new();
        for node in self.by_name.values_mut() {
            if let (Phase::Running(process), Some(Order::Until(until))) = (node.phase, node.ordered)
                && until <= now
            {
                node.ordered = Some(Order::Killed);
                deeds.push(Deed::Kill(process));
            }
        }
        deeds
    }

    /// When [`Nodes::overdue`] has something next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.by_name
            .values()
            .filter_map(|node| match (node.phase, node.ordered) {
                (Phase::Running(_), Some(Order::Until(until))) => Some(until),
                _ => None,
            })
            .min()
    }

    /// Everything, as `observe` shows it.
    pub fn observe(&self, waiting_for: &str) -> Vec<HostNode> {
        self.by_name.values().map(|node| node.show(waiting_for)).collect()
    }

    /// A node whose end was ordered is not shown once it has ended.
    fn forget_ended(&mut self, name: &NodeName) {
        if self.by_name.get(name).is_some_and(|node| node.ordered.is_some()) {
            self.by_name.remove(name);
        }
    }

    fn take_unclaimed(&mut self, pid: i32) -> Option<End> {
        let place = self.unclaimed.iter().position(|(unclaimed, _)| *unclaimed == pid)?;
        self.unclaimed.remove(place).map(|(_, end)| end)
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
