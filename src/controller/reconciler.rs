//! The loop of one cluster: observe, plan, note, act.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::BoxStream};
use jiff::Timestamp;
use tokio::task::JoinSet;

use super::{
    Clock, ClusterCell, IdentityError,
    engine_watch::EngineWatch,
    failpoint::failpoint,
    identities::Identities,
    operations::{self, Finished},
};
use crate::{
    engine::{Belts, Endpoint, Engine, Ranking, StatusQuestion},
    environment,
    model::{
        ClusterRecord, Cut, Ending, ErrorKind, Event, EventKind, Interpreter, NodeName, Observed, Presence,
        Severity, Slot, SoftwareVersions,
    },
    plan::{self, EngineView, EnvironmentMatch, Facts, Operations, Outcome, Plan, Situation, Surroundings},
    provider::{Provider, ProviderError, Surrounding},
    store::{Store, StoreError},
    telemetry::Measure,
};

/// Without any hint or timer, the world is looked at this often.
const RESYNC: Duration = Duration::from_secs(30);

/// What the loop works with.
#[derive(Clone)]
pub struct Tools {
    /// Where the cluster runs.
    pub provider: Arc<dyn Provider>,
    /// What runs in it.
    pub engine: Arc<dyn Engine>,
    /// Where what was decided lasts.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who counts what is done.
    pub measure: Arc<dyn Measure>,
}

/// So many events are looked through for the last cut that was spoken of.
const REMEMBERED: usize = 1000;

/// How long a scheduler may take to say what is installed.
const VERSIONS: Duration = Duration::from_secs(5);

/// So many ticks in a row may fail before it is shown that the cluster cannot be seen.
const UNSHOWN_FAILURES: u32 = 1;

/// A tick that came to nothing; it is made again, later each time.
#[derive(Debug, thiserror::Error)]
enum TickError {
    #[error("cannot see what runs: {0}")]
    Observe(#[from] ProviderError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Identities(#[from] IdentityError),
}

impl TickError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Observe(error) => error.kind.as_str(),
            Self::Store(_) => "Store",
            Self::Identities(_) => "Identities",
        }
    }
}

/// Whether the loop goes on.
enum Next {
    At(Option<Timestamp>),
    Now,
    Never,
}

/// The loop of one cluster. Dropping it in the middle of anything is what a crash is to it.
pub struct Reconciler {
    pub(super) tools: Tools,
    pub(super) cell: Arc<ClusterCell>,
    hints: BoxStream<'static, ()>,
    pub(super) identities: Option<Identities>,
    pub(super) watch: Option<EngineWatch>,
    operations: Operations,
    pub(super) running: JoinSet<Finished>,
    world: Observed,
    /// When the world was last looked at; `None`: something was changed since.
    looked_at: Option<Timestamp>,
    /// When it is to be looked at anew, because the last tick saw what an earlier one had seen.
    look_due: Option<Timestamp>,
    /// Ticks in a row that came to nothing.
    trouble: u32,
    /// What is installed where the scheduler runs, where that is not known beforehand.
    software: Option<(NodeName, SoftwareVersions)>,
    /// When the last cut was that an event speaks of; `None`: not looked up yet.
    last_cut: Option<Timestamp>,
}

impl Reconciler {
    /// For a cluster whose record is in the store.
    pub fn new(tools: Tools, cell: Arc<ClusterCell>) -> Self {
        let hints = tools.provider.watch(cell.key());
        Self {
            tools,
            cell,
            hints,
            identities: None,
            watch: None,
            operations: Operations::default(),
            running: JoinSet::new(),
            world: Observed::default(),
            looked_at: None,
            look_due: None,
            trouble: 0,
            software: None,
            last_cut: None,
        }
    }

    /// Runs until nothing is left of the cluster, its record included.
    pub async fn run(mut self) {
        loop {
            let begun = tokio::time::Instant::now();
            let ticked = self.tick().await;
            self.tools.measure.tick(begun.elapsed());
            let wait = match ticked {
                Ok(Next::Never) => return,
                Ok(Next::Now) => continue,
                Ok(Next::At(at)) => {
                    let recovered = std::mem::take(&mut self.trouble) > 0;
                    if let Some(watch) = self.watch.as_ref().filter(|_| recovered) {
                        watch.ask_again();
                    }
                    let next = [at, self.look_due].into_iter().flatten().min();
                    next.map_or(RESYNC, |at| self.until(at)).min(RESYNC)
                }
                Err(error) => {
                    self.trouble = self.trouble.saturating_add(1);
                    self.tools.measure.failure(error.kind());
                    self.complain(&error).await;
                    if let TickError::Observe(cause) = &error {
                        self.go_on_unseeing(cause).await;
                    }
                    plan::delay_after(self.trouble.saturating_add(1)).min(RESYNC)
                }
            };
            self.wait(wait).await;
        }
    }

