//! What a host knows of its nodes, and what follows from each thing that happens to them. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::super::os::ProcessId;
use super::protocol::{HostNode, HostNodeState, HowToStop};
use crate::model::{NodeId, NodeName, TemplateHash};

/// What a node may take beyond its grace before it is ended: the worker ends itself at the grace.
const GRACE_MARGIN: Duration = Duration::from_secs(5);

/// Ends of processes nobody knows (yet) that are remembered: a node may end before its `forked` is read.
const UNCLAIMED_ENDS: usize = 256;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal.
    pub signal: Option<i32>,
}

/// A node that is to be started.
pub struct Admission {
    /// Who it is.
    pub id: NodeId,
    /// What it is made from.
    pub template: TemplateHash,
    /// What the fork server is told, one line.
    pub command: Vec<u8>,
}

/// What is to be done to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Ask the node to end.
    Terminate(ProcessId),
    /// End the node and all of its process group.
    Kill(ProcessId),
}

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

struct Node {
    id: NodeId,
    template: TemplateHash,
    phase: Phase,
    /// Set once somebody ordered the node's end.
    ordered: Option<Order>,
    address: Option<String>,
    dashboard_port: Option<u16>,
    failure: Option<String>,
    last_log: Vec<String>,
}

#[derive(Clone, Copy)]
enum Phase {
    /// In the queue.
    Queued,
    /// The fork server of this generation was told.
    Sent(u32),
    Running(ProcessId),
    Ended(End),
}

#[derive(Clone, Copy)]
enum Order {
    /// It has until then.
    Until(Instant),
    /// It was killed.
    Killed,
}

impl Nodes {
    /// Rises with everything that [`Nodes::observe`] would show.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether any process of a node runs, or will.
    pub fn any_alive(&self) -> bool {
        self.by_name.values().any(|node| !matches!(node.phase, Phase::Ended(_)))
    }

    /// Whether this name was ever started.
    pub fn knows(&self, name: &NodeName) -> bool {
        self.started.contains(name)
    }

