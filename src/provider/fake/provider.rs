//! The provider over a world.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream, stream::BoxStream};
use jiff::Timestamp;

use super::{
    people::{Anchor, Node, Place},
    world::{Call, State, World, after},
};
use crate::{
    model::{ClusterKey, ErrorKind, InstanceId, Launching, Machine, Money, NodeId, NodeName, Observed, Stop},
    provider::{
        AnchorRequest, Caller, Capabilities, LaunchRequest, Launched, LogRequest, LogStream, Managed,
        NodeFailure, NodeRequest, NodesRequest, Prepared, Provider, ProviderError, RecordCopies, Removal,
        Surrounding, Vitality, WayIn,
    },
    spec::ComputeCluster,
};

/// A hint comes at least this often.
const HINT: Duration = Duration::from_mins(1);

/// Makes nodes in a [`World`].
#[derive(Debug, Clone)]
pub struct FakeProvider {
    world: Arc<World>,
    capabilities: Capabilities,
    launching: Option<Launching>,
}

impl FakeProvider {
    /// Over `world`; it needs nothing of its callers.
    pub fn new(world: Arc<World>) -> Self {
        let visibility_delay = world.state().habits.visibility;
        let start_deadline = Duration::from_mins(1);
        let surrounding = Surrounding::NotNeeded;
        let idle_period = Duration::from_secs(30);
        let look_interval = Duration::ZERO;
        Self {
            world,
            launching: None,
            capabilities: Capabilities {
                start_deadline,
                visibility_delay,
                surrounding,
                idle_period,
                look_interval,
                record_copies: RecordCopies::NotKept,
                way_in: WayIn::Open,
            },
        }
    }

    /// One that launches nodes in batches and names them itself, as `launching` says.
    pub fn launching(world: Arc<World>, launching: Launching) -> Self {
        let mut provider = Self::new(world);
        provider.launching = Some(launching);
        provider.capabilities.look_interval = Duration::from_secs(3);
        provider
    }
}

impl State {
    /// One call of a launch: the same token is the same call.
    fn launch(&mut self, request: &LaunchRequest, hourly: Option<Money>) -> Result<Launched, ProviderError> {
        let (now, habits) = (self.now(), self.habits.clone());
        let LaunchRequest { cluster, group, count, choice, template, expires_at, program, .. } = request;
        let call =
            format!("{} {group} {count} {choice} {template} {expires_at:?} {program:?}", request.launch);
        if let Some((before, instances)) = self.launches.get(&request.token) {
            if *before != call {
                self.breaches.push(format!("the token of launch {} goes with another call", request.launch));
                return Err(ProviderError::new(ErrorKind::Conflict, "the token was used for another call"));
            }
            return Ok(Launched { instances: instances.clone(), shortfall: None });
        }
        let total: usize = self.places.values().map(|place| place.nodes.len()).sum();
        let room = self.rooms.get(choice).copied().unwrap_or(usize::MAX);
        let room = room.min(habits.capacity.saturating_sub(total));
        let made: usize = self.launches.values().map(|(_, instances)| instances.len()).sum();
        let full = || ProviderError::new(ErrorKind::Capacity, format!("no room for choice {choice}"));
        let place = self.places.get_mut(&cluster.uid);
        let Some(place) = place.filter(|place| matches!(place.anchor, Anchor::Present { .. })) else {
            let message = format!("cluster {} has no anchor", cluster.name);
            return Err(ProviderError::new(ErrorKind::NotFound, message));
        };
        let makes = room.min(*count as usize);
        if makes == 0 {
            return Err(full());
        }
        // Not in the order of their names, and not one after the other.
        let number = |index: usize| {
            let number = u32::try_from(made + index).unwrap_or(u32::MAX).wrapping_mul(0x9e37_79b1);
            InstanceId::new(format!("i-{number:08x}"))
        };
        let instances: Vec<InstanceId> = (0..makes).map(number).collect();
        for instance in &instances {
            let id = NodeId::launched(cluster.name.clone(), group.clone(), instance.clone());
            let mut node = Node::new(id, template.clone(), now, &habits);
            node.machine = Some(Machine {
                launch: request.launch.clone(),
                hourly,
                taken_back_at: None,
                expires_at: *expires_at,
                steps: Vec::new(),
            });
            place.started.insert(node.id.name());
            place.nodes.insert(node.id.name(), node);
        }
        if let Some(room) = self.rooms.get_mut(choice) {
            *room = room.saturating_sub(makes);
        }
        self.launches.insert(request.token.clone(), (call, instances.clone()));
        Ok(Launched { instances, shortfall: (makes < *count as usize).then(full) })
    }

