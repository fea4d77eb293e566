//! Lives of controllers over one world and one store, until what was asked for is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crewcall::{
    controller::{
        Clock, ClusterView, CreateMode, CreateRequest, Fleet, FleetTools, Installation, RequestError,
        ScaleRequest, Unplaced,
    },
    model::{BootId, CallerContext, CallerEnvironment, Choice, ClusterUid, Launching, MachineId, Money},
    provider::{
        Provider, Providers,
        fake::{Call, FakeEngine, FakeProvider, Habits, Mishap, World},
    },
    spec::{ComputeCluster, ProviderKind, Size},
    store::{DirectoryStore, Store},
};
use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    counted::{CountedEngine, CountedProvider, CountedStore, Memory, cluster_name},
    steps::{Crash, Steps},
};

/// How long a cluster may take to become what it is wanted to be.
const BOUND: Duration = Duration::from_mins(10);

/// How long it must stay so.
const REST: Duration = Duration::from_secs(40);

/// What a person asks for. Each can be asked for again after a crash.
#[derive(Debug, Clone)]
pub enum Wish {
    Create(Shape),
    /// Each worker computes so many results, which are to be kept.
    Compute(u64),
    Scale(u32),
    Delete,
}

/// What a document says.
#[derive(Debug, Clone)]
pub struct Shape {
    pub workers: u32,
    pub other_group: Option<u32>,
    pub setting: &'static str,
    pub tls: bool,
}

impl Shape {
    pub fn of(workers: u32) -> Self {
        Self { workers, other_group: None, setting: "one", tls: false }
    }

    fn document(&self) -> ComputeCluster {
        let mut spec = json!({
            "provider": {"local": {}},
            "tls": self.tls,
            "env": {"SETTING": self.setting},
            "workers": {"replicas": self.workers},
        });
        if let Some(replicas) = self.other_group {
            spec["workerGroups"] = json!({"big": {"replicas": replicas}});
        }
        serde_json::from_value(json!({
            "apiVersion": "crewcall.dev/v1alpha1", "kind": "ComputeCluster",
            "metadata": {"name": "demo"}, "spec": spec,
        }))
        .unwrap()
    }
}

/// What was found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Something exists that should not: no slot, no cluster needs it.
    Orphan(String),
    /// A slot has two nodes, or a name was used twice.
    Double(String),
    /// Results are gone.
    Lost(String),
    /// A creating call was made whose intent is not durable.
    NoIntent(String),
    /// It never became what was asked for.
    Stuck(String),
}

/// Whether the intents behind creating calls are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intents {
    /// A call without one is a fault.
    LookedFor,
    /// Only the harm that comes of it is.
    NotLookedFor,
}

/// Who names nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// The plan, and each is made by its name.
    ByPlan,
    /// The provider, which launches them in batches. So many are launched in all, and not one more.
    ByProvider(Option<usize>),
}

/// A first and a second choice for every group, without limits.
fn launching() -> Launching {
    let choice = |label: &str, price| Choice { label: label.to_owned(), hourly: Some(Money(price)) };
    let both = || vec![choice("spot", 40_000), choice("on demand", 100_000)];
    let groups = ["scheduler", "workers", "big"].map(|name| (name.parse().unwrap(), both()));
    let capacity_retry = Duration::from_mins(1);
    Launching { choices: groups.into(), largest: 1000, capacity_retry, ..Launching::default() }
}

/// One world and one store, and the controllers that live there one after the other.
pub struct Harness {
    world: Arc<World>,
    state: TempDir,
    memory: Memory,
    intents: Intents,
    naming: Naming,
    steps: Mutex<Arc<Steps>>,
    uids: Arc<AtomicU64>,
    unintended: Arc<Mutex<Vec<String>>>,
    results: AtomicU64,
}

/// How the life of a controller ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Life {
    /// It did all that was asked of it.
    Fulfilled,
    /// It crashed at that call.
    Crashed(&'static str),
}

