//! The provider: what the contract asks, in terms of Kubernetes objects.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use tokio_stream::wrappers::WatchStream;

use super::{
    build::{self, Belonging},
    client::{Created, KubernetesClient, Metadata, Resource},
    clusters::{ClusterEntry, Clusters, Part},
    connection::Connection,
    error::whom,
    family::Now,
    installation::installation,
    logs::{self, KeptLogs},
    managed::managed,
    names::{self, label},
    observe::SeenPod,
    prepare,
    watch::{ClusterWatch, Known},
    way::{Forwarding, Way},
};
use crate::{
    model::{
        AnchorState, CallerEnvironment, ClusterKey, ClusterUid, ErrorKind, KubernetesContext, NodeName,
        NodeState, Observed, ObservedNode, Origin, Role,
    },
    provider::{
        AnchorRequest, Caller, Capabilities, Follow, LogRequest, LogStream, Managed, NodeFailure,
        NodeRequest, NodesRequest, Prepared, Provider, ProviderError, Removal, Stop, Surrounding,
    },
    spec::{ClusterName, ComputeCluster},
};

/// Calls for pods that are made at a time.
const AT_ONCE: usize = 16;

/// Pulling an image, and having a machine for the pod, may take minutes.
const START: Duration = Duration::from_mins(15);

/// A pod costs seconds to start, and its Kubernetes node perhaps minutes.
const IDLE_PERIOD: Duration = Duration::from_mins(1);

/// How long a look may be behind a call of ours.
const BEHIND: Duration = Duration::from_secs(5);

/// The shortest grace after which the kubelet still says when a pod has ended.
const AT_ONCE_GRACE: Duration = Duration::from_secs(1);

/// How long one call waits for pods to be gone.
const GONE: Duration = Duration::from_secs(10);

/// How long an object that is being removed keeps its name from a new one.
const NAME_FREE: Duration = Duration::from_secs(20);

/// Last lines of a log that are shown of a node that failed.
const LAST_LINES: usize = 20;

/// Clusters as pods of one namespace.
#[derive(Clone)]
pub struct KubernetesProvider {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    state: PathBuf,
    now: Now,
    clusters: Clusters,
    forwarding: Option<Forwarding>,
}

/// A cluster that is looked after, and the way to it.
struct Sight {
    client: KubernetesClient,
    entry: Arc<ClusterEntry>,
    watch: Arc<ClusterWatch>,
    logs: KeptLogs,
}

impl KubernetesProvider {
    /// For an API server and namespace, with the directory of the installation's state. Nothing is asked yet.
    /// Without forwarders whoever uses it has a route to pods.
    pub fn new(context: KubernetesContext, state: PathBuf, now: Now, forwarding: Option<Forwarding>) -> Self {
        let connection = Connection::new(context);
        Self {
            shared: Arc::new(Shared { connection, state, now, clusters: Clusters::default(), forwarding }),
        }
    }

    fn context(&self) -> &KubernetesContext {
        self.shared.connection.context()
    }

    fn installation(&self) -> Result<String, ProviderError> {
        installation(&self.shared.state)
    }

    fn logs(&self, cluster: &ClusterName) -> KeptLogs {
        KeptLogs::of(&self.shared.state, cluster)
    }

    async fn sight(&self, cluster: &ClusterKey) -> Result<Sight, ProviderError> {
        let (client, number) = self.shared.connection.client().await?;
        let entry = self.shared.clusters.entry(cluster);
        let watch = entry.watch(&client, number);
        Ok(Sight { client, entry, watch, logs: self.logs(&cluster.name) })
    }

    /// How the scheduler is reached from here, if one runs.
    async fn way(&self, cluster: &ClusterKey, known: &Known) -> Result<Option<Way>, ProviderError> {
        let Some((pod, address)) = known.pods.values().find_map(|pod| Some((pod, pod.endpoint()?))) else {
            return Ok(None);
        };
        match &self.shared.forwarding {
            Some(forwarding) if self.context().name().is_some() => {
                forwarding.way(cluster, self.context(), address).await.map(Some)
            }
            _ => Ok(Way::direct(address, pod.ip.as_deref())),
        }
    }

