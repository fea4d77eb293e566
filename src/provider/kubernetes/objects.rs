//! Objects found by their labels, of whatever kind, and their removal.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::client::{KubernetesClient, Metadata, Resource};
use crate::provider::ProviderError;

/// Calls for pods that are made at a time.
pub(super) const AT_ONCE: usize = 16;

/// The shortest grace after which the kubelet still says when a pod has ended.
pub(super) const AT_ONCE_GRACE: Duration = Duration::from_secs(1);

/// Removes what was found, the anchor last. What of it is gone already is no failure.
pub(super) async fn clear(
    client: &KubernetesClient,
    found: &[(Resource, Vec<Metadata>)],
) -> Result<(), ProviderError> {
    let (anchors, rest): (Vec<_>, Vec<_>) =
        found.iter().partition(|(resource, _)| *resource == Resource::ConfigMaps);
    for kinds in [rest, anchors] {
        let mut calls = Vec::new();
        for (resource, objects) in kinds {
            let grace = (*resource == Resource::Pods).then_some(AT_ONCE_GRACE);
            for object in objects.iter().filter(|object| object.deletion_timestamp.is_none()) {
                if let (Some(name), Some(uid)) = (&object.name, &object.uid) {
                    calls.push(client.delete::<Value>(*resource, name, uid, grace));
                }
            }
        }
        stream::iter(calls).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
    }
    Ok(())
}

pub(super) fn is_empty(found: &[(Resource, Vec<Metadata>)]) -> bool {
    found.iter().all(|(_, objects)| objects.is_empty())
}

pub(super) async fn find(
    client: &KubernetesClient,
    selector: &str,
) -> Result<Vec<(Resource, Vec<Metadata>)>, ProviderError> {
    let calls = Resource::OWNED
        .iter()
        .map(|resource| async move { Ok((*resource, client.list(*resource, selector).await?.items)) });
    futures_util::future::try_join_all(calls).await
}