struct WorldClock(Arc<World>);

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl Harness {
    fn new(scenario: &Scenario) -> Self {
        let shm = Path::new("/dev/shm");
        let state = if shm.is_dir() { TempDir::new_in(shm) } else { TempDir::new() };
        let begun = Timestamp::from_second(1_800_000_000).unwrap();
        let world = World::new(begun, scenario.habits.clone());
        for (choice, room) in &scenario.rooms {
            world.make_room(*choice, *room);
        }
        for (call, mishap) in &scenario.mishaps {
            world.go_wrong(*call, [mishap.clone()]);
        }
        Self {
            world: Arc::new(world),
            state: state.unwrap(),
            memory: scenario.memory,
            intents: scenario.intents,
            naming: scenario.naming,
            steps: Mutex::default(),
            uids: Arc::default(),
            unintended: Arc::default(),
            results: AtomicU64::new(0),
        }
    }

    /// One controller: first `before`, with nothing to fear; then, from `done` on, `wishes`, until the
    /// crash.
    pub fn live(
        &self,
        before: &[Wish],
        wishes: &[Wish],
        done: &AtomicUsize,
        crash: Option<Crash>,
    ) -> Result<Life, Fault> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let steps = Arc::new(Steps::default());
        *self.steps.lock().unwrap() = steps.clone();
        runtime.block_on(async {
            self.world.resume();
            let life = async {
                if before.is_empty() {
                    steps.begin(crash);
                }
                let fleet = Fleet::open(self.tools(&steps)).await.unwrap();
                for wish in before {
                    self.fulfil(&fleet, wish).await?;
                }
                if !before.is_empty() {
                    steps.begin(crash);
                }
                while let Some(wish) = wishes.get(done.load(Ordering::SeqCst)) {
                    self.fulfil(&fleet, wish).await?;
                    done.fetch_add(1, Ordering::SeqCst);
                }
                Ok(Life::Fulfilled)
            };
            let end = tokio::select! {
                biased;
                () = steps.crashed() => Ok(Life::Crashed(steps.ended().unwrap_or("?"))),
                end = life => end,
            };
            self.world.pause();
            end
        })
    }

    fn store(&self) -> Arc<dyn Store> {
        let path = self.state.path().join("state");
        Arc::new(DirectoryStore::new(path, MachineId::new("machine")).unwrap())
    }

    fn tools(&self, steps: &Arc<Steps>) -> FleetTools {
        let provider: Arc<dyn Provider> = Arc::new(CountedProvider {
            inner: match self.naming {
                Naming::ByPlan => FakeProvider::new(self.world.clone()),
                Naming::ByProvider(_) => FakeProvider::launching(self.world.clone(), launching()),
            },
            steps: steps.clone(),
            store: self.store(),
            unintended: self.unintended.clone(),
        });
        let store = CountedStore { inner: self.store(), steps: steps.clone(), memory: self.memory };
        let uids = self.uids.clone();
        FleetTools {
            providers: Providers::default().with(ProviderKind::Local, provider),
            engine: Arc::new(CountedEngine {
                inner: FakeEngine::new(self.world.clone()),
                steps: steps.clone(),
            }),
            store: Arc::new(store),
            clock: Arc::new(WorldClock(self.world.clone())),
            uids: Box::new(move || ClusterUid::from_random(uids.fetch_add(1, Ordering::SeqCst))),
            installation: Installation { machine: MachineId::new("machine"), boot: BootId::new("boot") },
        }
    }

    async fn fulfil(&self, fleet: &Arc<Fleet>, wish: &Wish) -> Result<(), Fault> {
        match wish {
            Wish::Create(shape) => {
                let request = CreateRequest {
                    document: shape.document(),
                    context: CallerContext::default(),
                    environment: CallerEnvironment::default(),
                    mode: CreateMode::Apply,
                };
                fleet.create(request, &|_| {}).await.unwrap();
            }
            Wish::Compute(each) => {
                let uid = fleet.get(&cluster_name()).unwrap().uid;
                self.world.compute(&uid, *each);
                self.results.store(self.world.results(&uid), Ordering::SeqCst);
            }
            Wish::Scale(workers) => {
                let size = Size::Fixed(*workers);
                let request = ScaleRequest { group: None, size, unplaced: Unplaced::Keep };
                fleet.scale(&cluster_name(), &request).await.unwrap();
            }
            Wish::Delete => {
                match fleet.delete(&cluster_name()).await {
                    Ok(_) | Err(RequestError::NotFound(_)) => {}
                    Err(error) => panic!("{error}"),
                }
                return self.until_gone(fleet).await;
            }
        }
        self.until_settled(fleet).await
    }

    async fn until_settled(&self, fleet: &Arc<Fleet>) -> Result<(), Fault> {
        let mut waited = Duration::ZERO;
        loop {
            let view = fleet.get(&cluster_name()).unwrap();
            let unsettled = self.unsettled(&view);
            if unsettled.is_none() {
                break;
            }
            if waited > BOUND {
                return Err(self.fault_of(unsettled.unwrap()));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            waited += Duration::from_secs(1);
        }
        tokio::time::sleep(REST).await;
        let view = fleet.get(&cluster_name()).unwrap();
        match self.unsettled(&view) {
            Some(fault) => Err(self.fault_of(fault)),
            None => self.inspect(Some(&view)).await,
        }
    }

    /// What was breached on the way explains more than the state that it led to.
    fn fault_of(&self, fault: Fault) -> Fault {
        self.world.breaches().first().map_or(fault, |breach| Fault::Double(breach.clone()))
    }

    /// Why the cluster is not yet what it should be.
    fn unsettled(&self, view: &ClusterView) -> Option<Fault> {
        let stuck = |what: String| Some(Fault::Stuck(what));
        if view.observed_generation != view.generation {
            return stuck(format!("generation {} is not seen", view.generation));
        }
        let short = view
            .groups
            .iter()
            .find(|group| group.ready != group.wanted || group.starting + group.draining > 0);
        if let Some(group) = short {
            return stuck(format!("{group:?}"));
        }
        let wanted: u32 = view.groups.iter().map(|group| group.wanted).sum();
        let nodes = self.world.nodes();
        let mut slots = BTreeSet::new();
        for (id, alive) in &nodes {
            if id.instance.is_none() && !slots.insert((id.group.clone(), id.slot)) {
                return Some(Fault::Double(format!("the slot of {id} has two nodes at rest")));
            }
            if !alive {
                return Some(Fault::Orphan(format!("{id} has ended and is still there")));
            }
        }
        if nodes.len() != wanted as usize + 1 {
            let names: Vec<String> = nodes.iter().map(|(id, _)| id.to_string()).collect();
            return Some(Fault::Orphan(format!(
                "{wanted} workers are wanted; there are {}",
                names.join(" ")
            )));
        }
        let outdated = view.nodes.len() != nodes.len();
        if outdated { stuck("the view does not show what there is".to_owned()) } else { None }
    }

    async fn until_gone(&self, fleet: &Arc<Fleet>) -> Result<(), Fault> {
        let mut waited = Duration::ZERO;
        while fleet.get(&cluster_name()).is_ok() {
            if waited > BOUND {
                return Err(Fault::Stuck("the cluster is not gone".to_owned()));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            waited += Duration::from_secs(1);
        }
        tokio::time::sleep(REST).await;
        if !self.world.is_empty() {
            return Err(Fault::Orphan(format!("after the deletion there is {:?}", self.world.nodes())));
        }
        self.inspect(None).await
    }

    /// How many calls the last controller made, if no more was launched than is allowed.
    fn counted(&self) -> Result<BTreeMap<&'static str, u64>, Fault> {
        let launched = self.world.launched();
        match self.naming {
            Naming::ByProvider(Some(most)) if launched != most => {
                Err(Fault::Double(format!("{launched} instances were launched, and {most} are needed")))
            }
            Naming::ByProvider(_) | Naming::ByPlan => Ok(self.steps.lock().unwrap().made()),
        }
    }

    /// What must hold whenever the cluster is at rest.
    async fn inspect(&self, view: Option<&ClusterView>) -> Result<(), Fault> {
        if let Some(breach) = self.world.breaches().first() {
            return Err(Fault::Double(breach.clone()));
        }
        let unintended = self.unintended.lock().unwrap().first().cloned();
        if let Some(call) = unintended.filter(|_| self.intents == Intents::LookedFor) {
            return Err(Fault::NoIntent(call));
        }
        let records = self.store().list().await.unwrap();
        if records.len() != usize::from(view.is_some()) || records.iter().any(Result::is_err) {
            return Err(Fault::Orphan(format!("the store holds {} records", records.len())));
        }
        if let Some(view) = view {
            let (held, computed) = (self.world.results(&view.uid), self.results.load(Ordering::SeqCst));
            let lost = self.world.lost(&view.uid);
            if held != computed || lost != (0, 0) {
                return Err(Fault::Lost(format!("{held} of {computed} results are left, lost: {lost:?}")));
            }
        }
        Ok(())
    }
}

