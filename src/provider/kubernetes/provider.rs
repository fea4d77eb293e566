//! The provider: what the contract asks, in terms of Kubernetes objects.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use kube::Client;
use tokio_stream::wrappers::WatchStream;

use super::{
    build::{self, Belonging},
    client::Resource,
    clusters::Clusters,
    connection::Connection,
    error::whom,
    family::Now,
    logs::{self, KeptLogs},
    managed::managed,
    names,
    objects::{AT_ONCE, AT_ONCE_GRACE, clear, find, is_empty},
    observe::SeenPod,
    prepare,
    sight::Sight,
    watch::Known,
    way::{self, Way, scheme},
};
use crate::{
    model::{
        AnchorState, CallerEnvironment, ClusterKey, ClusterUid, ErrorKind, KubernetesContext, NodeName,
        Observed, Passage, label,
    },
    provider::{
        AnchorRequest, Caller, Capabilities, FORWARDER, Follow, Forwarding, LogRequest, LogStream, Managed,
        NodeFailure, NodeRequest, NodesRequest, Prepared, Provider, ProviderError, RecordCopies, Removal,
        Stop, Surrounding, WayIn, installation::installation,
    },
    spec::{ClusterName, ComputeCluster},
};

/// Pulling an image, and having a machine for the pod, may take minutes.
const START: Duration = Duration::from_mins(15);

/// A pod costs seconds to start, and its Kubernetes node perhaps minutes.
const IDLE_PERIOD: Duration = Duration::from_mins(1);

/// How long a look may be behind a call of ours.
const BEHIND: Duration = Duration::from_secs(5);

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
    /// Whose objects are made and swept; `None`: those of the installation in the state directory.
    installation: Option<&'static str>,
}

impl KubernetesProvider {
    /// For an API server and namespace, with the directory of the installation's state. Nothing is asked yet.
    /// Without forwarders whoever uses it has a route to pods.
    pub fn new(context: KubernetesContext, state: PathBuf, now: Now, forwarding: Option<Forwarding>) -> Self {
        let connection = Connection::new(context);
        let clusters = Clusters::default();
        Self { shared: Arc::new(Shared { connection, state, now, clusters, forwarding, installation: None }) }
    }

    /// For clusters that custom resources want, by whoever has a route to their pods. Logs of pods that have ended
    /// are kept below `state` while their cluster lives.
    pub fn of_operator(context: KubernetesContext, client: Client, state: PathBuf, now: Now) -> Self {
        let connection = Connection::with_client(context, client);
        let clusters = Clusters::together(names::installation_selector(label::OPERATOR));
        let installation = Some(label::OPERATOR);
        Self { shared: Arc::new(Shared { connection, state, now, clusters, forwarding: None, installation }) }
    }

    fn context(&self) -> &KubernetesContext {
        self.shared.connection.context()
    }

    fn installation(&self) -> Result<String, ProviderError> {
        match self.shared.installation {
            Some(id) => Ok(id.to_owned()),
            None => installation(&self.shared.state),
        }
    }

    fn logs(&self, cluster: &ClusterName) -> KeptLogs {
        KeptLogs::of(&self.shared.state, cluster)
    }

    async fn sight(&self, cluster: &ClusterKey) -> Result<Sight, ProviderError> {
        let (client, number) = self.shared.connection.client().await?;
        let entry = self.shared.clusters.entry(cluster);
        let watch = self.shared.clusters.watch(&entry, &client, number);
        Ok(Sight { client, entry, watch, logs: self.logs(&cluster.name) })
    }