    async fn forget(&self, cluster: &ClusterUid) -> Result<(), ProviderError> {
        self.shared.clusters.forget(cluster);
        match &self.shared.forwarding {
            Some(forwarding) => forwarding.end(cluster).await,
            None => Ok(()),
        }
    }

    fn observed(sight: &Sight, known: &Known, way: Option<&Way>) -> Observed {
        let anchor = match &known.anchor {
            None => AnchorState::Absent,
            Some(anchor) if anchor.ending => AnchorState::Ending,
            Some(_) => AnchorState::Present,
        };
        let nodes = known.pods.values().map(|pod| sight.observed_node(pod, way)).collect();
        Observed { anchor, nodes }
    }
}

impl Sight {
    fn observed_node(&self, pod: &SeenPod, way: Option<&Way>) -> ObservedNode {
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
        }
    }

    /// Has the logs kept of pods that have ended, or that somebody else has told to.
    async fn keep_logs(&self, known: &Known) {
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

    async fn anchor(&self, cluster: &ClusterKey) -> Result<String, ProviderError> {
        let absent = || {
            let name = names::anchor(&cluster.name);
            let message = format!("cluster {} has no anchor: there is no configmap {name}", cluster.name);
            ProviderError::new(ErrorKind::NotFound, message)
        };
        let known = self.watch.known().await?;
        known.anchor.filter(|anchor| !anchor.ending).map(|anchor| anchor.uid).ok_or_else(absent)
    }

    /// Makes an object that a cluster has once, unless it is there. Returns its uid.
    async fn make(
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
    async fn ways(&self, of: Belonging<'_>) -> Result<(), ProviderError> {
        let (service, policy, clients) = tokio::join!(
            self.part(Part::Service, Resource::Services, of, Some(build::service(of))),
            self.part(Part::NetworkPolicy, Resource::NetworkPolicies, of, build::network_policy(of)),
            self.part(Part::ClientsPolicy, Resource::NetworkPolicies, of, build::clients_policy(of)),
        );
        service.and(policy).and(clients)
    }

    /// What pods of the request's role need to be there first.
    async fn parts(&self, of: Belonging<'_>, nodes: &[NodeRequest]) -> Result<(), ProviderError> {
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
    async fn launch(&self, of: Belonging<'_>, node: &NodeRequest) -> Result<(), ProviderError> {
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
    async fn end(&self, pod: &SeenPod, grace: Duration) -> Result<(), ProviderError> {
        self.keep_log(pod).await;
        self.tell(pod, grace).await
    }

    async fn tell(&self, pod: &SeenPod, grace: Duration) -> Result<(), ProviderError> {
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
    async fn no_pods(&self) -> Result<bool, ProviderError> {
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

/// Removes what was found, the anchor last. What of it is gone already is no failure.
async fn clear(client: &KubernetesClient, found: &[(Resource, Vec<Metadata>)]) -> Result<(), ProviderError> {
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

fn is_empty(found: &[(Resource, Vec<Metadata>)]) -> bool {
    found.iter().all(|(_, objects)| objects.is_empty())
}

async fn find(
    client: &KubernetesClient,
    selector: &str,
) -> Result<Vec<(Resource, Vec<Metadata>)>, ProviderError> {
    let calls = Resource::OWNED
        .iter()
        .map(|resource| async move { Ok((*resource, client.list(*resource, selector).await?)) });
    futures_util::future::try_join_all(calls).await
}

#[async_trait]
impl Provider for KubernetesProvider {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            start_deadline: START,
            visibility_delay: BEHIND,
            surrounding: Surrounding::NotNeeded,
            idle_period: IDLE_PERIOD,
        }
    }

    async fn prepare(
        &self,
        cluster: &ComputeCluster,
        caller: &Caller,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Prepared, ProviderError> {
        prepare::check_secrets(cluster, caller)?;
        progress(format!("asking {}", whom(self.context())));
        let (client, _) = self.shared.connection.client().await?;
        prepare::check_rights(&client).await?;
        prepare::check_namespace(&client, cluster, &self.installation()?).await?;
        let cluster_environment = prepare::resolve_image(&client, cluster, caller, progress).await?;
        Ok(Prepared { cluster_environment, interpreter: None })
    }

    async fn observe(&self, cluster: &ClusterKey) -> Result<Observed, ProviderError> {
        let sight = self.sight(cluster).await?;
        let known = sight.watch.known().await?;
        sight.keep_logs(&known).await;
        let way = self.way(cluster, &known).await?;
        Ok(Self::observed(&sight, &known, way.as_ref()))
    }

    async fn ensure_anchor(&self, request: &AnchorRequest) -> Result<(), ProviderError> {
        let cluster = &request.cluster;
        let sight = self.sight(cluster).await?;
        let installation = self.installation()?;
        let mut of = Belonging {
            cluster,
            installation: &installation,
            document: &request.document,
            namespace: &self.context().namespace,
            anchor: None,
        };
        // Before the anchor, because afterwards nobody asks for it any more.
        let secrets = secret_values(&request.document, &request.environment)?;
        if let Some(values) = &secrets {
            sight.make(Resource::Secrets, cluster, &build::environment_secret(of, values)).await?;
        }
        let uid = sight.make(Resource::ConfigMaps, cluster, &build::anchor(of)).await?;
        sight.watch.note_anchor(&uid);
        if secrets.is_some() {
            let owner = build::owner(cluster, &uid);
            sight.client.own(Resource::Secrets, &names::environment_secret(&cluster.name), owner).await?;
        }
        of.anchor = Some(&uid);
        sight.ways(of).await
    }

    async fn ensure_nodes(&self, request: &NodesRequest) -> Result<Vec<NodeFailure>, ProviderError> {
        let cluster = &request.cluster;
        let sight = self.sight(cluster).await?;
        let anchor = sight.anchor(cluster).await?;
        let installation = self.installation()?;
        let document = &*request.document;
        let of = Belonging {
            cluster,
            installation: &installation,
            document,
            namespace: &self.context().namespace,
            anchor: Some(&anchor),
        };
        Box::pin(sight.parts(of, &request.nodes)).await?;
        let launch = async |node: &NodeRequest| (node.id.name(), sight.launch(of, node).await);
        let calls: Vec<_> = request.nodes.iter().map(launch).collect();
        let launched: Vec<_> = stream::iter(calls).buffer_unordered(AT_ONCE).collect().await;
        let failed = launched.into_iter().filter_map(|(node, outcome)| Some((node, outcome.err()?)));
        Ok(failed.map(|(node, error)| NodeFailure { node, error }).collect())
    }

    async fn remove_nodes(
        &self,
        cluster: &ClusterKey,
        nodes: &[NodeName],
        how: Stop,
    ) -> Result<(), ProviderError> {
        let sight = self.sight(cluster).await?;
        let known = sight.watch.known().await?;
        let grace = match how {
            Stop::Now => AT_ONCE_GRACE,
            Stop::Gently(grace) => grace + Duration::from_secs(5),
        };
        // One that is told already, and need not hurry, is left to it.
        let told = |pod: &SeenPod| pod.ending && (pod.has_ended() || matches!(how, Stop::Gently(_)));
        let pods = nodes.iter().filter_map(|node| known.pods.get(node)).filter(|pod| !told(pod));
        let calls: Vec<_> = pods.map(|pod| sight.end(pod, grace)).collect();
        let ended: Vec<Result<(), ProviderError>> =
            stream::iter(calls).buffer_unordered(AT_ONCE).collect().await;
        ended.into_iter().collect()
    }

    async fn remove_anchor(&self, cluster: &ClusterKey) -> Result<Removal, ProviderError> {
        let sight = self.sight(cluster).await?;
        let selector = names::selector(&cluster.uid);
        let known = sight.watch.known().await?;
        let pods = known.pods.values().filter(|pod| !pod.ending || !pod.has_ended());
        let calls: Vec<_> = pods.map(|pod| sight.tell(pod, AT_ONCE_GRACE)).collect();
        stream::iter(calls).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        if !sight.no_pods().await? {
            return Ok(Removal::Ending);
        }
        let found = find(&sight.client, &selector).await?;
        clear(&sight.client, &found).await?;
        if !is_empty(&found) && !is_empty(&find(&sight.client, &selector).await?) {
            return Ok(Removal::Ending);
        }
        sight.logs.remove()?;
        self.forget(&cluster.uid).await?;
        Ok(Removal::Gone)
    }

    async fn list_managed(&self) -> Result<Vec<Managed>, ProviderError> {
        let (client, _) = self.shared.connection.client().await?;
        let selector = names::installation_selector(&self.installation()?);
        let found = find(&client, &selector).await?;
        Ok(managed(&found, self.context(), (self.shared.now)()))
    }

    async fn sweep(&self, managed: &Managed) -> Result<(), ProviderError> {
        let (client, _) = self.shared.connection.client().await?;
        let installation = names::installation_selector(&self.installation()?);
        let selector = format!("{},{installation}", names::selector(&managed.cluster));
        clear(&client, &find(&client, &selector).await?).await?;
        self.forget(&managed.cluster).await
    }

    fn watch(&self, cluster: &ClusterKey) -> BoxStream<'static, ()> {
        let changes = self.shared.clusters.entry(cluster).changes();
        WatchStream::from_changes(changes).map(|_| ()).boxed()
    }

    async fn logs(
        &self,
        cluster: &ClusterKey,
        node: &NodeName,
        request: LogRequest,
    ) -> Result<LogStream, ProviderError> {
        let kept = self.logs(&cluster.name);
        let sight = match self.sight(cluster).await {
            Ok(sight) => sight,
            // What lies here can be read without Kubernetes.
            Err(_) if kept.is_kept(node) => return kept.read(node, request.tail),
            Err(error) => return Err(error),
        };
        let known = sight.watch.known().await?;
        match known.pods.get(node) {
            Some(pod) if pod.started && !(pod.has_ended() && kept.is_kept(node)) => {
                let follow = if pod.has_ended() { Follow::No } else { request.follow };
                logs::of_pod(&sight.client, node, LogRequest { follow, ..request }).await
            }
            Some(_) if !kept.is_kept(node) => {
                let message = format!("{node} has no log yet: its container has not started");
                Err(ProviderError::new(ErrorKind::NotFound, message))
            }
            _ => kept.read(node, request.tail),
        }
    }

    async fn logged_nodes(&self, cluster: &ClusterKey) -> Result<Vec<NodeName>, ProviderError> {
        let kept = self.logs(&cluster.name).nodes().map_err(|error| {
            ProviderError::new(ErrorKind::Transient, format!("cannot read the logs that are kept: {error}"))
        })?;
        let known = self.sight(cluster).await?.watch.known().await?;
        let mut running: Vec<&SeenPod> =
            known.pods.values().filter(|pod| pod.started && !kept.contains(&pod.id.name())).collect();
        running.sort_by_key(|pod| pod.created_at);
        Ok(kept.iter().cloned().chain(running.iter().map(|pod| pod.id.name())).collect())
    }
}

/// Values of the document's secret variables; `None` where it has none.
fn secret_values(
    document: &ComputeCluster,
    environment: &CallerEnvironment,
) -> Result<Option<std::collections::BTreeMap<String, String>>, ProviderError> {
    let mut values = std::collections::BTreeMap::new();
    for name in prepare::secret_variables(document) {
        let Some(value) = environment.0.get(name) else {
            let message = format!("the value of {name}, which `secretEnv` names, is not at hand any more");
            return Err(ProviderError::new(ErrorKind::Auth, message)
                .with_hint("run the same `crewcall create` again, with the variable set"));
        };
        values.insert(name.to_owned(), value.clone());
    }
    Ok((!values.is_empty()).then_some(values))
}
