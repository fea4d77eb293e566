//! The world: what exists, what time it is, and what goes wrong.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, time::Instant};

use super::people::{Anchor, End, Place};
use crate::{
    model::{ClusterUid, InstanceId, NodeId, NodeName},
    provider::ProviderError,
};

/// How long things take in a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Habits {
    /// From a call to its effect.
    pub latency: Duration,
    /// From its effect to the reply.
    pub reply: Duration,
    /// From a node's creation until it can be seen.
    pub visibility: Duration,
    /// From a node's creation until it runs.
    pub start: Duration,
    /// From then until its scheduler sees it.
    pub registration: Duration,
    /// For a worker's data to move elsewhere.
    pub transfer: Duration,
    /// From being told to end until it has ended.
    pub stop: Duration,
    /// Most nodes at one time.
    pub capacity: usize,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            reply: Duration::from_millis(20),
            visibility: Duration::ZERO,
            start: Duration::from_millis(500),
            registration: Duration::from_millis(300),
            transfer: Duration::from_millis(400),
            stop: Duration::from_millis(100),
            capacity: usize::MAX,
        }
    }
}

/// `at` plus `delay`; the far end of time instead of an overflow.
pub(super) fn after(at: Timestamp, delay: Duration) -> Timestamp {
    let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
    at.checked_add(delay).unwrap_or(Timestamp::MAX)
}

/// A call that can be made to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// The world is looked at.
    Observe,
    /// An anchor is made.
    EnsureAnchor,
    /// Nodes are made.
    EnsureNodes,
    /// Nodes are launched in a batch.
    Launch,
    /// Nodes are removed.
    RemoveNodes,
    /// An anchor is removed.
    RemoveAnchor,
}

/// How a call goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mishap {
    /// It has no effect, and says so.
    Fails(ProviderError),
    /// It has its effect, and nobody hears of it.
    ReplyLost,
}

/// A world in memory, shared by a provider and an engine.
#[derive(Debug)]
pub struct World {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
pub(super) struct State {
    pub places: BTreeMap<ClusterUid, Place>,
    pub habits: Habits,
    mishaps: BTreeMap<Call, VecDeque<Mishap>>,
    /// What no controller may ever do, and some has done.
    pub breaches: Vec<String>,
    /// What was asked for with each token, and what was made.
    pub launches: BTreeMap<String, (String, Vec<InstanceId>)>,
    /// For each choice of a launch, how many more there is room for; no limit where nothing is said.
    pub rooms: BTreeMap<u32, usize>,
    next_result: u64,
    time: Time,
}

/// The world's clock goes on when the runtime whose clock it follows is replaced.
#[derive(Debug)]
struct Time {
    begun: Timestamp,
    before: Duration,
    since: Instant,
}

impl World {
    /// An empty world, in which it is now `now`.
    pub fn new(now: Timestamp, habits: Habits) -> Self {
        let time = Time { begun: now, before: Duration::ZERO, since: Instant::now() };
        let state = State {
            places: BTreeMap::new(),
            habits,
            mishaps: BTreeMap::new(),
            breaches: Vec::new(),
            launches: BTreeMap::new(),
            rooms: BTreeMap::new(),
            next_result: 0,
            time,
        };
        Self { state: Mutex::new(state), changed: watch::Sender::new(0) }
    }

    /// What time it is there.
    pub fn now(&self) -> Timestamp {
        self.state().now()
    }

    /// Stops the clock, before the runtime whose clock it follows ends.
    pub fn pause(&self) {
        let mut state = self.state();
        state.time.before = state.time.before.saturating_add(state.time.since.elapsed());
        state.time.since = Instant::now();
    }

    /// Lets the clock follow that of the runtime in which this is called.
    pub fn resume(&self) {
        self.state().time.since = Instant::now();
    }

    /// Has the next calls of a kind go wrong, one mishap each.
    pub fn go_wrong(&self, call: Call, mishaps: impl IntoIterator<Item = Mishap>) {
        self.state().mishaps.entry(call).or_default().extend(mishaps);
    }

    /// From now on launches of a choice find room for so many more nodes.
    pub fn make_room(&self, choice: u32, nodes: usize) {
        self.state().rooms.insert(choice, nodes);
    }

    /// How many instances were ever launched.
    pub fn launched(&self) -> usize {
        self.state().launches.values().map(|(_, instances)| instances.len()).sum()
    }