    /// Takes a node in, to be started as soon as there is a fork server. A name that was ever known is
    /// left as it is.
    pub fn admit(&mut self, admission: Admission) {
        let Admission { id, template, command } = admission;
        let name = id.name();
        if !self.started.insert(name.clone()) {
            return;
        }
        let node = Node {
            id,
            template,
            phase: Phase::Queued,
            ordered: None,
            address: None,
            dashboard_port: None,
            failure: None,
            last_log: Vec::new(),
        };
        self.by_name.insert(name.clone(), node);
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
        if matches!(node.phase, Phase::Ended(_)) {
            return Some(Deed::Kill(process));
        }
        self.revision += 1;
        node.phase = match end {
            // The pid of something that ended earlier may be this node's by now.
            Some(end) if !alive => Phase::Ended(end),
            _ => Phase::Running(process),
        };
        if matches!(node.phase, Phase::Ended(_)) {
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
        self.by_name.iter().filter_map(|(name, node)| match node.phase {
            Phase::Running(process) => Some((name, process)),
            _ => None,
        })
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

impl Node {
    fn show(&self, waiting_for: &str) -> HostNode {
        let state = match (self.phase, self.ordered) {
            (Phase::Ended(end), _) => HostNodeState::Ended {
                at: end.at,
                code: end.code,
                signal: end.signal,
                reason: self.failure.clone(),
            },
            (_, Some(_)) => HostNodeState::Ending,
            (Phase::Queued | Phase::Sent(_), None) => HostNodeState::Waiting(waiting_for.to_owned()),
            (Phase::Running(_), None) => HostNodeState::Running,
        };
        HostNode {
            id: self.id.clone(),
            template: self.template.clone(),
            pid: match self.phase {
                Phase::Running(process) => Some(process.pid),
                _ => None,
            },
            state,
            address: self.address.clone(),
            dashboard_port: self.dashboard_port,
            last_log: self.last_log.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Incarnation, Slot};

    fn admission(slot: u32) -> Admission {
        let id = NodeId {
            cluster: "demo".parse().unwrap(),
            group: "workers".parse().unwrap(),
            slot: Slot(slot),
            incarnation: Incarnation(0),
        };
        Admission { id, template: TemplateHash::new("t"), command: vec![b'{'] }
    }

    fn process(pid: i32) -> ProcessId {
        ProcessId { pid, start_time: 1 }
    }

    fn end() -> End {
        End { at: Timestamp::UNIX_EPOCH, code: Some(0), signal: None }
    }

    fn states(nodes: &Nodes) -> Vec<HostNodeState> {
        nodes.observe("it waits").into_iter().map(|node| node.state).collect()
    }

    /// Nodes with one that runs as pid 7.
    fn one_running() -> (Nodes, NodeName) {
        let (mut nodes, name) = (Nodes::default(), admission(0).id.name());
        nodes.admit(admission(0));
        assert!(nodes.next_to_send(1).is_some());
        assert_eq!(nodes.forked(&name, process(7), true), None);
        assert_eq!(states(&nodes), [HostNodeState::Running]);
        (nodes, name)
    }

    #[test]
    fn a_name_is_started_once_even_after_its_node_was_removed() {
        let (mut nodes, name) = one_running();
        nodes.admit(admission(0));
        assert!(nodes.next_to_send(1).is_none());
        assert_eq!(nodes.remove(&name, HowToStop::Now, Instant::now()), Some(Deed::Kill(process(7))));
        assert_eq!(states(&nodes), [HostNodeState::Ending]);
        assert_eq!(nodes.ended(7, end()), Some(name));
        assert_eq!(states(&nodes), []);
        nodes.admit(admission(0));
        assert!(nodes.next_to_send(1).is_none());
        assert_eq!(states(&nodes), []);
    }

    #[test]
    fn a_node_that_is_stopped_gently_is_ended_when_its_time_is_over() {
        let (mut nodes, name) = one_running();
        let now = Instant::now();
        let gently = HowToStop::Gently { grace: Duration::from_secs(25) };
        assert_eq!(nodes.remove(&name, gently, now), Some(Deed::Terminate(process(7))));
        let due = now + Duration::from_secs(30);
        assert_eq!(nodes.next_deadline(), Some(due));
        // Asked again: not told again, and no more time.
        assert_eq!(nodes.remove(&name, gently, now + Duration::from_secs(9)), None);
        assert_eq!(nodes.overdue(now + Duration::from_millis(29_999)), []);
        assert_eq!(nodes.overdue(due), [Deed::Kill(process(7))]);
        assert_eq!(nodes.overdue(due), []);
        assert_eq!(nodes.next_deadline(), None);
    }

    #[test]
    fn a_node_that_is_removed_while_it_is_forked_is_ended_at_its_first_sign() {
        let (mut nodes, name) = (Nodes::default(), admission(0).id.name());
        nodes.admit(admission(0));
        nodes.next_to_send(1);
        assert_eq!(nodes.remove(&name, HowToStop::Now, Instant::now()), None);
        assert_eq!(nodes.forked(&name, process(7), true), Some(Deed::Kill(process(7))));
        nodes.ended(7, end());
        assert_eq!(states(&nodes), []);
    }

    #[test]
    fn an_end_that_is_seen_before_the_start_counts_unless_the_pid_is_in_use_again() {
        for (alive, expected) in [
            (
                false,
                HostNodeState::Ended { at: Timestamp::UNIX_EPOCH, code: Some(0), signal: None, reason: None },
            ),
            (true, HostNodeState::Running),
        ] {
            let (mut nodes, name) = (Nodes::default(), admission(0).id.name());
            nodes.admit(admission(0));
            nodes.next_to_send(1);
            assert_eq!(nodes.ended(7, end()), None);
            nodes.forked(&name, process(7), alive);
            assert_eq!(states(&nodes), [expected]);
        }
    }

    #[test]
    fn what_a_lost_fork_server_did_not_start_ends_and_what_it_started_late_is_killed() {
        let (mut nodes, _) = one_running();
        nodes.admit(admission(1));
        nodes.next_to_send(1);
        nodes.admit(admission(2));
        nodes.fork_server_lost(1, "it is gone", Timestamp::UNIX_EPOCH);
        let seen = states(&nodes);
        assert_eq!(seen.first(), Some(&HostNodeState::Running));
        assert!(
            matches!(&seen[1], HostNodeState::Ended { reason: Some(why), .. } if why == "it is gone"),
            "{seen:?}"
        );
        assert_eq!(seen.get(2), Some(&HostNodeState::Waiting("it waits".to_owned())));
        let late = admission(1).id.name();
        assert_eq!(nodes.forked(&late, process(9), true), Some(Deed::Kill(process(9))));
        assert!(nodes.next_to_send(2).is_some());
    }
}
