//! Who a node is.

use std::fmt::{self, Write as _};

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
        // Plans make tens of thousands of them; room for both numbers spares all but one allocation.
        let Self { cluster, group, slot, incarnation } = self;
        let mut name = String::with_capacity(cluster.as_str().len() + group.as_str().len() + 23);
        for part in [cluster.as_str(), "-", group.as_str()] {
            name.push_str(part);
        }
        // Writing to a string cannot fail.
        let _ = write!(name, "-{}-{}", slot.0, incarnation.0);
        NodeName::new(name)
    }

    /// How the names of a group's nodes begin.
    pub fn prefix(cluster: &ClusterName, group: &GroupName) -> String {
        format!("{cluster}-{group}-")
    }

    /// What follows the [prefix](Self::prefix) of a node's name: which position it fills, and
    /// how often that has been filled before.
    pub fn position(rest: &str) -> Option<(Slot, Incarnation)> {
        let (slot, incarnation) = rest.split_once('-')?;
        Some((Slot(slot.parse().ok()?), Incarnation(incarnation.parse().ok()?)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_which_position_it_fills() {
        let (cluster, group): (ClusterName, GroupName) = ("my-7".parse().unwrap(), "big-1".parse().unwrap());
        let (slot, incarnation) = (Slot(12), Incarnation(3));
        let id = NodeId { cluster: cluster.clone(), group: group.clone(), slot, incarnation };
        assert_eq!(id.name().as_str(), "my-7-big-1-12-3");
        assert_eq!(id.name().as_str(), id.to_string());
        let name = id.name();
        let rest = name.as_str().strip_prefix(&NodeId::prefix(&cluster, &group)).unwrap();
        assert_eq!(NodeId::position(rest), Some((slot, incarnation)));
        for other in ["", "12", "12-", "12-3-4", "a-1", "-1"] {
            assert_eq!(NodeId::position(other), None, "{other}");
        }
    }
}
