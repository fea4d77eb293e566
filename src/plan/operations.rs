//! What this process has begun, and what has come of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Action;
use crate::{
    model::{ErrorKind, InstanceId, LaunchId, Ledger, NodeName, Observed, Stage},
    spec::ClusterName,
};

/// Calls of this process that are under way or have just ended. Forgotten by a restart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Operations {
    /// The call that makes the anchor.
    pub anchor: AnchorCall,
    /// Nodes whose creating call is under way.
    pub launching: BTreeSet<NodeName>,
    /// When the creating call of a node was last made.
    pub asked: BTreeMap<NodeName, Timestamp>,
    /// Creating calls that failed since the last plan.
    pub launch_failures: Vec<LaunchFailure>,
    /// Calls of launches.
    pub launch_calls: BTreeMap<LaunchId, LaunchCall>,
    /// Launches that were answered since the last plan.
    pub launch_replies: Vec<LaunchReply>,
    /// The call that writes expiry dates on machines.
    pub expiry: Option<ExpiryCall>,
    /// The call that keeps a copy of the record.
    pub copy: CopyCall,
    /// Nodes whose removal is under way.
    pub removing: BTreeSet<NodeName>,
    /// When the removing call of a node last ended, however it did.
    pub removed: BTreeMap<NodeName, Timestamp>,
    /// Whether the removal of the anchor is under way.
    pub removing_anchor: bool,
    /// When the call that removes the anchor last ended, however it did.
    pub anchor_removed: Option<Timestamp>,
    /// Whether such a call has answered that nothing is left.
    pub anchor_gone: bool,
    /// Whether the newest has answered that nothing can appear any more, either.
    pub gone_for_good: bool,
    /// Drains.
    pub drains: BTreeMap<NodeName, DrainCall>,
}

/// The call that makes the anchor.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum AnchorCall {
    /// Not made yet.
    #[default]
    NotMade,
    /// Under way.
    InFlight,
    /// Succeeded, at that time.
    Made(Timestamp),
    /// Failed since the last plan.
    Failed(LaunchFailure),
}

/// The newest call of a launch, by when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchCall {
    /// Under way.
    InFlight(Timestamp),
    /// Ended, however it did.
    Ended(Timestamp),
}

/// What came of a launch's call.
#[derive(Debug, Clone, PartialEq)]
pub struct LaunchReply {
    /// Which launch.
    pub launch: LaunchId,
    /// What it has made, or why nobody knows.
    pub result: Result<MadeNodes, LaunchFailure>,
}

/// All that a launch has made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MadeNodes {
    /// Which instances.
    pub instances: Vec<InstanceId>,
    /// Why there are fewer than were asked for, if the provider said so.
    pub shortfall: Option<String>,
}

/// The call that writes expiry dates on machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiryCall {
    /// Under way.
    InFlight,
    /// Ended, however it did.
    Ended {
        /// The date it wrote; `None`: never.
        to: Option<Timestamp>,
        /// When.
        ended: Timestamp,
    },
}

/// The call that keeps a copy of the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CopyCall {
    /// Not made yet.
    #[default]
    NotMade,
    /// Under way.
    InFlight,
    /// It kept that of a generation.
    Kept(u64),
    /// Failed, at that time.
    Failed(Timestamp),
}

/// A creating call that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct LaunchFailure {
    /// Which node; `None` for the anchor.
    pub node: Option<NodeName>,
    /// When.
    pub at: Timestamp,
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What the provider said, with its hint.
    pub message: String,
}

/// How far the drain of a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum DrainCall {
    /// The engine has been asked and has not answered.
    InFlight,
    /// Its data is elsewhere.
    Retired(Timestamp),
    /// Nobody can take its data; when the engine last said so.
    Refused(Timestamp),
    /// The engine could not be asked.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        message: String,
    },
}

impl Operations {
    /// Notes that an action is under way.
    pub fn begin(&mut self, action: &Action, now: Timestamp) {
        match action {
            Action::EnsureAnchor => self.anchor = AnchorCall::InFlight,
            Action::Launch { nodes, .. } => {
                for node in nodes {
                    self.launching.insert(node.id.name());
                    self.asked.insert(node.id.name(), now);
                }
            }
            Action::LaunchBatch(planned) => {
                self.launch_calls.insert(planned.launch.clone(), LaunchCall::InFlight(now));
            }
            Action::SetExpiry { .. } => self.expiry = Some(ExpiryCall::InFlight),
            Action::KeepCopy { .. } => self.copy = CopyCall::InFlight,
            Action::Drain { nodes } => {
                self.drains.extend(nodes.iter().map(|node| (node.clone(), DrainCall::InFlight)));
            }
            Action::Remove { nodes, .. } => self.removing.extend(nodes.iter().cloned()),
            Action::RemoveAnchor => self.removing_anchor = true,
        }
    }

