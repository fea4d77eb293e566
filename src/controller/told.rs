//! What is shown of a cluster that somebody else looks after. Pure.

use std::collections::BTreeMap;

use super::{
    ClusterView, GroupView, NodePhase,
    view::{ViewSource, awaited},
};
use crate::{
    model::{ClusterRecord, ConditionKind, Observed, Phase},
    plan::EngineView,
    spec::GroupName,
};

/// What whoever looks after a cluster says of it, beside its record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Workers that take work, by group.
    pub ready: BTreeMap<GroupName, u32>,
    /// Where a client connects.
    pub endpoint: Option<String>,
    /// The link to the dashboard.
    pub dashboard: Option<String>,
}

impl ClusterView {
    /// What can be shown of a cluster without a look at its nodes and scheduler.
    pub fn told(record: &ClusterRecord, told: &Told) -> Self {
        let (world, engine) = (Observed::default(), EngineView::NotAsked);
        let mut view = Self::new(&ViewSource { record, world: &world, engine: &engine, client: None });
        for group in &mut view.groups {
            let live = group.ready + group.starting;
            group.ready = told.ready.get(&group.name).copied().unwrap_or(0).min(live);
            group.starting = live - group.ready;
        }
        view.awaited = awaited(record, &view.groups);
        for node in &mut view.nodes {
            let all_work = |group: &GroupView| group.name == node.group && group.starting == 0;
            if node.state == NodePhase::Registered && view.groups.iter().any(all_work) {
                node.state = NodePhase::Ready;
            }
        }
        if view.holds(ConditionKind::SchedulerReady) && view.phase != Phase::Deleting {
            view.endpoint.clone_from(&told.endpoint);
            view.dashboard.clone_from(&told.dashboard);
        }
        view
    }
}