    /// Gives notice to a machine: it retires by itself, and is ended after `notice`.
    pub fn take_back(&self, cluster: &ClusterUid, node: &NodeName, notice: Duration) {
        let mut state = self.advanced();
        let (now, transfer) = (state.now(), state.habits.transfer);
        let place = state.places.get_mut(cluster);
        if let Some(node) = place.and_then(|place| place.nodes.get_mut(node)) {
            if let Some(machine) = &mut node.machine {
                machine.taken_back_at = Some(after(now, notice));
            }
            if node.registered {
                node.retiring.get_or_insert(after(now, transfer));
            }
        }
        drop(state);
        self.tell();
    }

    /// Has every worker that is registered compute so many results, and keep them.
    pub fn compute(&self, cluster: &ClusterUid, each: u64) {
        let mut state = self.advanced();
        let now = state.now();
        let mut next = state.next_result;
        if let Some(place) = state.places.get_mut(cluster) {
            let workers = place.recipients(now);
            for worker in workers.iter().flat_map(|worker| (0..each).map(move |_| worker)) {
                place.results.insert(next, worker.clone());
                next += 1;
            }
            place.sequence += 1;
        }
        state.next_result = next;
        drop(state);
        self.tell();
    }

    /// Results that somebody holds.
    pub fn results(&self, cluster: &ClusterUid) -> u64 {
        self.advanced().places.get(cluster).map_or(0, |place| place.results.len() as u64)
    }

    /// Results that nobody holds any more: gone with their worker, gone with their scheduler.
    pub fn lost(&self, cluster: &ClusterUid) -> (u64, u64) {
        let state = self.advanced();
        state.places.get(cluster).map_or((0, 0), |place| (place.lost, place.lost_with_scheduler))
    }

    /// Ends a node, as a crash of it would.
    pub fn kill(&self, cluster: &ClusterUid, node: &NodeName) {
        let mut state = self.advanced();
        let now = state.now();
        let node = state.places.get_mut(cluster).and_then(|place| place.nodes.get_mut(node));
        if let Some(node) = node {
            node.end = Some(End { at: now, code: None, signal: Some(9) });
        }
        drop(state);
        self.tell();
    }

    /// Every node that exists, of whatever cluster, and whether nobody has told it to end.
    pub fn nodes(&self) -> Vec<(NodeId, bool)> {
        let state = self.advanced();
        let now = state.now();
        let nodes = state.places.values().flat_map(|place| place.nodes.values());
        nodes.map(|node| (node.id.clone(), node.is_alive() && !node.has_ended(now))).collect()
    }

    /// Whether nothing exists, anchors included.
    pub fn is_empty(&self) -> bool {
        let state = self.advanced();
        state.places.values().all(|place| place.anchor == Anchor::Absent && place.nodes.is_empty())
    }

    /// What no controller may ever do, and some has done: a second node in a slot, a name used again.
    pub fn breaches(&self) -> Vec<String> {
        self.state().breaches.clone()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state as it is now.
    pub(super) fn advanced(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let now = state.now();
        let habits = state.habits.clone();
        for place in state.places.values_mut() {
            place.advance(now, &habits);
        }
        state
    }

    /// Wakes those who wait for a change.
    pub(super) fn tell(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Returns when something of a cluster may have changed, or after `at_most`.
    pub(super) async fn change(
        &self,
        cluster: &ClusterUid,
        changes: &mut watch::Receiver<u64>,
        at_most: Duration,
    ) {
        let due = {
            let state = self.advanced();
            let now = state.now();
            let due = state.places.get(cluster).and_then(|place| place.next_due(now));
            due.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default())
        };
        let wait = due.map_or(at_most, |due| due.min(at_most));
        // The sender lives as long as the world: only a change or the time can end this.
        let _ = tokio::time::timeout(wait, changes.changed()).await;
    }

    /// Makes one call: its effect, between two waits, unless it is to go wrong.
    pub(super) async fn call<T>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut State) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let (latency, reply, mishap) = {
            let mut state = self.state();
            let mishap = state.mishaps.get_mut(&call).and_then(VecDeque::pop_front);
            (state.habits.latency, state.habits.reply, mishap)
        };
        tokio::time::sleep(latency).await;
        if let Some(Mishap::Fails(error)) = mishap {
            return Err(error);
        }
        let result = effect(&mut self.advanced());
        if call != Call::Observe {
            self.tell();
        }
        tokio::time::sleep(reply).await;
        match mishap {
            Some(Mishap::ReplyLost) => Err(ProviderError::unsure("the world did not answer in time")),
            _ => result,
        }
    }
}

impl State {
    pub fn now(&self) -> Timestamp {
        let passed = self.time.before.saturating_add(self.time.since.elapsed());
        after(self.time.begun, passed)
    }
}
