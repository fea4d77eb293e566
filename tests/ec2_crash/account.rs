//! An account that lives in memory: the double's state machine, and what its machines do.
//!
//! Time passes in it as it does for [`tokio::time`]. Whatever is due happens when somebody looks.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use crewcall::{
    model::{ClusterUid, Departure, InstanceId, NodeId, NodeName},
    provider::ec2::names::tag,
};
use ec2_double::state::{Caller, Cloud, Control, Instance, Settings, State};
use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, time::Instant};

/// From the call of a launch to a machine that runs.
const BOOT: SignedDuration = SignedDuration::from_secs(4);

/// From then on until its scheduler sees it.
const REGISTRATION: SignedDuration = SignedDuration::from_secs(2);

/// For a worker's data to move elsewhere.
pub const TRANSFER: SignedDuration = SignedDuration::from_secs(2);

/// What a machine does beside being there.
#[derive(Debug, Default)]
pub struct Host {
    /// Its scheduler sees it.
    pub registered: bool,
    /// It hands its data over, and has done so then.
    pub retiring: Option<Timestamp>,
    /// It has heard that it is taken back.
    noticed: bool,
    /// It never comes up.
    broken: bool,
}

/// Everything there is.
pub struct Stock {
    /// The service.
    pub cloud: Cloud,
    /// By instance.
    pub hosts: BTreeMap<String, Host>,
    /// Who holds each result.
    results: BTreeMap<u64, String>,
    /// Results that went with their worker or scheduler.
    lost: u64,
    departures: Vec<(u64, ClusterUid, Departure)>,
    /// Rises with everything that a scheduler would tell.
    pub sequence: u64,
    /// Machines that are made from now on never come up.
    breaks: bool,
    time: Time,
}

/// The clock goes on when the runtime whose clock it follows is replaced.
struct Time {
    begun: Timestamp,
    before: Duration,
    since: Instant,
}

impl Time {
    fn now(&self) -> Timestamp {
        self.begun + self.before.saturating_add(self.since.elapsed())
    }
}

/// The account, shared by the calls to it and the schedulers in it.
pub struct Account {
    stock: Mutex<Stock>,
    changed: watch::Sender<u64>,
    /// How far the controller's clock is ahead of the account's.
    skew: SignedDuration,
}

thread_local! {
    static HERE: RefCell<Option<Arc<Account>>> = const { RefCell::new(None) };
}

/// What the controller's clock shows, for who takes no more than a function.
pub fn controllers_time() -> Timestamp {
    HERE.with_borrow(|here| here.as_ref().map(|account| account.controllers_time())).unwrap()
}

/// The cluster that a machine belongs to.
pub fn cluster_of(instance: &Instance) -> Option<ClusterUid> {
    instance.tags.get(tag::CLUSTER_UID)?.parse().ok()
}

fn is_scheduler(instance: &Instance) -> bool {
    instance.tags.get(tag::ROLE).is_some_and(|role| role == "scheduler")
}

/// The name of the node that a machine is.
pub fn name_of(instance: &Instance) -> Option<NodeName> {
    let cluster = instance.tags.get(tag::CLUSTER)?.parse().ok()?;
    let group = instance.tags.get(tag::GROUP)?.parse().ok()?;
    Some(NodeId::launched(cluster, group, InstanceId::new(&instance.id)).name())
}

impl Account {
    /// An empty account, with the habits of these settings.
    pub fn new(settings: Settings, skew: SignedDuration) -> Arc<Self> {
        let begun = Timestamp::from_second(1_800_000_000).unwrap();
        let settings = Settings { boot: BOOT, page: Some(1_000), ..settings };
        let stock = Stock {
            cloud: Cloud::new(settings, 7, begun),
            hosts: BTreeMap::new(),
            results: BTreeMap::new(),
            lost: 0,
            departures: Vec::new(),
            sequence: 1,
            breaks: false,
            time: Time { begun, before: Duration::ZERO, since: Instant::now() },
        };
        Arc::new(Self { stock: Mutex::new(stock), changed: watch::Sender::new(0), skew })
    }

    /// Lets the clock follow that of the runtime in which this is called.
    pub fn resume(self: &Arc<Self>) {
        self.stock.lock().unwrap().time.since = Instant::now();
        HERE.set(Some(self.clone()));
    }

    /// Stops the clock, before the runtime whose clock it follows ends.
    pub fn pause(&self) {
        let mut stock = self.stock.lock().unwrap();
        stock.time.before = stock.time.before.saturating_add(stock.time.since.elapsed());
        stock.time.since = Instant::now();
    }

    /// What the controller's clock shows.
    pub fn controllers_time(&self) -> Timestamp {
        self.stock.lock().unwrap().time.now() + self.skew
    }

