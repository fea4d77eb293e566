//! All clusters of one controller.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::watch;

use super::{
    Clock, ClusterCell, ClusterSummary, ClusterView, Listed, Reconciler, RequestError, Tools,
    failpoint::failpoint, requests::is_dormant, turn::Turn,
};
use crate::{
    engine::Engine,
    model::{
        BootId, CallerContext, CallerEnvironment, ClusterRecord, ClusterUid, EndReason, Ending, Event,
        EventKind, MachineId, NodeName, Phase, Presence, Severity,
    },
    provider::{LogRequest, LogStream, NoProvider, Provider, Providers},
    spec::{ClusterName, ProviderKind},
    store::{Store, StoreError, Strangers, Unreadable},
    telemetry::Unmeasured,
};

/// Which machine this is, and which of its boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The machine.
    pub machine: MachineId,
    /// The boot.
    pub boot: BootId,
}

/// What a fleet works with.
pub struct FleetTools {
    /// The providers that this program has.
    pub providers: Providers,
    /// What runs in clusters.
    pub engine: Arc<dyn Engine>,
    /// Where what was decided lasts.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New uids.
    pub uids: Box<dyn Fn() -> ClusterUid + Send + Sync>,
    /// Where this runs.
    pub installation: Installation,
}

/// All clusters of one controller, each with its loop.
pub struct Fleet {
    pub(super) tools: FleetTools,
    members: Mutex<BTreeMap<ClusterName, Member>>,
    /// One create at a time for each name.
    names: Mutex<BTreeMap<ClusterName, Arc<Turn>>>,
    changed: watch::Sender<u64>,
}

#[derive(Clone)]
pub(super) struct Member {
    pub(super) cell: Arc<ClusterCell>,
    pub(super) standing: Standing,
}

/// Whose a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its loop runs here.
    Ours,
    /// Its nodes ended with an earlier boot of this machine.
    Lost,
    /// Another machine looks after it.
    Elsewhere,
}

impl Fleet {
    /// Takes over all clusters that are in the store.
    pub async fn open(tools: FleetTools) -> Result<Arc<Self>, StoreError> {
        let records = tools.store.list().await?;
        let fleet = Arc::new(Self {
            tools,
            members: Mutex::default(),
            names: Mutex::default(),
            changed: watch::Sender::new(0),
        });
        for record in records {
            match record {
                Ok(record) => fleet.take_over(record).await,
                Err(unreadable) => tracing::warn!("{unreadable}"),
            }
        }
        Ok(fleet)
    }

    /// Waits until every cluster of ours was looked at, at most for `bound`. Before, one that runs looks as
    /// if it were starting.
    pub async fn first_look(&self, bound: Duration) {
        let ours: Vec<_> =
            self.members().values().filter(|member| member.standing == Standing::Ours).cloned().collect();
        let looks = join_all(ours.iter().map(|member| member.cell.looked()));
        if tokio::time::timeout(bound, looks).await.is_err() {
            tracing::warn!("not every cluster could be looked at within {} s", bound.as_secs());
        }
    }

    async fn take_over(self: &Arc<Self>, record: ClusterRecord) {
        let Installation { machine, boot } = &self.tools.installation;
        let local = record.wanted.document.spec.provider.kind() == ProviderKind::Local;
        let standing = if record.wanted.machine != *machine {
            Standing::Elsewhere
        } else if local && record.wanted.boot != *boot {
            Standing::Lost
        } else {
            Standing::Ours
        };
        let (kind, message) = match standing {
            Standing::Elsewhere => return self.add(record, None, standing),
            Standing::Ours => (EventKind::Adopted, "a new controller looks after the cluster"),
            Standing::Lost => {
                (EventKind::Lost, "the machine was restarted; nothing of the cluster runs any more")
            }
        };
        let key = record.key();
        let told = self.tools.store.events(&key, 1).await.unwrap_or_default();
        let news = told.last().is_none_or(|event| event.kind != kind);
        // One that was being deleted has nothing to lose.
        let deleting = matches!(record.wanted.presence, Presence::Absent(_));
        self.add(record, None, if deleting { Standing::Ours } else { standing });
        if let Some(member) = self.member(&key.name).filter(|_| news) {
            let severity = if standing == Standing::Lost { Severity::Warning } else { Severity::Normal };
            let at = self.tools.clock.now();
            member
                .cell
                .report(vec![Event { at, severity, kind, node: None, message: message.to_owned() }])
                .await;
        }
    }

    /// Adds a cluster whose record is in the store, and starts its loop if it is ours.
    pub(super) fn add(
        self: &Arc<Self>,
        record: ClusterRecord,
        environment: Option<CallerEnvironment>,
        standing: Standing,
    ) {
        let provider = self.provider_of(&record);
        let cell = ClusterCell::new(self.tools.store.clone(), record, environment);
        let member = Member { cell, standing };
        self.members().insert(member.cell.key().name.clone(), member.clone());
        self.changed.send_modify(|n| *n += 1);
        if standing == Standing::Ours {
            self.start(member.cell, provider);
        }
    }

