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
    model::{ClusterKey, ErrorKind, NodeName, Observed, Stop},
    provider::{
        AnchorRequest, Caller, Capabilities, LogRequest, LogStream, Managed, NodeFailure, NodeRequest,
        NodesRequest, Prepared, Provider, ProviderError, Removal, Surrounding, Vitality,
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
            capabilities: Capabilities {
                start_deadline,
                visibility_delay,
                surrounding,
                idle_period,
                look_interval,
            },
        }
    }
}

impl State {
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
