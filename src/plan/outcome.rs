//! What a plan says.

use jiff::Timestamp;

use crate::{
    model::{Condition, EndReason, Event, LaunchId, Ledger, NodeId, NodeName, Role, Stop, TemplateHash},
    spec::GroupName,
};

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What was decided; durable before any action is begun.
    pub ledger: Ledger,
    /// What to do, in this order; those of one cluster may run side by side.
    pub actions: Vec<Action>,
    /// What can be said of the cluster.
    pub conditions: Vec<Condition>,
    /// What happened.
    pub events: Vec<Event>,
    /// When to look again, even if nothing is heard.
    pub next_tick: Option<Timestamp>,
    /// What becomes of the cluster.
    pub outcome: Outcome,
}

/// What becomes of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Continues,
    /// It is to be wanted no longer.
    Ends(EndReason),
    /// Nothing is left of it; its record can go.
    Finished,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make the anchor.
    EnsureAnchor,
    /// Start nodes of one group.
    Launch {
        /// The group.
        group: GroupName,
        /// What they do.
        role: Role,
        /// Which nodes.
        nodes: Vec<PlannedNode>,
        /// The scheduler's address, for workers.
        scheduler: Option<String>,
    },
    /// Make the call of a launch.
    LaunchBatch(PlannedLaunch),
    /// Write on machines when they are to be gone whatever happens.
    SetExpiry {
        /// Which.
        nodes: Vec<NodeName>,
        /// When; `None`: never.
        at: Option<Timestamp>,
    },
    /// Have workers of one group hand their data over.
    Drain {
        /// Which.
        nodes: Vec<NodeName>,
    },
    /// End nodes and forget them.
    Remove {
        /// Which.
        nodes: Vec<NodeName>,
        /// How.
        how: Stop,
    },
    /// Keep a copy of the record where the cluster is.
    KeepCopy {
        /// Of which generation.
        generation: u64,
    },
    /// Remove the anchor and all that belongs to it.
    RemoveAnchor,
}

/// Nodes to be launched in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedLaunch {
    /// The intent.
    pub launch: LaunchId,
    /// The nodes' group.
    pub group: GroupName,
    /// How many.
    pub count: u32,
    /// Which of the group's choices, from 0.
    pub choice: u32,
    /// What they are made from.
    pub template: TemplateHash,
    /// The scheduler's address, for workers.
    pub scheduler: Option<String>,
    /// When they are to be gone whatever happens; `None`: never.
    pub expires_at: Option<Timestamp>,
}

impl PlannedLaunch {
    /// What the nodes do.
    pub fn role(&self) -> Role {
        if self.group.is_scheduler() { Role::Scheduler } else { Role::Worker }
    }
}

/// A node to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedNode {
    /// Its name.
    pub id: NodeId,
    /// What it is made from.
    pub template: TemplateHash,
}

impl Action {
    /// What is done, in one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EnsureAnchor => "anchor",
            Self::Launch { .. } => "launch",
            Self::KeepCopy { .. } => "copy",
            Self::LaunchBatch(_) => "launch-batch",
            Self::SetExpiry { .. } => "set-expiry",
            Self::Drain { .. } => "drain",
            Self::Remove { .. } => "remove",
            Self::RemoveAnchor => "remove-anchor",
        }
    }
}