    /// Starts the loop of a cluster.
    fn start(self: &Arc<Self>, cell: Arc<ClusterCell>, provider: Result<Arc<dyn Provider>, RequestError>) {
        let provider = match provider {
            Ok(provider) => provider,
            Err(error) => {
                tracing::warn!(cluster = %cell.key().name, "nobody looks after it: {error}");
                return;
            }
        };
        let tools = Tools {
            provider,
            engine: self.tools.engine.clone(),
            store: self.tools.store.clone(),
            clock: self.tools.clock.clone(),
            measure: Arc::new(Unmeasured),
        };
        let reconciler = Reconciler::new(tools, cell.clone());
        let fleet = self.clone();
        tokio::spawn(async move {
            reconciler.run().await;
            fleet.forget(cell.key());
        });
    }

    fn forget(&self, cluster: &crate::model::ClusterKey) {
        let mut members = self.members();
        if members.get(&cluster.name).is_some_and(|member| member.cell.key() == cluster) {
            members.remove(&cluster.name);
        }
        drop(members);
        self.changed.send_modify(|n| *n += 1);
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<ClusterName, Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn member(&self, name: &ClusterName) -> Option<Member> {
        self.members().get(name).cloned()
    }

    /// Had while a cluster of that name is being created.
    pub(super) fn turn(&self, name: &ClusterName) -> Arc<Turn> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, turn| Arc::strong_count(turn) > 1);
        names.entry(name.clone()).or_default().clone()
    }

    pub(super) fn provider(
        &self,
        kind: ProviderKind,
        context: &CallerContext,
    ) -> Result<Arc<dyn Provider>, RequestError> {
        self.tools.providers.of(kind, context).map_err(|reason| match reason {
            NoProvider::NotBuilt => RequestError::NoProvider(kind.as_str()),
            NoProvider::NoPlace => RequestError::NoPlace(kind.as_str()),
        })
    }

    pub(super) fn provider_of(&self, record: &ClusterRecord) -> Result<Arc<dyn Provider>, RequestError> {
        self.provider(record.wanted.document.spec.provider.kind(), &record.wanted.context)
    }

    /// Changes whenever a cluster comes or goes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How many clusters this controller looks after.
    pub fn size(&self) -> usize {
        self.members().values().filter(|member| member.standing == Standing::Ours).count()
    }

    /// Whether this controller knows the newest of that name. It hears nothing of what other machines do
    /// in the same store: see [`Self::look_around`].
    pub fn is_current(&self, name: &ClusterName) -> bool {
        self.member(name).is_some_and(|member| member.standing != Standing::Elsewhere)
    }

    /// Takes note of the clusters that other machines have made, changed or removed in the same store.
    pub async fn look_around(self: &Arc<Self>) -> Result<(), RequestError> {
        let found = self.tools.store.list().await?;
        let names = found.iter().map(|found| match found {
            Ok(record) => record.name().as_str(),
            Err(unreadable) => unreadable.name.as_str(),
        });
        let names: BTreeSet<&str> = names.collect();
        let gone = self.members().keys().filter(|name| !names.contains(name.as_str())).cloned().collect();
        self.note_others(&found, &gone).await;
        Ok(())
    }

    async fn note_others(
        self: &Arc<Self>,
        found: &[Result<ClusterRecord, Unreadable>],
        gone: &BTreeSet<ClusterName>,
    ) {
        for member in gone.iter().filter_map(|name| self.member(name)) {
            if member.standing == Standing::Elsewhere {
                self.forget(member.cell.key());
            }
        }
        let here = &self.tools.installation.machine;
        for record in found.iter().flatten().filter(|record| record.wanted.machine != *here) {
            let news = match self.member(record.name()) {
                None => true,
                Some(known) => known.standing == Standing::Elsewhere && known.cell.record().await != *record,
            };
            if news {
                self.add(record.clone(), None, Standing::Elsewhere);
            }
        }
    }

    /// All clusters, and the records that cannot be used.
    pub async fn list(self: &Arc<Self>) -> Result<Vec<Listed>, RequestError> {
        self.listed(Member::view).await
    }

    /// The same, as a table shows it.
    pub async fn summaries(self: &Arc<Self>) -> Result<Vec<Listed<ClusterSummary>>, RequestError> {
        self.listed(Member::summary).await
    }

    /// What is known is in memory; only records of other names are read.
    async fn listed<T>(
        self: &Arc<Self>,
        shown: impl Fn(&Member) -> T,
    ) -> Result<Vec<Listed<T>>, RequestError> {
        let known = self.members().keys().cloned().collect();
        let Strangers { found, gone } = self.tools.store.strangers(&known).await?;
        self.note_others(&found, &gone).await;
        let members = self.members().clone();
        let unreadable = found.into_iter().filter_map(Result::err);
        let unreadable = unreadable.map(|record| Listed::Unreadable {
            problem: format!("{} (hint: {})", record.problem, record.hint),
            name: record.name,
        });
        let known = members.values().map(|member| Listed::Cluster(Box::new(shown(member))));
        Ok(known.chain(unreadable).collect())
    }

    /// One cluster.
    pub fn get(&self, name: &ClusterName) -> Result<ClusterView, RequestError> {
        Ok(self.existing(name)?.view())
    }

    /// One cluster, to be followed.
    pub fn cell(&self, name: &ClusterName) -> Result<Arc<ClusterCell>, RequestError> {
        Ok(self.existing(name)?.cell)
    }

    pub(super) fn existing(&self, name: &ClusterName) -> Result<Member, RequestError> {
        self.member(name).ok_or_else(|| RequestError::NotFound(name.clone()))
    }

    /// One cluster that can be changed from here.
    pub(super) async fn changeable(&self, name: &ClusterName) -> Result<Member, RequestError> {
        let member = self.existing(name)?;
        match member.standing {
            Standing::Ours => Ok(member),
            Standing::Lost => Err(RequestError::Refused(format!(
                "cluster {name} was lost when its machine restarted; create it again, or delete it"
            ))),
            Standing::Elsewhere => Err(member.elsewhere().await),
        }
    }

    /// Has a cluster deleted. It is gone when it is no longer listed.
    pub async fn delete(self: &Arc<Self>, name: &ClusterName) -> Result<ClusterView, RequestError> {
        let member = self.existing(name)?;
        if member.standing == Standing::Elsewhere {
            return Err(member.elsewhere().await);
        }
        let now = self.tools.clock.now();
        failpoint("delete.before-store");
        let news = member.cell.update::<_, StoreError>(|record| {
            let present = record.wanted.presence == Presence::Present;
            if present {
                record.wanted.presence = Presence::Absent(Ending { at: now, reason: EndReason::Deleted });
                record.wanted.generation += 1;
            }
            Ok(present)
        });
        let news = news.await?;
        failpoint("delete.after-store");
        if news {
            let (severity, kind, message) =
                (Severity::Normal, EventKind::Deleting, "being torn down: it was deleted".to_owned());
            member.cell.report(vec![Event { at: now, severity, kind, node: None, message }]).await;
        }
        if member.standing == Standing::Lost {
            self.revive(&member).await;
        }
        Ok(member.view())
    }

    /// Runs the loop of a lost cluster, so that it cleans up.
    async fn revive(self: &Arc<Self>, member: &Member) {
        let provider = self.provider_of(&member.cell.record().await);
        let key = member.cell.key().name.clone();
        let dormant = self.members().get_mut(&key).is_some_and(|known| {
            let dormant = known.standing == Standing::Lost;
            known.standing = Standing::Ours;
            dormant
        });
        if dormant {
            self.start(member.cell.clone(), provider);
        }
    }

    /// The newest events of a cluster, oldest first.
    pub async fn events(&self, name: &ClusterName, limit: usize) -> Result<Vec<Event>, RequestError> {
        let member = self.existing(name)?;
        Ok(self.tools.store.events(member.cell.key(), limit).await?)
    }

    /// The nodes of a cluster that have a log.
    pub async fn logged_nodes(&self, name: &ClusterName) -> Result<Vec<NodeName>, RequestError> {
        let (member, provider) = self.with_provider(name).await?;
        Ok(provider.logged_nodes(member.cell.key()).await?)
    }

    /// The log of a node.
    pub async fn logs(
        &self,
        name: &ClusterName,
        node: &NodeName,
        request: LogRequest,
    ) -> Result<LogStream, RequestError> {
        let (member, provider) = self.with_provider(name).await?;
        Ok(provider.logs(member.cell.key(), node, request).await?)
    }

    async fn with_provider(&self, name: &ClusterName) -> Result<(Member, Arc<dyn Provider>), RequestError> {
        let member = self.existing(name)?;
        let provider = self.provider_of(&member.cell.record().await)?;
        Ok((member, provider))
    }
}

impl Member {
    /// What is shown of it.
    pub(super) fn view(&self) -> ClusterView {
        let mut view = (*self.cell.view()).clone();
        view.phase = self.phase(view.phase);
        if is_dormant(view.phase) {
            // What was last known of its nodes is not true any more, or not ours to tell.
            view.nodes.clear();
            view.conditions.clear();
            view.endpoint = None;
            view.dashboard = None;
        }
        view
    }

    /// What a table shows of it, without a copy of all the rest: there may be a thousand.
    fn summary(&self) -> ClusterSummary {
        let mut summary = ClusterSummary::from(&*self.cell.view());
        summary.phase = self.phase(summary.phase);
        if is_dormant(summary.phase) {
            summary.endpoint = None;
            summary.dashboard = None;
        }
        summary
    }

    fn phase(&self, ours: Phase) -> Phase {
        match self.standing {
            Standing::Ours => ours,
            Standing::Lost => Phase::Lost,
            Standing::Elsewhere => Phase::Elsewhere,
        }
    }

    pub(super) async fn elsewhere(&self) -> RequestError {
        let record = self.cell.record().await;
        let machine = record.wanted.machine.to_string();
        RequestError::Elsewhere { name: record.name().clone(), machine }
    }
}