    fn until(&self, at: Timestamp) -> Duration {
        Duration::try_from(at.duration_since(self.tools.clock.now())).unwrap_or(Duration::ZERO)
    }

    /// Returns when there is reason for another tick.
    async fn wait(&mut self, at_most: Duration) {
        let changed = async {
            match &mut self.watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(finished) = self.running.join_next() => self.note(finished),
            () = self.cell.wanted_changed.notified() => {}
            Some(()) = self.hints.next() => {}
            () = changed => {}
            () = tokio::time::sleep(at_most) => {}
        }
        while let Some(finished) = self.running.try_join_next() {
            self.note(finished);
        }
    }

    fn note(&mut self, finished: Result<Finished, tokio::task::JoinError>) {
        match finished {
            Ok(finished) => {
                self.looked_at = None;
                if let Some(kind) = finished.failure() {
                    self.tools.measure.failure(kind);
                }
                operations::end(&mut self.operations, finished, self.tools.clock.now());
            }
            Err(error) => tracing::error!(cluster = %self.cell.key().name, "an action broke off: {error}"),
        }
    }

    async fn tick(&mut self) -> Result<Next, TickError> {
        let record = self.cell.record().await;
        self.look(&record).await?;
        let engine = self.ask_engine(&record).await?;
        self.ask_software(&record, &engine).await;
        let passage = self.tools.provider.passage(self.cell.key());
        self.report_cuts(&record, &passage.cuts).await?;
        let facts = self.facts(&record, passage.problem);
        let now = self.tools.clock.now();
        let operations = self.operations.clone();
        let situation = Situation {
            record: &record,
            world: &self.world,
            engine: &engine,
            operations: &operations,
            facts: &facts,
            now,
        };
        let endpoint = self.watch.as_ref().map(|watch| watch.endpoint().clone());
        let plan = match ranked(&*self.tools.engine, endpoint, &situation).await {
            Some(ranked) => plan::plan(&Situation { engine: &ranked, ..situation }),
            None => plan::plan(&situation),
        };
        self.carry_out(&record, &engine, plan, now).await
    }

    /// Looks at the world, unless the last look is still good.
    async fn look(&mut self, record: &ClusterRecord) -> Result<(), ProviderError> {
        let interval = self.tools.provider.capabilities().look_interval;
        let now = self.tools.clock.now();
        let until = self.looked_at.and_then(|at| at.checked_add(interval).ok());
        // A clock that was put back makes no look good for longer.
        let good = self.looked_at.is_some_and(|at| at <= now) && until.is_some_and(|until| until > now);
        self.look_due = until.filter(|_| good);
        let seen = if good {
            std::mem::take(&mut self.world)
        } else {
            let seen = self.tools.provider.observe(self.cell.key()).await?;
            self.looked_at = Some(now);
            seen
        };
        self.world = plan::bind(&record.progress.ledger, seen);
        Ok(())
    }

    /// Does, and shows, what is certain while nobody can look at the cluster.
    async fn go_on_unseeing(&mut self, cause: &ProviderError) {
        let (record, now) = (self.cell.record().await, self.tools.clock.now());
        if let Some(action) = plan::unseen_action(&record, &self.operations, now) {
            self.operations.begin(&action, now);
            self.begin(&record, action);
        }
        let unwanted = matches!(record.wanted.presence, Presence::Absent(_));
        if unwanted || self.trouble > UNSHOWN_FAILURES {
            let text = match &cause.hint {
                Some(hint) if cause.kind == ErrorKind::Auth => {
                    format!("cannot see what runs: {cause}; {hint}")
                }
                _ => format!("cannot see what runs: {cause}"),
            };
            let conditions = plan::unseen_conditions(&record, cause.kind, &text, now);
            let shown = |record: &mut ClusterRecord| record.progress.conditions = conditions;
            self.cell.show(shown, &self.world, &EngineView::NotAsked).await;
        }
        self.cell.note_look();
    }