/// What is tried: what is there, and what is then asked for.
pub struct Scenario {
    pub before: Vec<Wish>,
    pub wishes: Vec<Wish>,
    pub memory: Memory,
    pub intents: Intents,
    pub naming: Naming,
    /// For each choice of a launch, how many nodes there is room for.
    pub rooms: Vec<(u32, usize)>,
    pub habits: Habits,
    pub mishaps: Vec<(Call, Mishap)>,
}

impl Scenario {
    pub fn new(before: &[Wish], wishes: &[Wish]) -> Self {
        Self {
            before: before.to_vec(),
            wishes: wishes.to_vec(),
            memory: Memory::Keeps,
            intents: Intents::LookedFor,
            naming: Naming::ByPlan,
            rooms: Vec::new(),
            habits: Habits::default(),
            mishaps: Vec::new(),
        }
    }

    /// Runs it without a crash. Returns how many calls were made of each kind.
    pub fn count(&self) -> Result<BTreeMap<&'static str, u64>, Fault> {
        let harness = Harness::new(self);
        harness.live(&self.before, &self.wishes, &AtomicUsize::new(0), None)?;
        harness.counted()
    }

    /// Runs it with a crash in each of its first lives. Returns where they crashed; fewer than asked
    /// for when a life ended before its crash.
    pub fn run(&self, crashes: &[Crash]) -> Result<Vec<&'static str>, Fault> {
        let harness = Harness::new(self);
        let done = AtomicUsize::new(0);
        let mut ends = Vec::new();
        let mut before = self.before.as_slice();
        for crash in crashes.iter().copied().map(Some).chain([None]) {
            match harness.live(before, &self.wishes, &done, crash)? {
                Life::Crashed(call) => ends.push(call),
                Life::Fulfilled => return harness.counted().map(|_| ends),
            }
            before = &[];
        }
        Err(Fault::Stuck("a controller that should not crash did".to_owned()))
    }
}
