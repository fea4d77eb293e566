//! Who a node is.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::{Incarnation, InstanceId, NodeName, Slot};
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

/// A node, by the position that it fills.
///
/// Where the plan chooses names, a node's name is its position. Where the provider does, the name is the
/// instance's, once there is one.
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
    /// What its provider calls it, where nodes are named by their provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
}

// Pod names and certificates allow 63 characters: cluster, group, and two numbers with their dashes.
const _: () = assert!(ClusterName::MAX_LENGTH + 1 + GroupName::MAX_LENGTH + 1 + 5 + 1 + 5 <= 63);

impl NodeId {
    /// The node that its provider calls `instance`, without a position.
    pub fn launched(cluster: ClusterName, group: GroupName, instance: InstanceId) -> Self {
        Self { cluster, group, slot: Slot::NONE, incarnation: Incarnation(0), instance: Some(instance) }
    }

    /// `<cluster>-<group>-<slot>-<incarnation>`, or `<cluster>-<group>-<instance>`.
    pub fn name(&self) -> NodeName {
        // Plans make tens of thousands of them; room for both numbers spares all but one allocation.
        let Self { cluster, group, slot, incarnation, instance } = self;
        let mut name = String::with_capacity(cluster.as_str().len() + group.as_str().len() + 23);
        for part in [cluster.as_str(), "-", group.as_str()] {
            name.push_str(part);
        }
        // Writing to a string cannot fail.
        let _ = match instance {
            None => write!(name, "-{}-{}", slot.0, incarnation.0),
            Some(instance) => write!(name, "-{instance}"),
        };
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
        match &self.instance {
            None => write!(f, "{}-{}-{}-{}", self.cluster, self.group, self.slot, self.incarnation),
            Some(instance) => write!(f, "{}-{}-{instance}", self.cluster, self.group),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_its_provider_names_goes_by_that() {
        let (cluster, group): (ClusterName, GroupName) = ("my-7".parse().unwrap(), GroupName::workers());
        let id = NodeId::launched(cluster, group, InstanceId::new("i-0abc"));
        assert_eq!(id.name().as_str(), "my-7-workers-i-0abc");
        assert_eq!(id.name().as_str(), id.to_string());
    }

    #[test]
    fn a_name_tells_which_position_it_fills() {
        let (cluster, group): (ClusterName, GroupName) = ("my-7".parse().unwrap(), "big-1".parse().unwrap());
        let (slot, incarnation) = (Slot(12), Incarnation(3));
        let id = NodeId { cluster: cluster.clone(), group: group.clone(), slot, incarnation, instance: None };
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
