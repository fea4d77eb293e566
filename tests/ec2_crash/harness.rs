//! Lives of controllers over one account and one store.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crewcall::{
    controller::{
        Clock, ClusterView, CreateMode, CreateRequest, Fleet, FleetTools, Installation, RequestError,
        ScaleRequest, Unplaced,
    },
    model::{BootId, CallerContext, CallerEnvironment, ClusterUid, MachineId},
    provider::{
        Provider, Providers,
        ec2::{Ec2Provider, Whose},
    },
    spec::{ComputeCluster, ProviderKind, Size},
    store::{DirectoryStore, Store},
};
use ec2_double::state::Settings;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    account::{Account, cluster_of, controllers_time},
    calls::Calls,
    counted::{CountedEngine, CountedProvider, CountedStore, Memory, cluster_name},
    engine::AccountEngine,
    steps::{Crash, Steps},
};

/// How long a cluster may take to become what it is wanted to be.
pub const BOUND: Duration = Duration::from_mins(20);

/// How long it must stay so, beyond what is shown late.
const REST: Duration = Duration::from_secs(20);

/// The installation whose controllers live here.
pub const HERE: &str = "here";

/// Another one in the same account, and the name of its store.
pub const THERE: &str = "there";

/// The name of the store, where nothing else is said.
pub const STORE: &str = "state";

/// What a person asks for. Each can be asked for again after a crash.
#[derive(Debug, Clone, Copy)]
pub enum Wish {
    Create(u32),
    /// Each worker computes so many results, which are to be kept.
    Compute(u64),
    Scale(u32),
    Delete,
}

/// What was found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Something exists that should not.
    Orphan(String),
    /// Something was made twice.
    Double(String),
    /// Results are gone.
    Lost(String),
    /// A launch was called for whose intent is not durable.
    NoIntent(String),
    /// It never became what was asked for.
    Stuck(String),
    /// It took too many calls.
    Busy(String),
}

/// How the life of a controller ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Life {
    /// It did all that was asked of it.
    Fulfilled,
    /// It crashed at that call.
    Crashed(&'static str),
}

struct AccountClock(Arc<Account>);

impl Clock for AccountClock {
    fn now(&self) -> Timestamp {
        self.0.controllers_time()
    }
}

/// What launches may choose from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choices {
    /// Two types in two zones, workers as spare capacity first: launches are fleets.
    #[default]
    Many,
    /// One type in one zone, at the full price: launches are one call each.
    One,
}

fn document(workers: u32, choices: Choices) -> ComputeCluster {
    let (zones, types, purchase) = match choices {
        Choices::Many => {
            (&["us-east-1a", "us-east-1b"][..], &["m6i.large", "m5.large"][..], "spotWithFallback")
        }
        Choices::One => (&["us-east-1a"][..], &["m6i.large"][..], "onDemand"),
    };
    serde_json::from_value(json!({
        "apiVersion": "crewcall.dev/v1alpha1", "kind": "ComputeCluster",
        "metadata": {"name": "demo"},
        "spec": {
            "provider": {"ec2": {
                "region": "us-east-1",
                "zones": zones,
                "instanceProfiles": {"scheduler": "crewcall-scheduler", "workers": "crewcall-worker"},
                "machines": {"instanceTypes": types},
            }},
            "environment": {"image": "ghcr.io/dask/dask:2026.8.0-py3.11"},
            "workers": {"replicas": workers, "ec2": {"purchase": purchase}},
        },
    }))
    .unwrap()
}

/// One account and one store, and the controllers that live there one after the other.
pub struct Scene {
    pub account: Arc<Account>,
    state: TempDir,
    pub memory: Memory,
    pub choices: Choices,
    /// Whether a launch without a durable intent is a fault.
    pub looks_for_intents: bool,
    uids: Arc<AtomicU64>,
    unintended: Arc<Mutex<Vec<String>>>,
    results: AtomicU64,
}

/// A controller at work.
pub struct Stage<'a> {
    pub scene: &'a Scene,
    pub fleet: Arc<Fleet>,
}

impl Scene {
    /// An empty account with these habits.
    pub fn new(settings: Settings) -> Self {
        Self::skewed(settings, SignedDuration::ZERO)
    }

    /// The same, with the controller's clock so far ahead.
    pub fn skewed(settings: Settings, skew: SignedDuration) -> Self {
        let shm = Path::new("/dev/shm");
        let state = if shm.is_dir() { TempDir::new_in(shm) } else { TempDir::new() };
        Self {
            account: Account::new(settings, skew),
            state: state.unwrap(),
            memory: Memory::Keeps,
            choices: Choices::Many,
            looks_for_intents: true,
            uids: Arc::default(),
            unintended: Arc::default(),
            results: AtomicU64::new(0),
        }
    }

