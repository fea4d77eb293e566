//! From what Kubernetes says of a pod to what a plan starts from. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodStatus};

use super::{
    client::version,
    names::{self, ADDRESS_ANNOTATION, CONTAINER, ENDPOINT_ANNOTATION, TEMPLATE_ANNOTATION},
};
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
    /// The address of its Kubernetes node, if it is a scheduler whose Service is open to the outside.
    pub exposed_on: Option<String>,
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
            version: version(metadata.resource_version.as_deref()),
            state: state(&status, container, ending, created_at),
            ending,
            started,
            address: metadata.annotations.as_ref().and_then(|all| all.get(ADDRESS_ANNOTATION)).cloned(),
            exposed_on: metadata
                .annotations
                .as_ref()
                .filter(|all| all.contains_key(ENDPOINT_ANNOTATION))
                .and_then(|_| status.host_ip.clone()),
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

/// What keeps a pod from running, as Kubernetes says it; nothing where it only takes its time.
fn waiting(status: &PodStatus) -> Option<String> {
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled" && condition.status == "False" && condition.reason.is_some()
    });
    if let Some(condition) = unscheduled {
        return Some(said(condition.reason.as_deref(), condition.message.as_deref()));
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let reasons = containers.filter_map(|container| container.state.as_ref()?.waiting.as_ref());
    let obstacle = |reason: Option<&str>| reason.is_some_and(|reason| !ORDINARY.contains(&reason));
    let mut obstacles = reasons.filter(|waiting| obstacle(waiting.reason.as_deref()));
    obstacles.next().map(|waiting| said(waiting.reason.as_deref(), waiting.message.as_deref()))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Pods as a real API server gave them back.
    const PODS: &str = include_str!("observe/pods.json");

    fn seen(slot: &str) -> SeenPod {
        let pods: Vec<Pod> = serde_json::from_str(PODS).unwrap();
        let cluster = "demo".parse().unwrap();
        let name = format!("demo-{slot}-0");
        pods.iter()
            .filter_map(|pod| SeenPod::new(&cluster, pod))
            .find(|pod| pod.id.name().as_str() == name)
            .unwrap()
    }

    fn waits_for(slot: &str) -> String {
        match seen(slot).state {
            NodeState::Pending(Some(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn exit(slot: &str) -> Exit {
        match seen(slot).state {
            NodeState::Ended(exit) => exit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_scheduler_that_runs_is_reached_by_its_service() {
        let pod = seen("scheduler-0");
        assert_eq!(pod.state, NodeState::Running);
        assert_eq!(pod.endpoint(), Some("tls://demo-scheduler.prov-rec.svc:8786"));
        assert!(pod.started && pod.ip.is_some() && pod.version > 0);
        assert_eq!(pod.template.as_str(), "0123456789ab");
    }

    #[test]
    fn what_a_pod_waits_for_is_said_in_kubernetes_own_words() {
        insta::assert_snapshot!(waits_for("workers-1"), @r#"ImagePullBackOff: Back-off pulling image "ghcr.io/dask/dask:no-such-tag": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "ghcr.io/dask/dask:no-such-tag": failed to resolve image: ghcr.io/dask/dask:no-such-tag: not found"#);
        let unschedulable = waits_for("workers-2");
        assert!(
            unschedulable.starts_with("Unschedulable: 0/") && unschedulable.contains("Insufficient cpu"),
            "{unschedulable}"
        );
        insta::assert_snapshot!(waits_for("workers-9"), @r#"CreateContainerConfigError: secret "missing" not found"#);
    }

    #[test]
    fn how_a_pod_ended_is_told_by_its_code_and_by_kubernetes_reason() {
        assert_eq!((exit("workers-4").code, exit("workers-4").reason), (Some(0), None));
        let unclean = exit("workers-5");
        assert!(unclean.is_unclean_drain() && unclean.reason.is_none());
        assert!(exit("workers-3").reason.unwrap().starts_with("OOMKilled"));
        insta::assert_snapshot!(exit("workers-6"), @"DeadlineExceeded: Pod was active on the node longer than the specified deadline");
        assert!(exit("workers-7").reason.unwrap().contains("\"no-such-program\": executable file not found"));
    }

    #[test]
    fn a_pod_that_is_told_to_end_is_ending_until_its_container_has() {
        let pod = seen("workers-8");
        assert!(pod.ending && pod.started);
        assert_eq!(pod.state, NodeState::Ending);
        assert_eq!(pod.endpoint(), None);
    }

    #[test]
    fn pods_that_are_no_nodes_of_the_cluster_are_not_seen() {
        let mut pods: Vec<Pod> = serde_json::from_str(PODS).unwrap();
        assert_eq!(SeenPod::new(&"other".parse().unwrap(), &pods[0]), None);
        pods[0].metadata.name = Some("something-else".to_owned());
        assert_eq!(SeenPod::new(&"demo".parse().unwrap(), &pods[0]), None);
    }
}
