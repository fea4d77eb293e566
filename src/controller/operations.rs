//! What has come of actions, in the terms of the plan.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    engine::EngineError,
    model::{ErrorKind, LaunchId, NodeName},
    plan::{DrainCall, LaunchFailure, LaunchReply, MadeNodes, Operations},
    provider::{Launched, NodeFailure, ProviderError, Removal},
};

/// An action that has ended.
#[derive(Debug)]
pub(super) enum Finished {
    Anchor(Result<(), ProviderError>),
    Launch { nodes: Vec<NodeName>, result: Result<Vec<NodeFailure>, ProviderError> },
    Batch { launch: LaunchId, result: Result<Launched, ProviderError> },
    Copy { generation: u64, result: Result<(), String> },
    Expiry { at: Option<Timestamp>, result: Result<(), ProviderError> },
    Drain { nodes: Vec<NodeName>, result: Result<BTreeSet<NodeName>, EngineError> },
    Remove { nodes: Vec<NodeName>, result: Result<(), ProviderError> },
    RemoveAnchor(Result<Removal, ProviderError>),
}

impl Finished {
    /// In which way it failed, if it did; of several nodes, the first that did.
    pub fn failure(&self) -> Option<&'static str> {
        match self {
            Self::Anchor(Err(error))
            | Self::Remove { result: Err(error), .. }
            | Self::RemoveAnchor(Err(error))
            | Self::Launch { result: Err(error), .. } => Some(error.kind.as_str()),
            Self::Launch { result: Ok(failures), .. } => {
                failures.first().map(|node| node.error.kind.as_str())
            }
            Self::Drain { result: Err(_), .. } => Some("Engine"),
            _ => None,
        }
    }
}

/// Notes what has come of an action.
pub(super) fn end(operations: &mut Operations, finished: Finished, now: Timestamp) {
    match finished {
        Finished::Anchor(result) => {
            operations.anchor_ended(result.map_err(|error| failure(None, &error, now)), now);
        }
        Finished::Launch { nodes, result } => {
            let failures: Vec<_> = match result {
                Ok(failures) => failures.into_iter().map(|f| failure(Some(f.node), &f.error, now)).collect(),
                Err(error) => nodes.iter().map(|node| failure(Some(node.clone()), &error, now)).collect(),
            };
            operations.launch_ended(&nodes, failures);
        }
        Finished::Batch { launch, result } => {
            let made = |launched: Launched| MadeNodes {
                instances: launched.instances,
                shortfall: launched.shortfall.map(|error| said(&error)),
            };
            let result = result.map(made).map_err(|error| failure(None, &error, now));
            operations.batch_ended(LaunchReply { launch, result });
        }
        Finished::Copy { generation, result } => {
            if let Err(error) = &result {
                // It is tried again. Only a lost store misses it.
                tracing::warn!("no copy of the record is kept: {error}");
            }
            operations.copy_ended(generation, result.is_ok(), now);
        }
        Finished::Expiry { at, result } => {
            if let Err(error) = result {
                // The plan sees that they say something else, and asks again.
                tracing::warn!("cannot write when machines are to be gone: {error}");
            }
            operations.expiry_ended(at, now);
        }
        Finished::Drain { nodes, result } => {
            let call = |node: &NodeName| match &result {
                Ok(retired) if retired.contains(node) => DrainCall::Retired(now),
                Ok(_) => DrainCall::Refused(now),
                Err(error) => DrainCall::Failed { at: now, message: error.message.clone() },
            };
            operations.drain_ended(nodes.into_iter().map(|node| (node.clone(), call(&node))));
        }
        Finished::Remove { nodes, result } => {
            if let Err(error) = result {
                // The plan sees that they are still there, and asks again.
                tracing::warn!("cannot remove {} nodes: {error}", nodes.len());
            }
            operations.removal_ended(nodes, now);
        }
        Finished::RemoveAnchor(result) => {
            operations.gone_for_good = matches!(result, Ok(Removal::GoneForGood));
            let gone = result.map(Removal::is_gone);
            let gone = gone.inspect_err(|error| tracing::warn!("cannot remove the anchor: {error}")).ok();
            operations.anchor_removal_ended(gone, now);
        }
    }
}

fn failure(node: Option<NodeName>, error: &ProviderError, at: Timestamp) -> LaunchFailure {
    let message = said(error);
    let kind = match error.residue {
        crate::model::Residue::None => error.kind,
        // Whatever it was, the call may have had its effect: the same call again is right.
        crate::model::Residue::Possible => ErrorKind::Transient,
    };
    LaunchFailure { node, at, kind, message }
}

/// What a provider said, with its hint.
fn said(error: &ProviderError) -> String {
    match &error.hint {
        Some(hint) => format!("{} (hint: {hint})", error.message),
        None => error.message.clone(),
    }
}