    /// Somebody deletes the cluster's record, and no more.
    pub fn forget_record(&self) {
        std::fs::remove_dir_all(self.state.path().join(STORE).join("clusters/demo")).unwrap();
    }

    /// One controller, until its story is told or it crashes.
    pub fn live(
        &self,
        crash: Option<Crash>,
        story: impl AsyncFnOnce(&Stage<'_>) -> Result<(), Fault>,
    ) -> Result<Life, Fault> {
        self.live_on(STORE, crash, story)
    }

    /// The same, on the store of that name.
    pub fn live_on(
        &self,
        place: &str,
        crash: Option<Crash>,
        story: impl AsyncFnOnce(&Stage<'_>) -> Result<(), Fault>,
    ) -> Result<Life, Fault> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let steps = Arc::new(Steps::default());
        runtime.block_on(async {
            self.account.resume();
            steps.begin(crash);
            let life = async {
                let fleet = Fleet::open(self.tools(&steps, place)).await.unwrap();
                story(&Stage { scene: self, fleet }).await?;
                Ok(Life::Fulfilled)
            };
            let end = tokio::select! {
                biased;
                () = steps.crashed() => Ok(Life::Crashed(steps.ended().unwrap_or("?"))),
                end = life => end,
            };
            self.account.pause();
            end
        })
    }

    fn store(&self, name: &str) -> Arc<dyn Store> {
        Arc::new(DirectoryStore::new(self.state.path().join(name), MachineId::new("machine")).unwrap())
    }

    /// A provider that remembers nothing.
    fn provider(&self, steps: &Arc<Steps>, installation: &str) -> Ec2Provider {
        let calls = Calls { account: self.account.clone(), steps: steps.clone() };
        Ec2Provider::new(Arc::new(calls), Whose::Installation(installation.to_owned()), controllers_time)
    }

    fn tools(&self, steps: &Arc<Steps>, store: &str) -> FleetTools {
        let provider: Arc<dyn Provider> = Arc::new(CountedProvider {
            inner: self.provider(steps, if store == THERE { THERE } else { HERE }),
            steps: steps.clone(),
            store: self.store(store),
            unintended: self.unintended.clone(),
        });
        let store = CountedStore { inner: self.store(store), steps: steps.clone(), memory: self.memory };
        let uids = self.uids.clone();
        FleetTools {
            providers: Providers::default().with(ProviderKind::Ec2, provider),
            engine: Arc::new(CountedEngine {
                inner: AccountEngine::new(self.account.clone()),
                steps: steps.clone(),
            }),
            store: Arc::new(store),
            clock: Arc::new(AccountClock(self.account.clone())),
            uids: Box::new(move || ClusterUid::from_random(uids.fetch_add(1, Ordering::SeqCst))),
            installation: Installation { machine: MachineId::new("machine"), boot: BootId::new("boot") },
        }
    }

    /// What is there that is not the cluster's, or has no use for it.
    fn superfluous(&self, cluster: Option<&ClusterUid>) -> Option<Fault> {
        let stock = self.account.stock();
        let Some(uid) = cluster else {
            let left = stock.cloud.leftovers();
            return (!left.is_empty()).then(|| Fault::Orphan(left.join(", ")));
        };
        let left = stock.cloud.leftovers();
        let is_own = |left: &&String| match left.split_once(' ') {
            Some(("instance", id)) => {
                stock.cloud.instance(id).is_none_or(|one| cluster_of(one).as_ref() == Some(uid))
            }
            Some(("parameter", name)) => name.contains(uid.as_str()),
            _ => true,
        };
        if let Some(strange) = left.iter().find(|left| !is_own(left)) {
            return Some(Fault::Orphan(strange.clone()));
        }
        let groups = left.iter().filter(|left| left.starts_with("security-group ")).count();
        (groups != 1).then(|| Fault::Double(format!("there are {groups} security groups")))
    }
}

impl Stage<'_> {
    /// Does what is wished for, and waits until it is so.
    pub async fn fulfil(&self, wish: Wish) -> Result<(), Fault> {
        self.ask(wish).await;
        match wish {
            Wish::Delete => self.until_gone().await,
            _ => self.until_settled().await,
        }
    }