    /// Everything, as it is now.
    pub fn stock(&self) -> MutexGuard<'_, Stock> {
        let mut stock = self.stock.lock().unwrap();
        stock.advance();
        stock
    }

    /// Tells the account how to behave from now on.
    pub fn control(&self, control: serde_json::Value) {
        let control: Control = serde_json::from_value(control).unwrap();
        let mut stock = self.stock();
        let now = stock.now();
        stock.cloud.control(control, now).unwrap();
        drop(stock);
        self.tell();
    }

    /// Whether machines that are made from now on come up.
    pub fn break_machines(&self, breaks: bool) {
        self.stock().breaks = breaks;
    }

    /// Wakes those who wait for a change.
    pub fn tell(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Who is woken by changes from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Returns when something may have changed, or after `at_most`.
    pub async fn change(&self, changes: &mut watch::Receiver<u64>, at_most: Duration) {
        let due = self.stock().next_due();
        let wait = due.map_or(at_most, |due| due.min(at_most));
        // The sender lives as long as the account: only a change or the time can end this.
        let _ = tokio::time::timeout(wait, changes.changed()).await;
    }

    /// Has every worker that is registered compute so many results, and keep them.
    pub fn compute(&self, each: u64) {
        let mut stock = self.stock();
        let mut next = stock.results.len() as u64;
        for worker in stock.recipients() {
            for _ in 0..each {
                stock.results.insert(next, worker.clone());
                next += 1;
            }
        }
        stock.sequence += 1;
        drop(stock);
        self.tell();
    }

    /// How many results somebody holds, and how many went with who held them.
    pub fn results(&self) -> (u64, u64) {
        let stock = self.stock();
        (stock.results.len() as u64, stock.lost)
    }

    /// Machines that are neither ended nor about to.
    pub fn live(&self) -> Vec<Instance> {
        let stock = self.stock();
        let live = |one: &&Instance| matches!(one.state, State::Pending | State::Running);
        stock.cloud.instances().filter(live).cloned().collect()
    }

    /// How many machines were ever made.
    pub fn launched(&self) -> usize {
        self.stock().cloud.instances().count()
    }

    /// How many calls of each action were made since they were last forgotten.
    pub fn calls(&self) -> BTreeMap<String, u32> {
        self.stock().cloud.count_calls()
    }

    /// Removes the copies of records, as if none had ever been kept.
    pub fn forget_copies(&self) {
        let mut stock = self.stock();
        let now = stock.now();
        let copies = |left: &String| {
            left.strip_prefix("parameter ").filter(|name| name.contains("-copy/")).map(str::to_owned)
        };
        let names: Vec<String> = stock.cloud.leftovers().iter().filter_map(copies).collect();
        assert!(!names.is_empty(), "there is a copy to be forgotten");
        let request = serde_json::json!({ "Names": names }).to_string();
        stock.cloud.ssm("DeleteParameters", request.as_bytes(), &Caller::anybody(), now).result.unwrap();
    }

    /// Counts calls anew.
    pub fn forget_calls(&self) {
        self.stock().cloud.forget_calls();
    }
}

impl Stock {
    /// What time it is there.
    pub fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// When the next thing happens by itself, from now.
    fn next_due(&self) -> Option<Duration> {
        let now = self.now();
        let of_cloud = self.cloud.instances().flat_map(|one| {
            let registers = (one.state == State::Running).then(|| one.launched + BOOT + REGISTRATION);
            [one.due, registers, one.notice.map(|notice| notice.at)]
        });
        let of_hosts = self.hosts.values().map(|host| host.retiring);
        let due = of_cloud.chain(of_hosts).flatten().filter(|due| *due > now).min()?;
        Duration::try_from(due.duration_since(now)).ok()
    }

    fn advance(&mut self) {
        let now = self.now();
        self.cloud.advance(now);
        for id in self.fresh() {
            self.hosts.insert(id, Host { broken: self.breaks, ..Host::default() });
        }
        self.hear_notices(now);
        self.end_retirements(now);
        self.end_workers(now);
        self.register(now);
    }

    fn fresh(&self) -> Vec<String> {
        let unknown = self.cloud.instances().filter(|one| !self.hosts.contains_key(&one.id));
        unknown.map(|one| one.id.clone()).collect()
    }

    fn is_up(&self, instance: &Instance, now: Timestamp) -> bool {
        instance.state == State::Running
            && instance.launched + BOOT + REGISTRATION <= now
            && self.hosts.get(&instance.id).is_some_and(|host| !host.broken)
    }

    /// The cluster whose scheduler listens there.
    pub fn cluster_at(&self, address: &str) -> Option<ClusterUid> {
        let now = self.now();
        let listens = |one: &&Instance| {
            let addresses = [Some(one.private_ip), one.reachable_ip()];
            is_scheduler(one)
                && self.is_up(one, now)
                && addresses.into_iter().flatten().any(|ip| address == format!("tls://{ip}:8786"))
        };
        self.cloud.instances().find(listens).and_then(cluster_of)
    }

