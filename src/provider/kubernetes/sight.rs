//! One cluster as it is seen and changed through the API server: its watch, its parts, its pods.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::{
    build::{self, Belonging},
    client::{Created, KubernetesClient, Metadata, Resource},
    clusters::{ClusterEntry, Part},
    logs::KeptLogs,
    names::{self, label},
    objects::AT_ONCE,
    observe::SeenPod,
    prepare,
    watch::{ClusterWatch, Known, SeenAnchor},
    way::Way,
};
use crate::{
    model::{ClusterKey, ErrorKind, NodeState, ObservedNode, Origin, Role},
    provider::{NodeRequest, ProviderError},
};

/// How long an object that is being removed keeps its name from a new one.
const NAME_FREE: Duration = Duration::from_secs(20);

/// How long one call waits for pods to be gone.
const GONE: Duration = Duration::from_secs(10);

/// Last lines of a log that are shown of a node that failed.
const LAST_LINES: usize = 20;

/// A cluster that is looked after, and the way to it.
pub(super) struct Sight {
    pub(super) client: KubernetesClient,
    pub(super) entry: Arc<ClusterEntry>,
    pub(super) watch: Arc<ClusterWatch>,
    pub(super) logs: KeptLogs,
}

impl Sight {
    pub(super) fn observed_node(&self, pod: &SeenPod, way: Option<&Way>) -> ObservedNode {
        let way = way.filter(|_| pod.endpoint().is_some());
        let last_log = match &pod.state {
            NodeState::Ended(exit) if exit.code != Some(0) => self.logs.tail(&pod.id.name(), LAST_LINES),
            _ => Vec::new(),
        };
        ObservedNode {
            id: pod.id.clone(),
            template: pod.template.clone(),
            state: pod.state.clone(),
            origin: Origin::Planned,
            reach: way.map(|way| way.reach.clone()),
            address: pod.endpoint().map(str::to_owned),
            dashboard: way.and_then(|way| way.dashboard.clone()),
            last_log,
            machine: None,
        }
    }

    /// Has the logs kept of pods that have ended, or that somebody else has told to.
    pub(super) async fn keep_logs(&self, known: &Known) {
        let due: Vec<&SeenPod> = known
            .pods
            .values()
            .filter(|pod| (pod.has_ended() || pod.ending) && !self.logs.is_kept(&pod.id.name()))
            .collect();
        stream::iter(due).for_each_concurrent(AT_ONCE, |pod| self.keep_log(pod)).await;
    }

    async fn keep_log(&self, pod: &SeenPod) {
        let node = pod.id.name();
        if !self.entry.keep(&node) {
            return;
        }
        match self.logs.keep(&self.client, pod).await {
            // That of a pod that has ended is read at once.
            Ok(Some(copying)) if pod.has_ended() => drop(copying.await),
            Ok(_) => {}
            Err(error) => tracing::warn!(%node, "its log cannot be kept: {error}"),
        }
        self.entry.kept(&node);
    }

    pub(super) async fn anchor(&self, cluster: &ClusterKey) -> Result<SeenAnchor, ProviderError> {
        let absent = || {
            let name = names::anchor(&cluster.name);
            let message = format!("cluster {} has no anchor: there is no configmap {name}", cluster.name);
            ProviderError::new(ErrorKind::NotFound, message)
        };
        let known = self.watch.known().await?;
        known.anchor.filter(|anchor| !anchor.ending).ok_or_else(absent)
    }

