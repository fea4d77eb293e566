//! The provider: what the contract asks, in terms of EC2's calls.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use jiff::Timestamp;

use super::{
    anchor,
    api::{Belonging, Ec2Api, Filled},
    build::{self, Installed},
    copies,
    error::unfilled,
    fleet, leftovers,
    memory::Memories,
    names::{self, tag},
    observe::{self, InstanceState, Report, SeenInstance},
    parameters, prepare,
    way::{self, Ec2Forwarding},
};
use crate::{
    engine::Launch,
    model::{
        AnchorState, CallerContext, CallerEnvironment, ClusterKey, ClusterUid, ErrorKind, InstanceId,
        Launching, NodeName, Observed, ObservedNode, Passage,
    },
    provider::{
        AnchorRequest, Caller, Capabilities, FORWARDER, LaunchRequest, Launched, LogRequest, LogStream,
        Managed, NodeFailure, NodesRequest, Prepared, Provider, ProviderError, RecordCopies, RecordCopy,
        Removal, Stop, Surrounding, Vitality, WayIn, installation::installation,
    },
    spec::ComputeCluster,
};

/// Booting, and pulling an image, may take minutes.
const START: Duration = Duration::from_mins(12);

/// How long EC2 may not show what it has made.
const BEHIND: Duration = Duration::from_secs(30);

/// A machine costs a minute to start, and is paid by the second.
const IDLE_PERIOD: Duration = Duration::from_mins(2);

/// What was seen is good for so long.
const LOOK: Duration = Duration::from_secs(4);

/// How often somebody looks without a reason.
const POLL: Duration = Duration::from_secs(10);

/// Most instances of one call.
const BATCH: usize = 1_000;

/// Tells the time.
pub type Now = fn() -> Timestamp;

/// Clusters as EC2 instances of one account and region.
#[derive(Clone)]
pub struct Ec2Provider {
    shared: Arc<Shared>,
}

struct Shared {
    api: Arc<dyn Ec2Api>,
    whose: Whose,
    now: Now,
    memories: Memories,
    forwarding: Option<Ec2Forwarding>,
}

/// Whose clusters a provider makes and sweeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Those of the installation with that id.
    Installation(String),
    /// Those of the installation whose state is in that directory.
    Below(PathBuf),
}

impl Ec2Provider {
    /// With the way to an account and region, and none to dashboards.
    pub fn new(api: Arc<dyn Ec2Api>, whose: Whose, now: Now) -> Self {
        Self::with_forwarding(api, whose, now, None)
    }

    /// With the way to an account and region, and to the dashboards there.
    pub fn with_forwarding(
        api: Arc<dyn Ec2Api>,
        whose: Whose,
        now: Now,
        forwarding: Option<Ec2Forwarding>,
    ) -> Self {
        let memories = Memories::default();
        Self { shared: Arc::new(Shared { api, whose, now, memories, forwarding }) }
    }

    fn installation(&self) -> Result<String, ProviderError> {
        match &self.shared.whose {
            Whose::Installation(id) => Ok(id.clone()),
            Whose::Below(state) => installation(state),
        }
    }

    fn api(&self) -> &dyn Ec2Api {
        &*self.shared.api
    }

    async fn seen(&self, cluster: &ClusterUid) -> Result<Vec<SeenInstance>, ProviderError> {
        self.api().instances(&Belonging::Cluster(cluster.clone())).await
    }

    /// Reads the consoles of a few machines of which more is to be known. What cannot be read is not.
    async fn listen(&self, cluster: &ClusterUid, seen: &[SeenInstance]) {
        let now = (self.shared.now)();
        for instance in self.shared.memories.with(cluster, |memory| memory.note(seen, now)) {
            if let Ok(console) = self.api().console(&instance).await {
                self.shared.memories.with(cluster, |memory| memory.heard(&instance, Report::of(&console)));
            }
        }
    }