    fn scheduled(&self, now: Timestamp) -> BTreeSet<ClusterUid> {
        let up = self.cloud.instances().filter(|one| is_scheduler(one) && self.is_up(one, now));
        up.filter_map(cluster_of).collect()
    }

    /// A worker on a machine that is taken back hands its data over by itself.
    fn hear_notices(&mut self, now: Timestamp) {
        for one in self.cloud.instances().filter(|one| one.notice.is_some()) {
            let Some(host) = self.hosts.get_mut(&one.id).filter(|host| !host.noticed) else { continue };
            host.noticed = true;
            if host.registered {
                host.retiring.get_or_insert(now + TRANSFER);
            }
        }
    }

    /// Workers that may take over what others hold.
    fn recipients(&self) -> Vec<String> {
        let able = |(id, host): &(&String, &Host)| {
            let running = self.cloud.instance(id).is_some_and(|one| one.state == State::Running);
            host.registered && host.retiring.is_none() && running
        };
        self.hosts.iter().filter(able).map(|(id, _)| id.clone()).collect()
    }

    fn held(&self, worker: &str) -> Vec<u64> {
        self.results.iter().filter(|(_, holder)| *holder == worker).map(|(result, _)| *result).collect()
    }

    /// How many results a worker holds.
    pub fn held_by(&self, worker: &str) -> u64 {
        self.held(worker).len() as u64
    }

    /// Workers whose data had the time to move: it has moved, and their machines power off, unless nobody is left
    /// who could take it.
    fn end_retirements(&mut self, now: Timestamp) {
        let done =
            |(id, host): (&String, &Host)| host.retiring.is_some_and(|at| at <= now).then(|| id.clone());
        for id in self.hosts.iter().filter_map(done).collect::<Vec<_>>() {
            let (recipients, held) = (self.recipients(), self.held(&id));
            let Some(host) = self.hosts.get_mut(&id) else { continue };
            host.retiring = None;
            self.sequence += 1;
            if recipients.is_empty() && !held.is_empty() {
                continue;
            }
            host.registered = false;
            for (result, recipient) in held.into_iter().zip(recipients.iter().cycle()) {
                self.results.insert(result, recipient.clone());
            }
            self.cloud.host_ended(&id);
        }
    }

    /// Workers whose machine or scheduler is gone, with what they held.
    fn end_workers(&mut self, now: Timestamp) {
        let scheduled = self.scheduled(now);
        let ended: Vec<(String, Option<ClusterUid>, Option<NodeName>)> = self
            .cloud
            .instances()
            .filter(|one| self.hosts.get(&one.id).is_some_and(|host| host.registered))
            .filter(|one| {
                one.state != State::Running || cluster_of(one).is_none_or(|uid| !scheduled.contains(&uid))
            })
            .map(|one| (one.id.clone(), cluster_of(one), name_of(one)))
            .collect();
        for (id, cluster, worker) in ended {
            let held = self.held(&id);
            self.results.retain(|_, holder| *holder != id);
            self.lost += held.len() as u64;
            self.sequence += 1;
            if let Some(host) = self.hosts.get_mut(&id) {
                host.registered = false;
            }
            let (Some(cluster), Some(worker)) = (cluster, worker) else { continue };
            let lost_computed = held.len() as u64;
            let departure =
                Departure { worker, at: now, expected: Some(false), lost_computed, lost_scattered: 0 };
            self.departures.push((self.sequence, cluster, departure));
        }
    }

    fn register(&mut self, now: Timestamp) {
        let up = |one: &&Instance| one.console.is_empty() && self.is_up(one, now);
        for id in self.cloud.instances().filter(up).map(|one| one.id.clone()).collect::<Vec<_>>() {
            self.cloud.host_said(&id, b"[ 4.0] crewcall[9]: crewcall: starting\n".into());
        }
        let scheduled = self.scheduled(now);
        let waiting: Vec<String> = self
            .cloud
            .instances()
            .filter(|one| !is_scheduler(one) && self.is_up(one, now))
            .filter(|one| cluster_of(one).is_some_and(|uid| scheduled.contains(&uid)))
            .map(|one| one.id.clone())
            .collect();
        for id in waiting {
            if let Some(host) = self.hosts.get_mut(&id).filter(|host| !host.registered && !host.noticed) {
                host.registered = true;
                self.sequence += 1;
            }
        }
    }

    /// Departures from a cluster that are newer than `since`.
    pub fn departures(&self, cluster: &ClusterUid, since: Option<u64>) -> Vec<Departure> {
        let news = self
            .departures
            .iter()
            .filter(|(sequence, uid, _)| uid == cluster && since.is_some_and(|since| *sequence > since));
        news.map(|(_, _, departure)| departure.clone()).collect()
    }
}
