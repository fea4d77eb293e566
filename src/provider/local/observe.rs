//! From what a host says to what a plan starts from. Pure.

use super::host::protocol::{HostNode, HostNodeState};
use crate::model::{AnchorState, Exit, NodeState, Observed, ObservedNode};

/// A cluster whose host is gone: its nodes went with it.
pub fn absent() -> Observed {
    Observed { anchor: AnchorState::Absent, nodes: Vec::new() }
}

/// A cluster as its host sees it.
pub fn present(nodes: Vec<HostNode>) -> Observed {
    Observed { anchor: AnchorState::Present, nodes: nodes.into_iter().map(node).collect() }
}

fn node(node: HostNode) -> ObservedNode {
    ObservedNode {
        id: node.id,
        template: node.template,
        state: match node.state {
            HostNodeState::Waiting(reason) => NodeState::Pending(Some(reason)),
            HostNodeState::Running => NodeState::Running,
            HostNodeState::Ending => NodeState::Ending,
            HostNodeState::Ended { at, code, signal, reason } => {
                NodeState::Ended(Exit { at, code, signal, reason })
            }
        },
        origin: node.origin,
        address: node.address,
        reach: None,
        dashboard: node.dashboard_port.map(|port| format!("http://127.0.0.1:{port}/status")),
        last_log: node.last_log,
        machine: None,
    }
}