    /// Asks for what is wished for, and does not wait.
    pub async fn ask(&self, wish: Wish) {
        match wish {
            Wish::Create(workers) => {
                let request = CreateRequest {
                    document: document(workers, self.scene.choices),
                    context: CallerContext::default(),
                    environment: CallerEnvironment::default(),
                    mode: CreateMode::Apply,
                };
                // A person whose request was refused asks again.
                let mut tries = 0;
                while let Err(error) = self.fleet.create(request.clone(), &|_| {}).await {
                    tries += 1;
                    assert!(tries < 5, "{error}");
                }
            }
            Wish::Compute(each) => {
                self.scene.account.compute(each);
                self.scene.results.store(self.scene.account.results().0, Ordering::SeqCst);
            }
            Wish::Scale(workers) => {
                let size = Size::Fixed(workers);
                let request = ScaleRequest { group: None, size, unplaced: Unplaced::Keep };
                self.fleet.scale(&cluster_name(), &request).await.unwrap();
            }
            Wish::Delete => match self.fleet.delete(&cluster_name()).await {
                Ok(_) | Err(RequestError::NotFound(_)) => {}
                Err(error) => panic!("{error}"),
            },
        }
    }

    /// What the controller shows.
    pub fn view(&self) -> ClusterView {
        self.fleet.get(&cluster_name()).unwrap()
    }

    /// Waits until something is so, at most [`BOUND`]; `what` says what was waited for.
    pub async fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) -> Result<(), Fault> {
        let mut waited = Duration::ZERO;
        while !is_so(self) {
            if waited > BOUND {
                return Err(Fault::Stuck(format!("{what} did not come")));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            waited += Duration::from_secs(1);
        }
        Ok(())
    }

    /// Waits until the cluster is what is wanted, and stays so.
    pub async fn until_settled(&self) -> Result<(), Fault> {
        let settled = self.until("rest", |stage| stage.unsettled().is_none()).await;
        if let Some(fault) = self.unsettled() {
            return Err(fault);
        }
        settled?;
        self.rest().await;
        match self.unsettled() {
            Some(fault) => Err(fault),
            None => self.inspect(Some(&self.view())),
        }
    }

    /// Why the cluster is not yet what it should be.
    fn unsettled(&self) -> Option<Fault> {
        let view = self.view();
        if view.observed_generation != view.generation {
            return Some(Fault::Stuck(format!("generation {} is not seen", view.generation)));
        }
        let mut groups = view.groups.iter();
        let short = groups.find(|group| group.ready != group.wanted || group.starting + group.draining > 0);
        if let Some(group) = short {
            return Some(Fault::Stuck(format!("{group:?}, {:?}", view.conditions)));
        }
        let wanted: u32 = view.groups.iter().map(|group| group.wanted).sum();
        let mut live = self.scene.account.live();
        live.retain(|one| cluster_of(one).as_ref() == Some(&view.uid));
        if live.len() != wanted as usize + 1 {
            return Some(Fault::Double(format!(
                "{wanted} workers are wanted; there are {} machines",
                live.len()
            )));
        }
        (view.nodes.len() != live.len())
            .then(|| Fault::Stuck(format!("{} nodes are shown of {}", view.nodes.len(), live.len())))
    }

    async fn rest(&self) {
        let late = self.scene.account.stock().cloud.settings.visibility;
        tokio::time::sleep(REST + Duration::try_from(late).unwrap_or_default()).await;
    }

    /// Waits until the cluster is gone, and nothing is left of it.
    pub async fn until_gone(&self) -> Result<(), Fault> {
        let gone = |stage: &Self| stage.fleet.get(&cluster_name()).is_err();
        self.until("the end of the cluster", gone).await?;
        self.rest().await;
        self.inspect(None)
    }

    /// What must hold whenever the cluster is at rest.
    fn inspect(&self, view: Option<&ClusterView>) -> Result<(), Fault> {
        let unintended = self.scene.unintended.lock().unwrap().first().cloned();
        if let Some(call) = unintended.filter(|_| self.scene.looks_for_intents) {
            return Err(Fault::NoIntent(call));
        }
        if let Some(fault) = self.scene.superfluous(view.map(|view| &view.uid)) {
            return Err(fault);
        }
        if view.is_none() {
            return Ok(());
        }
        let (held, lost) = self.scene.account.results();
        let computed = self.scene.results.load(Ordering::SeqCst);
        if (held, lost) != (computed, 0) {
            return Err(Fault::Lost(format!("{held} of {computed} results are left, {lost} were lost")));
        }
        Ok(())
    }
}