    /// Notes the end of the call that makes the anchor.
    pub fn anchor_ended(&mut self, result: Result<(), LaunchFailure>, now: Timestamp) {
        self.anchor = result.map_or_else(AnchorCall::Failed, |()| AnchorCall::Made(now));
    }

    /// Notes the end of a creating call for `nodes`, of which `failures` could not be started.
    pub fn launch_ended(&mut self, nodes: &[NodeName], failures: impl IntoIterator<Item = LaunchFailure>) {
        for node in nodes {
            self.launching.remove(node);
        }
        self.launch_failures.extend(failures);
    }

    /// Notes the end of a launch's call.
    pub fn batch_ended(&mut self, reply: LaunchReply) {
        if let Some(call) = self.launch_calls.get_mut(&reply.launch) {
            let (LaunchCall::InFlight(asked) | LaunchCall::Ended(asked)) = *call;
            *call = LaunchCall::Ended(asked);
        }
        self.launch_replies.push(reply);
    }

    /// Whether a call that makes nodes is under way.
    pub fn is_launching(&self) -> bool {
        let under_way = |call: &LaunchCall| matches!(call, LaunchCall::InFlight(_));
        !self.launching.is_empty() || self.launch_calls.values().any(under_way)
    }

    /// Whether a call is under way that makes something of the cluster where it runs.
    pub fn is_making(&self) -> bool {
        self.anchor == AnchorCall::InFlight || self.copy == CopyCall::InFlight || self.is_launching()
    }

    /// Notes the end of the call that writes expiry dates, however it ended.
    pub fn expiry_ended(&mut self, to: Option<Timestamp>, now: Timestamp) {
        self.expiry = Some(ExpiryCall::Ended { to, ended: now });
    }

    /// Notes the end of the call that keeps a copy of that generation.
    pub fn copy_ended(&mut self, generation: u64, kept: bool, now: Timestamp) {
        self.copy = if kept { CopyCall::Kept(generation) } else { CopyCall::Failed(now) };
    }

    /// Notes what the engine answered for nodes that are drained.
    pub fn drain_ended(&mut self, calls: impl IntoIterator<Item = (NodeName, DrainCall)>) {
        self.drains.extend(calls);
    }

    /// Notes the end of a removing call, however it ended: what is still seen is removed again.
    pub fn removal_ended(&mut self, nodes: impl IntoIterator<Item = NodeName>, now: Timestamp) {
        for node in nodes {
            self.removing.remove(&node);
            self.removed.insert(node, now);
        }
    }

    /// Notes the end of the call that removes the anchor, and whether it answered that nothing is left;
    /// `None` when it failed.
    pub fn anchor_removal_ended(&mut self, gone: Option<bool>, now: Timestamp) {
        self.anchor_gone = gone.unwrap_or(self.anchor_gone);
        self.removing_anchor = false;
        self.anchor_removed = Some(now);
    }

    /// Forgets what a plan has dealt with, whose ledger is `ledger` and which saw `world`. To be called
    /// before the plan's actions begin.
    pub fn settle(&mut self, ledger: &Ledger, world: &Observed, cluster: &ClusterName) {
        self.launch_failures.clear();
        self.launch_replies.clear();
        self.launch_calls.retain(|launch, call| {
            matches!(call, LaunchCall::InFlight(_)) || ledger.launches.contains_key(launch)
        });
        if matches!(self.anchor, AnchorCall::Failed(_)) {
            self.anchor = AnchorCall::NotMade;
        }
        let mut occupied = BTreeMap::new();
        for (name, group) in &ledger.groups {
            for (slot, entry) in &group.slots {
                if let Some(id) = group.node(cluster, name, *slot).filter(|_| entry.stage != Stage::Vacant) {
                    occupied.insert(id.name(), entry.is_draining());
                }
            }
        }
        let seen: BTreeSet<NodeName> = world.nodes.iter().map(|node| node.id.name()).collect();
        self.removed.retain(|node, _| seen.contains(node));
        self.asked.retain(|node, _| occupied.contains_key(node));
        self.drains.retain(|node, call| *call == DrainCall::InFlight || occupied.get(node) == Some(&true));
    }
}
