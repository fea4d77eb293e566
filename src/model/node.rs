//! Who a node is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Incarnation, NodeName, Slot};
use crate::spec::{ClusterName, GroupName};

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Coordinates.
    Scheduler,
    /// Computes.
    Worker,
}

/// A node with a name that was chosen before it existed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId {
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// Its group.
    pub group: GroupName,
    /// The position it fills.
    pub slot: Slot,
    /// How often that position has been filled before.
    pub incarnation: Incarnation,
}

// Pod names and certificates allow 63 characters: cluster, group, and two numbers with their dashes.
const _: () = assert!(ClusterName::MAX_LENGTH + 1 + GroupName::MAX_LENGTH + 1 + 5 + 1 + 5 <= 63);

impl NodeId {
    /// `<cluster>-<group>-<slot>-<incarnation>`.
    pub fn name(&self) -> NodeName {
        NodeName::new(self.to_string())
    }

    /// What it does.
    pub fn role(&self) -> Role {
        if self.group.is_scheduler() { Role::Scheduler } else { Role::Worker }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.cluster, self.group, self.slot, self.incarnation)
    }
}