    /// How the scheduler is reached from here, if one runs.
    async fn way(
        &self,
        cluster: &ClusterKey,
        sight: &Sight,
        known: &Known,
    ) -> Result<Option<Way>, ProviderError> {
        let Some((pod, address)) = known.pods.values().find_map(|pod| Some((pod, pod.endpoint()?))) else {
            return Ok(None);
        };
        let forwarding = match &self.shared.forwarding {
            Some(forwarding) if self.context().name().is_some() => forwarding,
            _ => return Ok(Way::direct(address, pod.ip.as_deref())),
        };
        let lent = self.shared.connection.lent();
        let mut way = way::forwarded(forwarding, cluster, self.context(), &lent, address).await?;
        sight.entry.listen(|changed| forwarding.listen(&cluster.uid, changed));
        if let Some(node) = &pod.exposed_on {
            let service = names::service(&cluster.name);
            if let Some(place) = sight.entry.outside(&sight.client, &service, &pod.uid, node).await {
                way.reach = format!("{}://{place}", scheme(address));
            }
        }
        Ok(Some(way))
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

#[async_trait]
impl Provider for KubernetesProvider {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            start_deadline: START,
            visibility_delay: BEHIND,
            surrounding: Surrounding::NotNeeded,
            idle_period: IDLE_PERIOD,
            look_interval: Duration::ZERO,
            record_copies: RecordCopies::NotKept,
            way_in: WayIn::Open,
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
        let way = self.way(cluster, &sight, &known).await?;
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
            resource: request.context.custom_resource.as_ref(),
        };
        // Before the anchor, because afterwards nobody asks for it any more.
        // Whoever makes a custom resource makes the Secret with the values, too.
        let secrets = match of.resource {
            Some(_) => None,
            None => secret_values(&request.document, &request.environment)?,
        };
        if let Some(values) = &secrets {
            sight.make(Resource::Secrets, cluster, &build::environment_secret(of, values)).await?;
        }
        let uid = sight.make(Resource::ConfigMaps, cluster, &build::anchor(of)).await?;
        sight.watch.note_anchor(&uid, of.resource.cloned());
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
            anchor: Some(&anchor.uid),
            resource: anchor.resource.as_ref(),
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
        // The lists were of this moment, and whatever would appear has an owner that is gone.
        Ok(Removal::GoneForGood)
    }

    async fn list_managed(&self) -> Result<Vec<Managed>, ProviderError> {
        let (client, _) = self.shared.connection.client().await?;
        let selector = names::installation_selector(&self.installation()?);
        let found = find(&client, &selector).await?;
        let now = (self.shared.now)();
        let mut all = managed(&found, self.context(), now);
        if let Some(forwarding) = &self.shared.forwarding {
            // That of a cluster whose objects are there goes with them.
            let alone = |held: &Managed| !all.iter().any(|managed| managed.cluster == held.cluster);
            let held: Vec<Managed> =
                forwarding.managed(&self.context().server, now)?.into_iter().filter(alone).collect();
            all.extend(held);
        }
        Ok(all)
    }

    async fn sweep(&self, managed: &Managed) -> Result<(), ProviderError> {
        if managed.id.starts_with(FORWARDER) {
            return self.forget(&managed.cluster).await;
        }
        let (client, _) = self.shared.connection.client().await?;
        let installation = names::installation_selector(&self.installation()?);
        let selector = format!("{},{installation}", names::selector(&managed.cluster));
        clear(&client, &find(&client, &selector).await?).await?;
        self.forget(&managed.cluster).await
    }

    fn passage(&self, cluster: &ClusterKey) -> Passage {
        let forwarding = self.shared.forwarding.as_ref().filter(|_| self.context().name().is_some());
        forwarding.map_or_else(Passage::default, |forwarding| forwarding.passage(&cluster.uid))
    }

    fn lend(&self, environment: &CallerEnvironment) {
        self.shared.connection.lend(environment);
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
    for name in document.spec.secret_variables() {
        let Some(value) = environment.0.get(name) else {
            let message = format!("the value of {name}, which `secretEnv` names, is not at hand any more");
            return Err(ProviderError::new(ErrorKind::Auth, message)
                .with_hint("run the same `crewcall create` again, with the variable set"));
        };
        values.insert(name.to_owned(), value.clone());
    }
    Ok((!values.is_empty()).then_some(values))
}