    /// Makes an object that a cluster has once, unless it is there. Returns its uid.
    pub(super) async fn make(
        &self,
        resource: Resource,
        cluster: &ClusterKey,
        object: &Value,
    ) -> Result<String, ProviderError> {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let until = tokio::time::Instant::now() + NAME_FREE;
        loop {
            let made: Created<MetadataOnly> = self.client.create(resource, object).await?;
            if let Created::New(made) = made {
                return Ok(made.metadata.uid.unwrap_or_default());
            }
            let Some(found) = self.client.metadata(resource, name).await? else { continue };
            let own = belongs_to(&found, cluster);
            let ending = found.deletion_timestamp.is_some();
            if own && !ending {
                return Ok(found.uid.unwrap_or_default());
            }
            if !ending {
                return Err(self.taken(resource, name, &found));
            }
            if tokio::time::Instant::now() > until {
                let message = format!(
                    "{} {name} in namespace {} is still being removed after {} s",
                    resource.as_str(),
                    self.client.context().namespace,
                    NAME_FREE.as_secs()
                );
                return Err(ProviderError::new(ErrorKind::Conflict, message));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn taken(&self, resource: Resource, name: &str, found: &Metadata) -> ProviderError {
        prepare::taken(self.client.context(), resource, name, found)
    }

    /// Makes a part of the cluster, unless it is known to be there.
    async fn part(
        &self,
        part: Part,
        resource: Resource,
        of: Belonging<'_>,
        object: Option<Value>,
    ) -> Result<(), ProviderError> {
        let anchor = of.anchor.unwrap_or_default();
        let Some(object) = object.filter(|_| !self.entry.has(anchor, part)) else { return Ok(()) };
        self.make(resource, of.cluster, &object).await?;
        self.entry.note(anchor, part);
        Ok(())
    }

    /// The way to the scheduler, and who may take it.
    pub(super) async fn ways(&self, of: Belonging<'_>) -> Result<(), ProviderError> {
        let (service, policy, clients) = tokio::join!(
            self.part(Part::Service, Resource::Services, of, Some(build::service(of))),
            self.part(Part::NetworkPolicy, Resource::NetworkPolicies, of, build::network_policy(of)),
            self.part(Part::ClientsPolicy, Resource::NetworkPolicies, of, build::clients_policy(of)),
        );
        service.and(policy).and(clients)
    }

    /// What pods of the request's role need to be there first.
    pub(super) async fn parts(&self, of: Belonging<'_>, nodes: &[NodeRequest]) -> Result<(), ProviderError> {
        let Some(first) = nodes.first() else { return Ok(()) };
        let role = first.role();
        let part = match role {
            Role::Scheduler => Part::SchedulerTls,
            Role::Worker => Part::WorkerTls,
        };
        let secret = first.identity.as_ref().map(|identity| build::tls_secret(of, role, identity));
        let tls = self.part(part, Resource::Secrets, of, secret);
        match role {
            Role::Scheduler => {
                let (tls, ways) = tokio::join!(tls, self.ways(of));
                tls.and(ways)
            }
            Role::Worker => tls.await,
        }
    }

    /// Makes a pod, once for its name.
    pub(super) async fn launch(&self, of: Belonging<'_>, node: &NodeRequest) -> Result<(), ProviderError> {
        let name = node.id.name();
        if self.logs.is_kept(&name) || self.watch.at_hand().pods.contains_key(&name) {
            return Ok(());
        }
        match self.client.create::<Pod>(Resource::Pods, &build::pod(of, node)).await? {
            Created::New(pod) => {
                self.watch.note(&pod);
                Ok(())
            }
            Created::Taken => match self.client.metadata(Resource::Pods, name.as_str()).await? {
                // It has gone in between, or it is ours from an earlier try.
                None => Ok(()),
                Some(found) if belongs_to(&found, of.cluster) => Ok(()),
                Some(found) => Err(self.taken(Resource::Pods, name.as_str(), &found)),
            },
        }
    }

    /// Tells a pod to end, with its log kept.
    pub(super) async fn end(&self, pod: &SeenPod, grace: Duration) -> Result<(), ProviderError> {
        self.keep_log(pod).await;
        self.tell(pod, grace).await
    }

    pub(super) async fn tell(&self, pod: &SeenPod, grace: Duration) -> Result<(), ProviderError> {
        let name = pod.id.name();
        let told: Option<Pod> =
            self.client.delete(Resource::Pods, name.as_str(), &pod.uid, Some(grace)).await?;
        match told.filter(|pod| pod.metadata.deletion_timestamp.is_some()) {
            Some(pod) => self.watch.note(&pod),
            None => self.watch.note_gone(&name, &pod.uid),
        }
        Ok(())
    }

    /// Waits until no pod of the cluster is left.
    pub(super) async fn no_pods(&self) -> Result<bool, ProviderError> {
        let mut changes = self.entry.changes();
        let gone = async {
            loop {
                changes.borrow_and_update();
                if self.watch.known().await?.pods.is_empty() {
                    return Ok(());
                }
                if changes.changed().await.is_err() {
                    return Ok(());
                }
            }
        };
        match tokio::time::timeout(GONE, gone).await {
            Ok(gone) => gone.map(|()| true),
            Err(_) => Ok(false),
        }
    }
}

#[derive(serde::Deserialize)]
struct MetadataOnly {
    metadata: Metadata,
}

fn belongs_to(found: &Metadata, cluster: &ClusterKey) -> bool {
    found
        .labels
        .as_ref()
        .and_then(|labels| labels.get(label::CLUSTER_UID))
        .is_some_and(|uid| uid == cluster.uid.as_str())
}
