//! The part of a nanny in the life of nodes: whose process is ended to be followed by another. Pure.

use serde_json::json;

use super::super::os::ProcessId;
use super::{
    node::{After, Budget, Deed, Node, Phase},
    protocol::NodeLaunch,
    state::Nodes,
};
use crate::model::NodeName;

/// What a wish for a restart comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Restart {
    /// The process is to be killed; its successor follows at its end.
    Kill(Deed),
    /// The process is to be killed, and nobody follows it: it was on its way out.
    KillForGood(Deed),
    /// There is no process any more.
    Gone,
}

impl Nodes {
    /// A client wants a node to end at once, and another in its place.
    pub fn restart(&mut self, name: &NodeName) -> Restart {
        let Some(node) = self.get_mut(name) else { return Restart::Gone };
        let Phase::Running(process) = node.phase else { return Restart::Gone };
        if node.ordered.is_some() || node.after == After::Announced {
            return Restart::KillForGood(Deed::Kill(process));
        }
        node.after = After::Restarted;
        Restart::Kill(Deed::Kill(process))
    }

    /// A node is about to end by itself, for good. Returns its process.
    pub fn let_go(&mut self, name: &NodeName) -> Option<ProcessId> {
        let node = self.get_mut(name)?;
        node.after = After::Announced;
        node.process()
    }

    /// What is to be started in the place of a node that has ended, if anything: under the slot's next
    /// name that was never used.
    pub fn successor(&self, name: &NodeName) -> Option<NodeLaunch> {
        let node = self.get(name).filter(|node| node.has_ended() && node.after == After::Restarted)?;
        let mut launch = node.launch.clone();
        while self.knows(&launch.id.name()) {
            let next = launch.id.incarnation.next();
            if next == launch.id.incarnation {
                return None;
            }
            launch.id.incarnation = next;
        }
        // A worker's name in Dask is its node's.
        let name = launch.id.name();
        launch.arguments.insert("name".to_owned(), json!(name));
        Some(launch)
    }

    /// How much memory a node may have, as its process found it in its configuration.
    pub fn set_budget(&mut self, name: &NodeName, budget: Budget) {
        if let Some(node) = self.get_mut(name) {
            node.memory = Some(budget);
        }
    }

    /// Processes whose memory is to be watched, with what they may have.
    pub fn budgets(&self) -> impl Iterator<Item = (&NodeName, ProcessId, Budget)> {
        self.iter().filter_map(|(name, node)| {
            let budget = node.memory.filter(|budget| !budget.exceeded)?;
            Some((name, node.process()?, budget))
        })
    }

    /// A node is beyond its budget. Returns what it was started with.
    pub fn exceed(&mut self, name: &NodeName) -> Option<&NodeLaunch> {
        let node: &mut Node = self.get_mut(name)?;
        if let Some(budget) = &mut node.memory {
            budget.exceeded = true;
        }
        Some(&node.launch)
    }
}
