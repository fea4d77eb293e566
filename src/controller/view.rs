//! What is shown of a cluster: to the command line, to Python, as JSON.

use std::{collections::HashMap, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    model::{
        CallerContext, ClusterKey, ClusterRecord, ClusterUid, Condition, ConditionKind, ConditionStatus,
        EngineStatus, Interpreter, NodeId, NodeName, NodeState, Observed, ObservedNode, Phase, Presence,
        Role, SlotEntry, Spending, Stage, WorkerState, WorkerStatus,
    },
    plan::{self, EngineView},
    spec::{ClusterName, ComputeCluster, GroupName, ProviderKind, Size},
};

/// All that is shown of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterView {
    /// Its name.
    pub name: ClusterName,
    /// What it is for its whole life.
    pub uid: ClusterUid,
    /// Where it runs.
    pub provider: ProviderKind,
    /// Its state in one word.
    pub phase: Phase,
    /// Whether what its document's `waitFor` names is there.
    pub awaited: Awaited,
    /// Rises with every change of what is wanted.
    pub generation: u64,
    /// The generation that the rest speaks of.
    pub observed_generation: u64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Where a client connects.
    pub endpoint: Option<String>,
    /// The link to the dashboard.
    pub dashboard: Option<String>,
    /// How a client proves who it is; `None` without TLS.
    pub client: Option<ClientFiles>,
    /// Its groups of workers.
    pub groups: Vec<GroupView>,
    /// Its nodes, the scheduler first.
    pub nodes: Vec<NodeView>,
    /// What can be said of it.
    pub conditions: Vec<Condition>,
    /// Connected clients.
    pub clients: Option<u32>,
    /// Since when it has no work.
    pub idle_since: Option<Timestamp>,
    /// What its nodes run with.
    pub interpreter: Option<Interpreter>,
    /// In what surroundings it was asked for.
    pub context: CallerContext,
    /// What is wanted.
    pub document: ComputeCluster,
    /// What it has cost, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spending: Option<Spending>,
}

/// Whether what a person waits for is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Awaited {
    /// Whether it is.
    pub reached: bool,
    /// Ready workers that are waited for.
    pub workers: u32,
    /// Ready workers.
    pub ready: u32,
}

/// Files that a client shows and checks; never their contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientFiles {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The client's certificate.
    pub cert: PathBuf,
    /// The client's key.
    pub key: PathBuf,
}

/// A group of workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    /// Its name.
    pub name: GroupName,
    /// The size its document asks for.
    pub size: Option<Size>,
    /// Workers it should have now.
    pub wanted: u32,
    /// Workers that take work.
    pub ready: u32,
    /// Workers on their way.
    pub starting: u32,
    /// Workers that hand their data over.
    pub draining: u32,
    /// How an adaptive group came to its size: `2 to 6 workers, because …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Its name.
    pub name: NodeName,
    /// Its group.
    pub group: GroupName,
    /// What it does.
    pub role: Role,
    /// How far it is.
    pub state: NodePhase,
    /// Since when.
    pub since: Timestamp,
    /// Where it listens.
    pub address: Option<String>,
    /// What it holds and does, as its scheduler says.
    pub worker: Option<WorkerStatus>,
}

/// How far a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodePhase {
    /// Asked for.
    Requested,
    /// The provider has it.
    Launched,
    /// Its scheduler sees it.
    Registered,
    /// It takes work.
    Ready,
    /// It hands its data over.
    Draining,
    /// It is told to end, or has ended.
    Ending,
}

/// What a view is made from.
pub(super) struct ViewSource<'a> {
    pub record: &'a ClusterRecord,
    pub world: &'a Observed,
    pub engine: &'a EngineView,
    pub client: Option<ClientFiles>,
}

impl ClusterView {
    /// The condition of that kind.
    pub fn condition(&self, kind: ConditionKind) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Whether the condition of that kind holds.
    pub fn holds(&self, kind: ConditionKind) -> bool {
        self.condition(kind).is_some_and(|condition| condition.status == ConditionStatus::True)
    }

    /// Which cluster this is.
    pub fn key(&self) -> ClusterKey {
        ClusterKey { uid: self.uid.clone(), name: self.name.clone() }
    }

    pub(super) fn new(source: &ViewSource<'_>) -> Self {
        let ViewSource { record, world, engine, client } = source;
        let wanted = &record.wanted;
        let status = match engine {
            EngineView::Seen(status) => Some(status),
            EngineView::NotAsked | EngineView::Unreachable { .. } => None,
        };
        let scheduler = world.nodes.iter().find(|node| node.id.group.is_scheduler() && node.is_alive());
        let groups = group_views(record, status);
        Self {
            name: record.name().clone(),
            uid: wanted.uid.clone(),
            provider: wanted.document.spec.provider.kind(),
            phase: plan::phase(record),
            awaited: awaited(record, &groups),
            generation: wanted.generation,
            observed_generation: record.progress.observed_generation,
            created_at: wanted.created_at,
            endpoint: scheduler.and_then(|node| node.endpoint().cloned()),
            dashboard: scheduler.and_then(|node| node.dashboard.clone()),
            client: client.clone(),
            groups,
            nodes: node_views(record, world, status),
            conditions: record.progress.conditions.clone(),
            clients: status.map(|status| status.clients),
            idle_since: status.and_then(|status| status.idle_since),
            interpreter: wanted.interpreter.clone(),
            context: wanted.context.clone(),
            document: wanted.document.clone(),
            spending: record.progress.ledger.spending.clone(),
        }
    }
}