    /// The cluster's security group; as it was seen before, if it was.
    async fn group(&self, cluster: &ClusterUid) -> Result<Option<String>, ProviderError> {
        if let Some(group) = self.shared.memories.with(cluster, |memory| memory.group.clone()) {
            return Ok(Some(group));
        }
        let groups = self.api().groups(&Belonging::Cluster(cluster.clone())).await?;
        let group = groups.into_iter().next().map(|group| group.id);
        self.shared.memories.with(cluster, |memory| memory.group.clone_from(&group));
        Ok(group)
    }

    async fn terminate(&self, instances: &[InstanceId]) -> Result<(), ProviderError> {
        for batch in instances.chunks(BATCH) {
            self.terminate_known(batch.to_vec()).await?;
        }
        Ok(())
    }

    /// One that EC2 does not know keeps the others of its call alive; EC2 names all that it does not know.
    async fn terminate_known(&self, mut batch: Vec<InstanceId>) -> Result<(), ProviderError> {
        while !batch.is_empty() {
            let error = match self.api().terminate(&batch).await {
                Err(error) if error.kind == ErrorKind::NotFound => error,
                outcome => return outcome,
            };
            let asked = batch.len();
            batch.retain(|id| !error.message.contains(id.as_str()));
            if batch.len() == asked {
                // None is named: they are asked for one by one.
                for one in batch.iter().filter(|_| asked > 1) {
                    ignore_gone(self.api().terminate(std::slice::from_ref(one)).await)?;
                }
                break;
            }
        }
        Ok(())
    }
}

