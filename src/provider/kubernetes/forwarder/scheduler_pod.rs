//! Which pod is the scheduler. Pure.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::model::label;

/// What matters of a scheduler's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// How often its slot had been filled before.
    pub incarnation: u32,
    /// Whether it can be connected to.
    pub state: PodState,
}

/// Whether a pod can be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodState {
    /// Its process runs, and says that it is ready or has no probe that would.
    Ready,
    /// Its process runs.
    Running,
    /// It does not run yet, in Kubernetes' words.
    Starting(String),
    /// It has ended, or is told to.
    Ending,
}

impl From<&Pod> for Candidate {
    fn from(pod: &Pod) -> Self {
        let incarnation = pod.labels().get(label::INCARNATION).and_then(|text| text.parse().ok());
        Self { name: pod.name_any(), incarnation: incarnation.unwrap_or(0), state: state(pod) }
    }
}

fn state(pod: &Pod) -> PodState {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    if pod.metadata.deletion_timestamp.is_some() || matches!(phase, "Succeeded" | "Failed") {
        return PodState::Ending;
    }
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let ready = conditions.into_iter().any(|one| one.type_ == "Ready" && one.status == "True");
    match phase {
        "Running" if ready => PodState::Ready,
        "Running" => PodState::Running,
        _ => PodState::Starting(waiting_reason(pod).unwrap_or_else(|| phase.to_owned())),
    }
}

/// Why a pod does not run, as its first container that waits says it.
fn waiting_reason(pod: &Pod) -> Option<String> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    containers.iter().find_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone())
}

/// The pod that new connections go to: the newest that runs. Else what keeps there from being one.
pub fn choose<'a>(pods: impl Iterator<Item = &'a Candidate> + Clone) -> Result<&'a str, String> {
    let running = pods.clone().filter(|pod| matches!(pod.state, PodState::Ready | PodState::Running));
    if let Some(pod) = running.max_by_key(|pod| (pod.incarnation, pod.state == PodState::Ready)) {
        return Ok(&pod.name);
    }
    let newest = pods.max_by_key(|pod| pod.incarnation);
    Err(match newest.map(|pod| (&pod.name, &pod.state)) {
        Some((name, PodState::Starting(reason))) => {
            format!("the scheduler's pod {name} does not run yet: {reason}")
        }
        Some((name, _)) => format!("the scheduler's pod {name} has ended, and there is no other yet"),
        None => "the cluster has no scheduler's pod".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(incarnation: u32, status: &serde_json::Value) -> Candidate {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {
                "name": format!("demo-scheduler-0-{incarnation}"),
                "labels": {"crewcall.dev/incarnation": incarnation.to_string()},
                "deletionTimestamp": status.get("deleted"),
            },
            "status": status,
        }))
        .unwrap();
        Candidate::from(&pod)
    }

    fn running(incarnation: u32) -> Candidate {
        pod(incarnation, &serde_json::json!({"phase": "Running"}))
    }

    #[test]
    fn connections_go_to_the_newest_pod_that_runs() {
        let waiting = serde_json::json!({"phase": "Pending", "containerStatuses": [
            {"name": "scheduler", "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"waiting": {"reason": "ContainerCreating"}}}]});
        let pods = [running(9), running(10), pod(11, &waiting)];
        assert_eq!(choose(pods.iter()), Ok("demo-scheduler-0-10"));
        let error = choose(pods[2..].iter()).unwrap_err();
        assert_eq!(error, "the scheduler's pod demo-scheduler-0-11 does not run yet: ContainerCreating");
    }

    #[test]
    fn nobody_is_sent_to_a_pod_that_has_ended_or_is_told_to() {
        let deleted = pod(3, &serde_json::json!({"phase": "Running", "deleted": "2030-01-01T00:00:00Z"}));
        let failed = pod(2, &serde_json::json!({"phase": "Failed"}));
        let pods = [deleted, failed];
        let error = choose(pods.iter()).unwrap_err();
        assert_eq!(error, "the scheduler's pod demo-scheduler-0-3 has ended, and there is no other yet");
        assert_eq!(choose([].iter()).unwrap_err(), "the cluster has no scheduler's pod");
    }

    #[test]
    fn of_two_of_one_incarnation_the_ready_one_is_taken() {
        let ready =
            serde_json::json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        let mut other = pod(1, &ready);
        other.name = "other".to_owned();
        for pods in [[running(1), other.clone()], [other, running(1)]] {
            assert_eq!(choose(pods.iter()), Ok("other"));
        }
    }
}