    /// Notes what was decided, then begins it.
    async fn carry_out(
        &mut self,
        record: &ClusterRecord,
        engine: &EngineView,
        plan: Plan,
        now: Timestamp,
    ) -> Result<Next, TickError> {
        let Plan { ledger, actions, conditions, mut events, next_tick, outcome } = plan;
        self.operations.settle(&ledger, &self.world, record.name());
        if ledger != record.progress.ledger {
            failpoint("tick.before-note");
            // Nothing is begun before this is durable.
            let noted = ledger.clone();
            self.cell
                .update::<_, StoreError>(|record| {
                    record.progress.ledger = noted;
                    Ok(())
                })
                .await?;
            failpoint("tick.after-note");
        }
        for action in actions {
            self.operations.begin(&action, now);
            self.begin(record, action);
        }
        if let Some(watch) = &mut self.watch {
            events.extend(watch.departures());
        }
        let generation = record.wanted.generation;
        let shown = |record: &mut ClusterRecord| {
            record.progress.conditions = conditions;
            record.progress.observed_generation = generation;
        };
        self.cell.show(shown, &self.world, engine).await;
        if self.watch.is_none() || *engine != EngineView::NotAsked {
            self.cell.note_look();
        }
        self.cell.report(events).await;
        match outcome {
            Outcome::Continues => Ok(Next::At(next_tick)),
            Outcome::Ends(reason) => {
                let absent = Presence::Absent(Ending { at: now, reason });
                self.cell
                    .update::<_, StoreError>(|record| {
                        record.wanted.presence = absent;
                        Ok(())
                    })
                    .await?;
                Ok(Next::Now)
            }
            Outcome::Finished => {
                failpoint("tick.before-forget");
                self.tools.store.remove(self.cell.key()).await?;
                failpoint("tick.after-forget");
                Ok(Next::Never)
            }
        }
    }

    /// Follows the scheduler that is there now, and says what it said last.
    async fn ask_engine(&mut self, record: &ClusterRecord) -> Result<EngineView, TickError> {
        // A predecessor that has not ended yet has nothing to say, even if it had the same address.
        let schedulers = self.world.nodes.iter().filter(|node| node.id.group.is_scheduler());
        let placed = schedulers.filter(|node| node.id.slot != Slot::NONE);
        let newest = placed.max_by_key(|node| node.id.incarnation).filter(|node| node.is_alive());
        let Some((seen, address)) = newest.and_then(|node| Some((node, node.endpoint()?.clone()))) else {
            self.watch = None;
            return Ok(EngineView::NotAsked);
        };
        let (seen, node) = (seen.clone(), seen.id.name());
        let belts = Belts::of(&record.wanted.document.spec, record.wanted.created_at);
        let current = |watch: &&mut EngineWatch| *watch.node() == node && watch.endpoint().address == address;
        if let Some(watch) = self.watch.as_mut().filter(current) {
            watch.set_belts(belts);
            watch.note(seen);
        } else {
            let identity = self.identities(record).await?.map(|identities| identities.controller.clone());
            let (engine, clock) = (self.tools.engine.clone(), self.tools.clock.clone());
            self.watch = Some(EngineWatch::start(engine, clock, seen, Endpoint { address, identity }, belts));
        }
        Ok(self.watch.as_mut().map_or(EngineView::NotAsked, EngineWatch::view))
    }

    /// Asks each scheduler once what is installed there, if that is not known from before.
    async fn ask_software(&mut self, record: &ClusterRecord, engine: &EngineView) {
        let Some(watch) = self.watch.as_ref().filter(|_| matches!(engine, EngineView::Seen(_))) else {
            return;
        };
        let known = self.software.as_ref().is_some_and(|(node, _)| node == watch.node());
        if known || record.wanted.interpreter.is_some() {
            return;
        }
        let asked = self.tools.engine.versions(watch.endpoint());
        let versions = match tokio::time::timeout(VERSIONS, asked).await {
            Ok(Ok(versions)) => versions,
            // It is said that they are not compared; the cluster works all the same.
            Ok(Err(error)) => {
                tracing::info!(cluster = %record.name(), "its versions are not known: {error}");
                SoftwareVersions::default()
            }
            Err(_) => SoftwareVersions::default(),
        };
        self.software = Some((watch.node().clone(), versions));
    }

    /// The cluster's certificates; `None` when it runs without TLS.
    async fn identities(&mut self, record: &ClusterRecord) -> Result<Option<Identities>, TickError> {
        if !record.wanted.document.spec.tls {
            return Ok(None);
        }
        if self.identities.is_none() {
            let lifetime = record.wanted.document.spec.max_lifetime();
            let now = self.tools.clock.now();
            self.identities = Some(Identities::of(&*self.tools.store, self.cell.key(), lifetime, now).await?);
        }
        Ok(self.identities.clone())
    }

