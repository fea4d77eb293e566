//! From what Kubernetes says of a pod to what a plan starts from. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodStatus};

use super::names::{self, ADDRESS_ANNOTATION, CONTAINER, TEMPLATE_ANNOTATION};
use crate::{
    model::{Exit, NodeId, NodeState, TemplateHash},
    spec::ClusterName,
};

/// Words that say nothing but that a container is on its way.
const ORDINARY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Longest reason that is kept, in characters: messages of registries can be pages.
const LONGEST: usize = 600;

/// What is kept of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenPod {
    /// Who it is.
    pub id: NodeId,
    /// Kubernetes' own id of it.
    pub uid: String,
    /// The state of the API server's store that this was read from.
    pub version: u64,
    /// What it was made from.
    pub template: TemplateHash,
    /// Whether it runs.
    pub state: NodeState,
    /// Whether it is told to end.
    pub ending: bool,
    /// Whether its container has started, so that there is a log.
    pub started: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where workers reach it, if it is a scheduler.
    pub address: Option<String>,
    /// Its own address in the cluster's network.
    pub ip: Option<String>,
}

impl SeenPod {
    /// What is to be kept of a pod; `None` for one that is no node of the cluster.
    pub fn new(cluster: &ClusterName, pod: &Pod) -> Option<Self> {
        let metadata = &pod.metadata;
        let id = names::node_of(cluster, metadata.labels.as_ref()?)?;
        if metadata.name.as_deref() != Some(id.name().as_str()) {
            return None;
        }
        let created_at = metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let template = metadata.annotations.as_ref().and_then(|all| all.get(TEMPLATE_ANNOTATION));
        let ending = metadata.deletion_timestamp.is_some();
        let status = pod.status.clone().unwrap_or_default();
        let container = dask_container(&status);
        let started = container
            .and_then(|container| container.state.as_ref())
            .is_some_and(|state| state.running.is_some() || state.terminated.is_some());
        Some(Self {
            template: TemplateHash::new(template.map_or("", String::as_str)),
            uid: metadata.uid.clone()?,
            version: metadata.resource_version.as_ref()?.parse().unwrap_or(0),
            state: state(&status, container, ending, created_at),
            ending,
            started,
            address: metadata.annotations.as_ref().and_then(|all| all.get(ADDRESS_ANNOTATION)).cloned(),
            ip: status.pod_ip.clone().filter(|ip| !ip.is_empty()),
            created_at,
            id,
        })
    }

    /// Whether its process is no more.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, NodeState::Ended(_))
    }

    /// Where workers reach it, once it is a scheduler that runs.
    pub fn endpoint(&self) -> Option<&str> {
        self.address.as_deref().filter(|_| self.state == NodeState::Running)
    }
}

fn dask_container(status: &PodStatus) -> Option<&ContainerStatus> {
    status.container_statuses.as_ref()?.iter().find(|container| container.name == CONTAINER)
}

fn state(
    status: &PodStatus,
    container: Option<&ContainerStatus>,
    ending: bool,
    created_at: Timestamp,
) -> NodeState {
    let phase = status.phase.as_deref().unwrap_or("Pending");
    let now = container.and_then(|container| container.state.as_ref());
    let terminated = now.is_some_and(|state| state.terminated.is_some());
    if terminated || matches!(phase, "Succeeded" | "Failed") {
        return NodeState::Ended(exit(status, now, created_at));
    }
    if ending {
        return NodeState::Ending;
    }
    if now.is_some_and(|state| state.running.is_some()) {
        return NodeState::Running;
    }
    NodeState::Pending(waiting(status))
}

/// Why a pod does not run yet, as Kubernetes says it.
fn waiting(status: &PodStatus) -> Option<String> {
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled" && condition.status == "False" && condition.reason.is_some()
    });
    if let Some(condition) = unscheduled {
        return Some(said(condition.reason.as_deref(), condition.message.as_deref()));
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let reasons = containers.filter_map(|container| container.state.as_ref()?.waiting.as_ref());
    let mut ordinary = None;
    for waiting in reasons {
        let reason = waiting.reason.as_deref();
        if reason.is_some_and(|reason| !ORDINARY.contains(&reason)) {
            return Some(said(reason, waiting.message.as_deref()));
        }
        ordinary = ordinary.or(reason);
    }
    ordinary.map(str::to_owned)
}

fn said(reason: Option<&str>, message: Option<&str>) -> String {
    let text = match (reason, message.filter(|message| !message.is_empty())) {
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => String::new(),
    };
    text.chars().take(LONGEST).collect()
}

fn exit(status: &PodStatus, now: Option<&ContainerState>, created_at: Timestamp) -> Exit {
    let terminated = now.and_then(|state| state.terminated.as_ref());
    let finished = terminated.and_then(|ended| ended.finished_at.as_ref()).map(|time| time.0);
    let code = terminated.map(|ended| ended.exit_code);
    // The pod's own reason says more: Evicted, DeadlineExceeded, Preempting.
    let of_pod = status.reason.as_deref().map(|reason| said(Some(reason), status.message.as_deref()));
    let of_container = terminated.and_then(|ended| {
        let reason = ended.reason.as_deref()?;
        match reason {
            // With `FallbackToLogsOnError` the message is the log, which is shown anyway.
            "Completed" | "Error" => None,
            "OOMKilled" => Some("OOMKilled: it used more than its memory limit".to_owned()),
            other => Some(said(Some(other), ended.message.as_deref())),
        }
    });
    Exit {
        at: finished.unwrap_or(created_at),
        code,
        signal: terminated.and_then(|ended| ended.signal),
        reason: of_pod.or(of_container),
    }
}