fn takes_work(worker: Option<&WorkerStatus>) -> bool {
    worker.is_some_and(|worker| matches!(worker.state, WorkerState::Running | WorkerState::Paused))
}

fn group_views(record: &ClusterRecord, status: Option<&EngineStatus>) -> Vec<GroupView> {
    let ledger = &record.progress.ledger;
    let spec = &record.wanted.document.spec;
    let count = |name: &GroupName, which: &dyn Fn(NodeId, &SlotEntry) -> bool| {
        let group = ledger.groups.get(name);
        let slots = group.map(|group| &group.slots).into_iter().flatten();
        let counted = slots.filter(|(slot, entry)| {
            group.and_then(|group| group.node(record.name(), name, **slot)).is_some_and(|id| which(id, entry))
        });
        u32::try_from(counted.count()).unwrap_or(u32::MAX)
    };
    let worker = |id: &NodeId| status.and_then(|status| status.workers.get(&id.name()));
    let view = |name: GroupName, size| {
        let live = count(&name, &|_, entry| entry.is_live());
        let ready = count(&name, &|id, entry| entry.is_live() && takes_work(worker(&id)));
        GroupView {
            size,
            wanted: spec.group(&name).map_or(0, |group| plan::desired(group, ledger.groups.get(&name))),
            ready,
            starting: live - ready,
            draining: count(&name, &|_, entry| entry.is_draining()),
            reason: ledger.groups.get(&name).and_then(|group| group.adaptive.as_ref()?.reason.clone()),
            name,
        }
    };
    let wanted = spec.groups().map(|(name, group)| view(name, group.size()));
    let leaving = ledger.groups.keys().filter(|name| !name.is_scheduler() && spec.group(name).is_none());
    wanted.chain(leaving.map(|name| view(name.clone(), None))).filter(is_worth_showing).collect()
}

/// A group that is neither wanted nor there any more is not shown.
fn is_worth_showing(view: &GroupView) -> bool {
    view.size.is_some() || view.wanted + view.starting + view.ready + view.draining > 0
}

pub(super) fn awaited(record: &ClusterRecord, groups: &[GroupView]) -> Awaited {
    let spec = &record.wanted.document.spec;
    let ready = groups.iter().map(|group| group.ready).sum();
    let workers = spec.wait_for.workers.unwrap_or_else(|| groups.iter().map(|group| group.wanted).sum());
    let scheduler = record.progress.conditions.iter().any(|condition| {
        condition.kind == ConditionKind::SchedulerReady && condition.status == ConditionStatus::True
    });
    let current = record.progress.observed_generation == record.wanted.generation;
    let present = record.wanted.presence == Presence::Present;
    Awaited { reached: present && scheduler && current && ready >= workers, workers, ready }
}

fn node_views(record: &ClusterRecord, world: &Observed, status: Option<&EngineStatus>) -> Vec<NodeView> {
    let mut nodes = Vec::new();
    let observed: HashMap<&NodeId, &ObservedNode> = world.nodes.iter().map(|node| (&node.id, node)).collect();
    for (group, ledger) in &record.progress.ledger.groups {
        for (slot, entry) in &ledger.slots {
            let Some(id) = ledger.node(record.name(), group, *slot).filter(|_| entry.stage != Stage::Vacant)
            else {
                continue;
            };
            let seen = observed.get(&id);
            let worker = status.and_then(|status| status.workers.get(&id.name()));
            let ending =
                seen.is_some_and(|node| matches!(node.state, NodeState::Ending | NodeState::Ended(_)));
            let state = match entry.stage {
                _ if ending => NodePhase::Ending,
                Stage::Vacant | Stage::Intended => NodePhase::Requested,
                Stage::Draining(_) => NodePhase::Draining,
                Stage::Launched => NodePhase::Launched,
                Stage::Registered if group.is_scheduler() || takes_work(worker) => NodePhase::Ready,
                Stage::Registered => NodePhase::Registered,
            };
            nodes.push(NodeView {
                name: id.name(),
                role: id.role(),
                group: id.group,
                state,
                since: entry.since,
                address: seen
                    .and_then(|node| node.address.clone())
                    .or(worker.map(|worker| worker.address.clone())),
                worker: worker.cloned(),
            });
        }
    }
    nodes.sort_by_key(|node| node.role);
    nodes
}