/// What is gone need not be removed.
fn ignore_gone(outcome: Result<(), ProviderError>) -> Result<(), ProviderError> {
    match outcome {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// The instance in a node's name, `<cluster>-<group>-<instance>`.
fn instance_of(node: &NodeName) -> Option<InstanceId> {
    let (_, digits) = node.as_str().rsplit_once("-i-")?;
    Some(InstanceId::new(format!("i-{digits}")))
}

#[async_trait]
impl Provider for Ec2Provider {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            start_deadline: START,
            visibility_delay: BEHIND,
            surrounding: Surrounding::NotNeeded,
            idle_period: IDLE_PERIOD,
            look_interval: LOOK,
            record_copies: RecordCopies::Kept,
            way_in: WayIn::ByAddress,
        }
    }

    async fn prepare(
        &self,
        cluster: &ComputeCluster,
        caller: &Caller,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Prepared, ProviderError> {
        let api = self.api();
        prepare::check(cluster, api.region())?;
        prepare::check_secrets(cluster, caller)?;
        api.renew(&caller.environment);
        progress(format!("asking EC2 in {}", api.region()));
        prepare::check_clients(cluster, api, &caller.environment).await?;
        api.groups(&Belonging::Installation(self.installation()?)).await?;
        let cluster_environment = prepare::image(cluster, caller, progress).await?;
        Ok(Prepared { cluster_environment, interpreter: None })
    }

    fn note_place(&self, context: &mut CallerContext) {
        if let Some(here) = self.api().context() {
            context.ec2 = Some(here.clone());
        }
    }

    fn renew(&self, environment: &CallerEnvironment) {
        self.api().renew(environment);
    }

    fn lend(&self, environment: &CallerEnvironment) {
        if let Some(forwarding) = &self.shared.forwarding {
            forwarding.lend(environment);
        }
    }

    async fn observe(&self, cluster: &ClusterKey) -> Result<Observed, ProviderError> {
        let seen = self.seen(&cluster.uid).await?;
        self.listen(&cluster.uid, &seen).await;
        let now = (self.shared.now)();
        let mut nodes: Vec<_> = self.shared.memories.with(&cluster.uid, |memory| {
            seen.iter()
                .filter(|one| memory.shows(one, now))
                .filter_map(|one| observe::node(cluster, one, &memory.of(&one.id), self.shared.api.region()))
                .collect()
        });
        self.link(cluster, &seen, &mut nodes).await;
        let is_present = seen.iter().any(leftovers::is_there) || self.group(&cluster.uid).await?.is_some();
        let anchor = if is_present { AnchorState::Present } else { AnchorState::Absent };
        Ok(Observed { anchor, nodes })
    }

    async fn ensure_anchor(&self, request: &AnchorRequest) -> Result<(), ProviderError> {
        let cluster = &request.cluster;
        let group = anchor::ensure(self.api(), request, &self.installation()?, (self.shared.now)()).await?;
        self.shared.memories.with(&cluster.uid, |memory| {
            memory.group = Some(group);
        });
        Ok(())
    }

    fn launching(&self, document: &ComputeCluster) -> Option<Launching> {
        Some(build::launching(document, self.shared.api.region()))
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Launched, ProviderError> {
        let document = &request.document;
        let choices = build::choices(document, &request.group, self.api().region());
        let choice = usize::try_from(request.choice).ok().and_then(|index| choices.get(index));
        let choice = choice.ok_or_else(|| {
            let message =
                format!("the choice {} of group {} is not there any more", request.choice, request.group);
            ProviderError::new(ErrorKind::Invalid, message)
        })?;
        let Some(group) = self.group(&request.cluster.uid).await? else {
            let message = "the cluster's security group is not there yet";
            return Err(ProviderError::new(ErrorKind::NotFound, message));
        };
        let Launch::Dask(program) = &*request.program;
        let wanted = &program.secret_environment;
        let installation = self.installation()?;
        let placed =
            parameters::ensure(self.api(), &self.shared.memories, &installation, request, wanted).await?;
        let template = document.spec.machine_template(&request.group);
        let root_device = match template.ami.as_deref().filter(|ami| ami.starts_with("ami-")) {
            Some(ami) if template.disk.is_some() => self.api().root_device(ami).await?,
            _ => None,
        };
        let ssm = self.api().machines_ssm();
        let installed = Installed {
            installation: &installation,
            region: self.api().region(),
            ssm: &ssm,
            group: &group,
            secrets: &placed.secrets,
            files: placed.files,
            root_device: root_device.as_deref(),
        };
        let outcome = match choice.single() {
            Some(pool) => {
                let call = build::launch(request, choice, pool, installed)?;
                let made = self.api().run_instances(&call).await;
                made.map(|instances| Filled { instances, refusals: Vec::new() })
            }
            None => fleet::launch(self.api(), &self.shared.memories, request, choice, installed).await,
        };
        let mut filled = match outcome {
            // The token speaks for what it made before, whatever its call was made of.
            Err(error) if error.kind == ErrorKind::Conflict => {
                let made = self.of_launch(request).await?;
                if made.is_empty() {
                    return Err(error);
                }
                Filled { instances: made, refusals: Vec::new() }
            }
            outcome => outcome?,
        };
        match (filled.instances.as_slice(), filled.refusals.as_slice()) {
            // An answer that says nothing.
            ([], []) => filled.instances = self.of_launch(request).await?,
            ([], refusals) => return Err(unfilled(refusals)),
            _ => {}
        }
        filled.instances.sort();
        let is_short = filled.instances.len() < request.count as usize && !filled.refusals.is_empty();
        let shortfall = is_short.then(|| unfilled(&filled.refusals));
        Ok(Launched { instances: filled.instances, shortfall })
    }

    async fn set_expiry(
        &self,
        _cluster: &ClusterKey,
        nodes: &[NodeName],
        at: Option<Timestamp>,
    ) -> Result<(), ProviderError> {
        let instances: Vec<InstanceId> = nodes.iter().filter_map(instance_of).collect();
        for batch in instances.chunks(BATCH) {
            match at {
                Some(at) => {
                    let tags = BTreeMap::from([(tag::EXPIRES_AT.to_owned(), names::moment(at))]);
                    self.api().tag(batch, &tags).await?;
                }
                None => self.api().untag(batch, tag::EXPIRES_AT).await?,
            }
        }
        Ok(())
    }

    async fn ensure_nodes(&self, _: &NodesRequest) -> Result<Vec<NodeFailure>, ProviderError> {
        Err(ProviderError::new(
            ErrorKind::Invalid,
            "EC2 names its machines itself: they are launched in batches",
        ))
    }

    async fn remove_nodes(
        &self,
        cluster: &ClusterKey,
        nodes: &[NodeName],
        _: Stop,
    ) -> Result<(), ProviderError> {
        let wanted: Vec<InstanceId> = nodes.iter().filter_map(instance_of).collect();
        self.terminate(&wanted).await?;
        self.shared.memories.with(&cluster.uid, |memory| memory.removed.extend(wanted));
        Ok(())
    }

    async fn keep_copy(&self, cluster: &ClusterKey, copy: &RecordCopy) -> Result<(), ProviderError> {
        copies::keep(self.api(), &self.installation()?, &cluster.uid, copy).await
    }

    async fn copy_of(&self, cluster: &ClusterUid) -> Result<Option<RecordCopy>, ProviderError> {
        copies::newest(self.api(), &self.installation()?, cluster).await
    }

    async fn remove_anchor(&self, cluster: &ClusterKey) -> Result<Removal, ProviderError> {
        let removal = self.clear(&cluster.uid).await?;
        if removal == Removal::Gone {
            self.shared.memories.forget(&cluster.uid);
        }
        Ok(removal)
    }

    async fn list_managed(&self) -> Result<Vec<Managed>, ProviderError> {
        let own = self.installation()?;
        let seen = self.api().instances(&Belonging::Anybody).await?;
        let groups = self.api().groups(&Belonging::Installation(own.clone())).await?;
        let templates = self.api().templates(&Belonging::Installation(own.clone())).await?;
        let now = (self.shared.now)();
        let here = leftovers::Here { installation: &own, region: self.api().region(), now };
        let mut all = here.managed(seen, &groups, &templates);
        if let Some(forwarding) = &self.shared.forwarding {
            // That of a cluster whose machines or group are there goes with them.
            let alone = |held: &Managed| !all.iter().any(|managed| managed.cluster == held.cluster);
            let held: Vec<Managed> = forwarding.managed(now)?.into_iter().filter(alone).collect();
            all.extend(held);
        }
        Ok(all)
    }

    async fn sweep(&self, managed: &Managed) -> Result<(), ProviderError> {
        if managed.id.starts_with(FORWARDER) {
            return self.end_forwarder(&managed.cluster).await;
        }
        if managed.vitality != Vitality::Expired {
            return self.clear(&managed.cluster).await.map(|_| ());
        }
        let (seen, now) = (self.seen(&managed.cluster).await?, (self.shared.now)());
        let over: Vec<InstanceId> =
            seen.iter().filter(|one| leftovers::is_expired(one, now)).map(|one| one.id.clone()).collect();
        self.terminate(&over).await
    }

    fn watch(&self, _: &ClusterKey) -> BoxStream<'static, ()> {
        stream::unfold((), |()| async { Some((tokio::time::sleep(POLL).await, ())) }).boxed()
    }

    /// Only who goes through a session hears of it: others connect straight.
    fn passage(&self, cluster: &ClusterKey) -> Passage {
        let by_session = self.shared.memories.with(&cluster.uid, |memory| memory.by_session);
        match &self.shared.forwarding {
            Some(forwarding) if by_session => forwarding.passage(&cluster.uid),
            _ => Passage::default(),
        }
    }

    async fn logs(
        &self,
        _: &ClusterKey,
        node: &NodeName,
        request: LogRequest,
    ) -> Result<LogStream, ProviderError> {
        let instance = instance_of(node)
            .ok_or_else(|| ProviderError::new(ErrorKind::NotFound, format!("{node} is no machine of EC2")))?;
        let console = self.api().console(&instance).await?;
        let lines = observe::own_lines(&console);
        let skipped = request.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
        let text: String = lines.iter().skip(skipped).flat_map(|line| [line.as_str(), "\n"]).collect();
        Ok(stream::iter([Ok(text.into_bytes())]).boxed())
    }

    async fn logged_nodes(&self, cluster: &ClusterKey) -> Result<Vec<NodeName>, ProviderError> {
        let mut seen = self.seen(&cluster.uid).await?;
        seen.sort_by_key(|one| one.launched_at);
        let region = self.api().region();
        let named = |one: &SeenInstance| observe::node(cluster, one, &observe::Remembered::default(), region);
        Ok(seen.iter().filter_map(named).map(|node| node.id.name()).collect())
    }
}

impl Ec2Provider {
    async fn of_launch(&self, request: &LaunchRequest) -> Result<Vec<InstanceId>, ProviderError> {
        let of = Belonging::Launch(request.cluster.uid.clone(), request.launch.clone());
        Ok(self.api().instances(&of).await?.into_iter().map(|one| one.id).collect())
    }

    /// Gives the scheduler that runs its dashboard's link.
    async fn link(&self, cluster: &ClusterKey, seen: &[SeenInstance], nodes: &mut [ObservedNode]) {
        let Some(forwarding) = &self.shared.forwarding else { return };
        // EC2 may show a machine as running for a while that was told to end.
        if self.shared.memories.with(&cluster.uid, |memory| memory.clearing) {
            return;
        }
        let Some(scheduler) = way::scheduler(seen) else { return };
        let name = |node: &ObservedNode| instance_of(&node.id.name());
        let node = nodes.iter_mut().find(|node| name(node).as_ref() == Some(&scheduler.id));
        let Some(node) = node else { return };
        let session = scheduler.is_reached_by_session().then_some(&scheduler.id);
        let address = if session.is_some() { &node.address } else { &node.reach };
        let Some(address) = address else { return };
        self.shared.memories.with(&cluster.uid, |memory| memory.by_session = session.is_some());
        let Some(through) = forwarding.through(cluster, address, session).await else { return };
        if session.is_some() {
            node.reach = Some(through.reach);
        }
        node.dashboard = Some(through.dashboard);
    }

    async fn end_forwarder(&self, cluster: &ClusterUid) -> Result<(), ProviderError> {
        match &self.shared.forwarding {
            Some(forwarding) => forwarding.end(cluster).await,
            None => Ok(()),
        }
    }

    /// Removes a cluster: the forwarder, machines until they are gone, fleets and templates, parameters,
    /// the group last.
    async fn clear(&self, cluster: &ClusterUid) -> Result<Removal, ProviderError> {
        self.shared.memories.with(cluster, |memory| memory.clearing = true);
        // What costs money goes first, whatever becomes of a process here.
        let forwarder = self.end_forwarder(cluster).await;
        let seen = self.seen(cluster).await?;
        let live: Vec<InstanceId> = seen
            .iter()
            .filter(|one| leftovers::is_there(one) && one.state != InstanceState::ShuttingDown)
            .map(|one| one.id.clone())
            .collect();
        self.terminate(&live).await?;
        forwarder?;
        if seen.iter().any(leftovers::is_there) {
            return Ok(Removal::Ending);
        }
        fleet::remove(self.api(), &self.shared.memories, cluster, &seen).await?;
        parameters::remove(self.api(), &self.installation()?, cluster).await?;
        let groups = self.api().groups(&Belonging::Cluster(cluster.clone())).await?;
        for group in &groups {
            match self.api().delete_group(&group.id).await {
                // Interfaces of machines that have ended are seen a little longer.
                Err(error) if error.kind == ErrorKind::Conflict => return Ok(Removal::Ending),
                outcome => ignore_gone(outcome)?,
            }
        }
        self.shared.memories.with(cluster, |memory| memory.group = None);
        // Only a look that shows nothing says that nothing is left.
        Ok(if groups.is_empty() { Removal::Gone } else { Removal::Ending })
    }
}