    /// Says once of each cut that it happened, also across controllers.
    async fn report_cuts(&mut self, record: &ClusterRecord, cuts: &[Cut]) -> Result<(), StoreError> {
        let Some(newest) = cuts.last() else { return Ok(()) };
        let last = if let Some(last) = self.last_cut {
            last
        } else {
            let events = self.tools.store.events(self.cell.key(), REMEMBERED).await?;
            let said = events.iter().filter(|event| event.kind == EventKind::ConnectionCut);
            said.map(|event| event.at).max().unwrap_or(record.wanted.created_at)
        };
        self.last_cut = Some(last.max(newest.at));
        let message = match cuts.iter().filter(|cut| cut.at > last).count() {
            0 => return Ok(()),
            1 => newest.message.clone(),
            count => format!("{count} connections were cut, the last: {}", newest.message),
        };
        let message =
            format!("{message}. A client of Dask that loses its connection cancels what it waits for");
        let (severity, kind) = (Severity::Warning, EventKind::ConnectionCut);
        self.cell.report(vec![Event { at: newest.at, severity, kind, node: None, message }]).await;
        Ok(())
    }

    fn facts(&self, record: &ClusterRecord, obstruction: Option<String>) -> Facts {
        let capabilities = self.tools.provider.capabilities();
        let at_hand = match capabilities.surrounding {
            Surrounding::NotNeeded => true,
            Surrounding::CallersEnvironment => self.cell.environment().is_some(),
        };
        Facts {
            start_deadline: capabilities.start_deadline,
            // What was seen may be so old already.
            visibility_delay: capabilities.visibility_delay.saturating_add(capabilities.look_interval),
            surroundings: if at_hand { Surroundings::AtHand } else { Surroundings::Missing },
            obstruction,
            environment: environment_match(record, self.software.as_ref().map(|(_, versions)| versions)),
            certificates_until: self.identities.as_ref().map(|identities| identities.until),
            idle_period: capabilities.idle_period,
            launching: self.tools.provider.launching(&record.wanted.document),
            record_copies: capabilities.record_copies,
            way_in: capabilities.way_in,
        }
    }

    /// Says what is wrong: in the log each time, to people when it lasts.
    async fn complain(&mut self, error: &TickError) {
        let cluster = &self.cell.key().name;
        tracing::warn!(%cluster, tries = self.trouble, "{error}");
        if self.trouble == 3 {
            let now = self.tools.clock.now();
            let (severity, kind) = (Severity::Warning, EventKind::ProviderError);
            self.cell
                .report(vec![Event { at: now, severity, kind, node: None, message: error.to_string() }])
                .await;
        }
    }
}

/// The engine's view with a ranking, if the plan has a use for one.
async fn ranked(
    engine: &dyn Engine,
    scheduler: Option<Endpoint>,
    situation: &Situation<'_>,
) -> Option<EngineView> {
    let scheduler = scheduler.filter(|_| plan::needs_ranking(situation))?;
    let question = StatusQuestion { since: None, wait: Duration::ZERO, ranking: Ranking::Wanted };
    match engine.status(&scheduler, question).await {
        Ok(status) => Some(EngineView::Seen(status)),
        Err(error) => {
            tracing::warn!(cluster = %situation.record.name(), "no ranking of the workers: {}", error.message);
            None
        }
    }
}

fn environment_match(record: &ClusterRecord, software: Option<&SoftwareVersions>) -> EnvironmentMatch {
    let (client, own) = (&record.wanted.context.interpreter, &record.wanted.interpreter);
    let same = |client: &Interpreter| own.as_ref().is_some_and(|own| own.path == client.path);
    let versions = own.as_ref().map(|own| &own.versions).or(software);
    match (client, versions) {
        (_, None) => EnvironmentMatch::Unknown,
        (_, Some(versions)) if own.is_none() && versions.0.is_empty() => EnvironmentMatch::Unknown,
        (None, _) => EnvironmentMatch::NoClient,
        (Some(client), _) if same(client) => EnvironmentMatch::Matched,
        (Some(client), _) if client.versions.get("distributed").is_none() => EnvironmentMatch::NoClient,
        (Some(client), Some(versions)) => {
            let differences = environment::compare(&client.versions, versions);
            if differences.is_empty() {
                EnvironmentMatch::Matched
            } else {
                let each: Vec<String> = differences.iter().map(ToString::to_string).collect();
                EnvironmentMatch::Different(each.join("; "))
            }
        }
    }
}
