//! The stage of the fake provider: a world in memory, on paused time.

use std::sync::Arc;

use async_trait::async_trait;
use crewcall::{
    engine::{Engine as _, dask::DaskEngine},
    model::{
        CallerContext, CallerEnvironment, ClusterKey, Incarnation, NodeId, NodeName, Slot, TemplateHash,
    },
    provider::{
        AnchorRequest, NodeRequest, Provider,
        fake::{Call, FakeProvider, Habits, Mishap, World},
    },
    spec::{ComputeCluster, GroupName},
};
use jiff::Timestamp;

use crate::stage::{Reply, Stage};

/// A world and the one installation in it.
pub struct FakeStage(Arc<World>);

fn document(cluster: &ClusterKey) -> ComputeCluster {
    let value = serde_json::json!({
        "apiVersion": "crewcall.dev/v1alpha1", "kind": "ComputeCluster",
        "metadata": {"name": cluster.name}, "spec": {"provider": {"local": {}}},
    });
    serde_json::from_value(value).unwrap()
}

fn node(cluster: &ClusterKey, group: GroupName, slot: u32) -> NodeId {
    NodeId {
        cluster: cluster.name.clone(),
        group,
        slot: Slot(slot),
        incarnation: Incarnation(0),
        instance: None,
    }
}

#[async_trait]
impl Stage for FakeStage {
    fn set() -> Option<Self> {
        let begun = Timestamp::from_second(1_800_000_000).unwrap();
        Some(Self(Arc::new(World::new(begun, Habits::default()))))
    }

    fn neighbour(&self) -> Box<dyn Stage> {
        Box::new(Self::set().unwrap())
    }

    fn provider(&self) -> Arc<dyn Provider> {
        Arc::new(FakeProvider::new(self.0.clone()))
    }

    fn anchor(&self, cluster: &ClusterKey) -> AnchorRequest {
        AnchorRequest {
            cluster: cluster.clone(),
            document: Arc::new(document(cluster)),
            interpreter: None,
            context: CallerContext::default(),
            environment: CallerEnvironment::default(),
        }
    }

    fn scheduler(&self, cluster: &ClusterKey) -> NodeRequest {
        let id = node(cluster, GroupName::scheduler(), 0);
        let launch = DaskEngine::default().scheduler_launch(&document(cluster), &id);
        NodeRequest { id, template: TemplateHash::new("t1"), launch: Arc::new(launch), identity: None }
    }

    fn worker(&self, cluster: &ClusterKey, slot: u32, scheduler: &str) -> NodeRequest {
        let group = GroupName::workers();
        let id = node(cluster, group.clone(), slot);
        let launch = DaskEngine::default().worker_launch(&document(cluster), &id, &group, scheduler);
        NodeRequest { id, template: TemplateHash::new("t1"), launch: Arc::new(launch), identity: None }
    }

    fn lose(&self, reply: Reply) {
        let call = match reply {
            Reply::Anchor => Call::EnsureAnchor,
            Reply::Nodes => Call::EnsureNodes,
            Reply::Removal => Call::RemoveNodes,
        };
        self.0.go_wrong(call, [Mishap::ReplyLost]);
    }

    async fn kill(&self, cluster: &ClusterKey, _: &str, worker: &NodeName) {
        self.0.kill(&cluster.uid, worker);
    }

    fn running(&self) -> usize {
        self.0.nodes().iter().filter(|(_, alive)| *alive).count()
    }

    fn remains(&self) -> Vec<String> {
        let nodes: Vec<String> = self.0.nodes().iter().map(|(id, _)| id.to_string()).collect();
        if nodes.is_empty() && !self.0.is_empty() { vec!["an anchor".to_owned()] } else { nodes }
    }
}
