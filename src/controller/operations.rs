//! What the controller has begun, and what has come of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    engine::EngineError,
    model::{ErrorKind, Ledger, NodeName, Observed, Stage},
    plan::{Action, AnchorCall, DrainCall, LaunchFailure, Operations},
    provider::{NodeFailure, ProviderError, Removal},
};

/// An action that has ended.
#[derive(Debug)]
pub(super) enum Finished {
    Anchor(Result<(), ProviderError>),
    Launch { nodes: Vec<NodeName>, result: Result<Vec<NodeFailure>, ProviderError> },
    Drain { nodes: Vec<NodeName>, result: Result<BTreeSet<NodeName>, EngineError> },
    Remove { nodes: Vec<NodeName>, result: Result<(), ProviderError> },
    RemoveAnchor(Result<Removal, ProviderError>),
}

/// Notes that an action is under way.
pub(super) fn begin(operations: &mut Operations, action: &Action, now: Timestamp) {
    match action {
        Action::EnsureAnchor => operations.anchor = AnchorCall::InFlight,
        Action::Launch { nodes, .. } => {
            for node in nodes {
                operations.launching.insert(node.id.name());
                operations.asked.insert(node.id.name(), now);
            }
        }
        Action::Drain { nodes } => {
            operations.drains.extend(nodes.iter().map(|node| (node.clone(), DrainCall::InFlight)));
        }
        Action::Remove { nodes, .. } => operations.removing.extend(nodes.iter().cloned()),
        Action::RemoveAnchor => operations.removing_anchor = true,
    }
}

/// Notes what has come of an action.
pub(super) fn end(operations: &mut Operations, finished: Finished, now: Timestamp) {
    match finished {
        Finished::Anchor(result) => {
            operations.anchor = match result {
                Ok(()) => AnchorCall::Made(now),
                Err(error) => AnchorCall::Failed(failure(None, error, now)),
            };
        }
        Finished::Launch { nodes, result } => {
            for node in &nodes {
                operations.launching.remove(node);
            }
            let failures = match result {
                Ok(failures) => failures.into_iter().map(|f| failure(Some(f.node), f.error, now)).collect(),
                Err(error) => {
                    nodes.into_iter().map(|node| failure(Some(node), error.clone(), now)).collect::<Vec<_>>()
                }
            };
            operations.launch_failures.extend(failures);
        }
        Finished::Drain { nodes, result } => {
            let call = |node: &NodeName| match &result {
                Ok(retired) if retired.contains(node) => DrainCall::Retired(now),
                Ok(_) => DrainCall::Refused(now),
                Err(error) => DrainCall::Failed { at: now, message: error.message.clone() },
            };
            let calls: BTreeMap<_, _> = nodes.iter().map(|node| (node.clone(), call(node))).collect();
            operations.drains.extend(calls);
        }
        Finished::Remove { nodes, result } => {
            if let Err(error) = result {
                // The plan sees that they are still there, and asks again.
                tracing::warn!("cannot remove {} nodes: {error}", nodes.len());
            }
            for node in nodes {
                operations.removing.remove(&node);
                operations.removed.insert(node, now);
            }
        }
        Finished::RemoveAnchor(result) => {
            match result {
                Ok(removal) => operations.anchor_gone = removal == Removal::Gone,
                Err(error) => tracing::warn!("cannot remove the anchor: {error}"),
            }
            operations.removing_anchor = false;
            operations.anchor_removed = Some(now);
        }
    }
}

/// Forgets what the plan has now dealt with.
pub(super) fn settle(
    operations: &mut Operations,
    ledger: &Ledger,
    world: &Observed,
    cluster: &crate::spec::ClusterName,
) {
    operations.launch_failures.clear();
    if matches!(operations.anchor, AnchorCall::Failed(_)) {
        operations.anchor = AnchorCall::NotMade;
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
    operations.removed.retain(|node, _| seen.contains(node));
    operations.asked.retain(|node, _| occupied.contains_key(node));
    operations.drains.retain(|node, call| *call == DrainCall::InFlight || occupied.get(node) == Some(&true));
}

fn failure(node: Option<NodeName>, error: ProviderError, at: Timestamp) -> LaunchFailure {
    let message = match &error.hint {
        Some(hint) => format!("{} (hint: {hint})", error.message),
        None => error.message,
    };
    let kind = match error.residue {
        crate::model::Residue::None => error.kind,
        // Whatever it was, the call may have had its effect: the same call again is right.
        crate::model::Residue::Possible => ErrorKind::Transient,
    };
    LaunchFailure { node, at, kind, message }
}