    fn start(&mut self, cluster: &ClusterKey, request: &NodeRequest, now: Timestamp) -> Option<NodeFailure> {
        let total: usize = self.places.values().map(|place| place.nodes.len()).sum();
        let habits = self.habits.clone();
        let place = self.places.get_mut(&cluster.uid)?;
        let name = request.id.name();
        if place.started.contains(&name) {
            if !place.nodes.contains_key(&name) {
                self.breaches.push(format!("{name} was asked for again after it was gone"));
            }
            return None;
        }
        if total >= habits.capacity {
            let error = ProviderError::new(ErrorKind::Capacity, format!("no room for {name}"));
            return Some(NodeFailure { node: name, error });
        }
        let rival = place.nodes.values().find(|node| {
            (&node.id.group, node.id.slot) == (&request.id.group, request.id.slot) && !node.has_ended(now)
        });
        if let Some(rival) = rival {
            self.breaches.push(format!("{name} was started before {} had ended", rival.id));
        }
        place.started.insert(name.clone());
        place.nodes.insert(name, Node::new(request.id.clone(), request.template.clone(), now, &habits));
        None
    }
}

#[async_trait]
impl Provider for FakeProvider {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn prepare(
        &self,
        _: &ComputeCluster,
        _: &Caller,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Prepared, ProviderError> {
        progress("nothing has to be prepared".to_owned());
        Ok(Prepared { cluster_environment: None, interpreter: None })
    }

    async fn observe(&self, cluster: &ClusterKey) -> Result<Observed, ProviderError> {
        let look = |state: &mut State| {
            let now = state.now();
            let Some(place) = state.places.get(&cluster.uid) else { return Ok(Observed::default()) };
            let visible = place.nodes.values().filter(|node| node.visible <= now);
            let nodes = visible.map(|node| node.observed(now)).collect();
            Ok(Observed { anchor: place.anchor_state(now), nodes })
        };
        self.world.call(Call::Observe, look).await
    }

    async fn ensure_anchor(&self, request: &AnchorRequest) -> Result<(), ProviderError> {
        let make = |state: &mut State| {
            let now = state.now();
            let visible = after(now, state.habits.visibility);
            let uid = request.cluster.uid.clone();
            let place = state.places.entry(uid).or_insert_with(|| Place::new(request.cluster.name.clone()));
            match place.anchor {
                Anchor::Absent => place.anchor = Anchor::Present { made: now, visible },
                Anchor::Present { .. } => {}
                Anchor::Ending { .. } => {
                    let message = format!("the anchor of {} is being removed", place.name);
                    return Err(ProviderError::new(ErrorKind::Conflict, message));
                }
            }
            Ok(())
        };
        self.world.call(Call::EnsureAnchor, make).await
    }

    fn launching(&self, _: &ComputeCluster) -> Option<Launching> {
        self.launching.clone()
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Launched, ProviderError> {
        let choices = self.launching.as_ref().and_then(|launching| launching.choices.get(&request.group));
        let hourly = choices.and_then(|choices| choices.get(request.choice as usize)?.hourly);
        self.world.call(Call::Launch, |state: &mut State| state.launch(request, hourly)).await
    }

    async fn set_expiry(
        &self,
        cluster: &ClusterKey,
        nodes: &[NodeName],
        at: Option<Timestamp>,
    ) -> Result<(), ProviderError> {
        let set = |state: &mut State| {
            let place = state.places.get_mut(&cluster.uid).into_iter();
            let all = place.flat_map(|place| place.nodes.iter_mut());
            for (_, node) in all.filter(|(name, _)| nodes.contains(name)) {
                if let Some(machine) = &mut node.machine {
                    machine.expires_at = at;
                }
            }
            Ok(())
        };
        self.world.call(Call::Launch, set).await
    }

    async fn ensure_nodes(&self, request: &NodesRequest) -> Result<Vec<NodeFailure>, ProviderError> {
        let make = |state: &mut State| {
            let now = state.now();
            let place = state.places.get(&request.cluster.uid);
            if !place.is_some_and(|place| matches!(place.anchor, Anchor::Present { .. })) {
                let message = format!("cluster {} has no anchor", request.cluster.name);
                return Err(ProviderError::new(ErrorKind::NotFound, message));
            }
            let failures = request.nodes.iter().filter_map(|node| state.start(&request.cluster, node, now));
            Ok(failures.collect())
        };
        self.world.call(Call::EnsureNodes, make).await
    }

    async fn remove_nodes(
        &self,
        cluster: &ClusterKey,
        nodes: &[NodeName],
        how: Stop,
    ) -> Result<(), ProviderError> {
        let remove = |state: &mut State| {
            let (now, habits) = (state.now(), state.habits.clone());
            if let Some(place) = state.places.get_mut(&cluster.uid) {
                for node in nodes {
                    place.remove(node, how, now, &habits);
                }
            }
            Ok(())
        };
        self.world.call(Call::RemoveNodes, remove).await
    }

    async fn remove_anchor(&self, cluster: &ClusterKey) -> Result<Removal, ProviderError> {
        let remove = |state: &mut State| {
            let (now, habits) = (state.now(), state.habits.clone());
            let Some(place) = state.places.get_mut(&cluster.uid) else { return Ok(Removal::Gone) };
            match place.anchor {
                Anchor::Absent => return Ok(Removal::Gone),
                Anchor::Present { .. } => {
                    place.anchor = Anchor::Ending { gone: after(now, habits.stop) };
                    let names: Vec<NodeName> = place.nodes.keys().cloned().collect();
                    for name in names {
                        place.remove(&name, Stop::Now, now, &habits);
                    }
                }
                Anchor::Ending { .. } => {}
            }
            Ok(Removal::Ending)
        };
        self.world.call(Call::RemoveAnchor, remove).await
    }

    async fn list_managed(&self) -> Result<Vec<Managed>, ProviderError> {
        let list = |state: &mut State| {
            let now = state.now();
            let anchored = state.places.iter().filter_map(|(uid, place)| {
                let Anchor::Present { made, .. } = place.anchor else { return None };
                Some(Managed {
                    cluster: uid.clone(),
                    name: Some(place.name.clone()),
                    id: uid.to_string(),
                    description: format!("the anchor of {}", place.name),
                    age: Duration::try_from(now.duration_since(made)).unwrap_or_default(),
                    vitality: Vitality::Alive,
                    hourly: None,
                })
            });
            Ok(anchored.collect())
        };
        self.world.call(Call::Observe, list).await
    }

    async fn sweep(&self, managed: &Managed) -> Result<(), ProviderError> {
        let Some(name) = managed.name.clone() else { return Ok(()) };
        self.remove_anchor(&ClusterKey { uid: managed.cluster.clone(), name }).await.map(drop)
    }

    fn watch(&self, cluster: &ClusterKey) -> BoxStream<'static, ()> {
        let begin = (self.world.clone(), self.world.changes(), cluster.uid.clone());
        let hints = stream::unfold(begin, async |(world, mut changes, uid)| {
            world.change(&uid, &mut changes, HINT).await;
            Some(((), (world, changes, uid)))
        });
        hints.boxed()
    }

    async fn logs(&self, _: &ClusterKey, node: &NodeName, _: LogRequest) -> Result<LogStream, ProviderError> {
        let line = format!("{node} says nothing\n").into_bytes();
        Ok(stream::iter([Ok(line)]).boxed())
    }

    async fn logged_nodes(&self, cluster: &ClusterKey) -> Result<Vec<NodeName>, ProviderError> {
        let list = |state: &mut State| {
            let place = state.places.get(&cluster.uid);
            Ok(place.map(|place| place.started.iter().cloned().collect()).unwrap_or_default())
        };
        self.world.call(Call::Observe, list).await
    }
}
