//! What a command waits for, judged by what is seen of the cluster. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::Exit;
use crate::{
    controller::{ClusterView, GroupView},
    model::{ClusterUid, Condition, ConditionKind, ConditionStatus, Event, Phase, Severity},
    spec::{GroupName, ProviderKind, Size, count_of},
};

/// How long a provider may keep failing before a wait for it is given up.
const PROVIDER_PATIENCE: Duration = Duration::from_secs(15);

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// What the document's `waitFor` names.
    Ready {
        /// At least this generation of it.
        generation: u64,
    },
    /// That, and all that the change of the document asked for has come: no old worker is left.
    Updated {
        /// At least this generation of it.
        generation: u64,
    },
    /// A group has its size.
    Sized {
        /// At least this generation of it.
        generation: u64,
        /// Which group.
        group: GroupName,
    },
    /// The cluster does not exist any more; another of its name may.
    Gone {
        /// Which cluster.
        uid: ClusterUid,
    },
}

/// Whether waiting has an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has come.
    Reached,
    /// It may come.
    Waiting,
    /// It will not come by waiting.
    Stuck {
        /// Why, to follow "cluster demo: ".
        why: String,
        /// The next step.
        hint: String,
        /// How the command ends.
        exit: Exit,
    },
}

impl Goal {
    /// What is waited for, to follow "waited for".
    pub fn description(&self, view: Option<&ClusterView>, name: &str) -> String {
        match (self, view) {
            (Self::Ready { .. }, Some(view)) => {
                format!("cluster {name} having {}", workers(view.awaited.workers, "ready"))
            }
            (Self::Ready { .. }, None) => format!("cluster {name} being ready"),
            (Self::Updated { .. }, _) => format!("cluster {name} being as its document now says"),
            (Self::Sized { group, .. }, view) => {
                let size = view.and_then(|view| find(view, group)).and_then(|group| group.size);
                let size = size.map_or_else(|| "its new size".to_owned(), |size| format!("{size} workers"));
                format!("group {group} of cluster {name} having {size}")
            }
            (Self::Gone { .. }, _) => format!("the end of cluster {name}"),
        }
    }

    /// Whether what is seen of the cluster follows the request already.
    pub fn concerns(&self, view: &ClusterView) -> bool {
        match self {
            Self::Ready { .. } => true,
            Self::Updated { generation } | Self::Sized { generation, .. } => {
                view.observed_generation >= *generation
            }
            Self::Gone { uid } => view.uid == *uid && view.phase == Phase::Deleting,
        }
    }

    /// Whether the cluster is what is waited for.
    pub fn judge(&self, view: &ClusterView, now: Timestamp) -> Verdict {
        match self {
            Self::Gone { uid } if view.uid == *uid => Verdict::Waiting,
            Self::Gone { .. } => Verdict::Reached,
            Self::Ready { generation } => {
                if view.awaited.reached && view.observed_generation >= *generation {
                    return Verdict::Reached;
                }
                ended(view).unwrap_or_else(|| hopeless(view, *generation, now))
            }
            Self::Updated { generation } => {
                let settled = view
                    .condition(ConditionKind::Progressing)
                    .is_some_and(|condition| condition.status == ConditionStatus::False);
                if settled && view.awaited.reached && view.observed_generation >= *generation {
                    return Verdict::Reached;
                }
                ended(view).unwrap_or_else(|| hopeless(view, *generation, now))
            }
            Self::Sized { generation, group } => {
                let current = view.observed_generation >= *generation;
                if current && find(view, group).is_some_and(has_its_size) {
                    return Verdict::Reached;
                }
                ended(view).unwrap_or_else(|| hopeless(view, *generation, now))
            }
        }
    }
}

fn find<'a>(view: &'a ClusterView, name: &GroupName) -> Option<&'a GroupView> {
    view.groups.iter().find(|group| group.name == *name)
}

fn has_its_size(group: &GroupView) -> bool {
    let sized = match group.size {
        Some(Size::Fixed(replicas)) => group.ready == replicas,
        Some(Size::Adaptive { min, max }) => (min..=max).contains(&group.ready),
        None => false,
    };
    sized && group.draining == 0 && group.starting == 0
}

/// Whether the cluster goes away, or is another machine's, under whoever waits for it.
fn ended(view: &ClusterView) -> Option<Verdict> {
    let stuck =
        |why: &str, hint: String| Some(Verdict::Stuck { why: why.to_owned(), hint, exit: Exit::Refused });
    match view.phase {
        Phase::Deleting => stuck("it is being deleted", format!("`crewcall events {}` says why", view.name)),
        Phase::Lost => stuck(
            "its machine was restarted and nothing of it runs",
            format!("`crewcall delete {}`, or create it again", view.name),
        ),
        Phase::Elsewhere => {
            stuck("another machine looks after it", "run the command on that machine".to_owned())
        }
        Phase::Pending | Phase::Starting | Phase::Ready | Phase::Updating | Phase::Degraded => None,
    }
}

/// Whether something keeps failing of which more waiting will not help.
fn hopeless(view: &ClusterView, generation: u64, now: Timestamp) -> Verdict {
    let name = &view.name;
    let degraded = view.condition(ConditionKind::Degraded).filter(|_| view.holds(ConditionKind::Degraded));
    let Some(condition) = degraded.filter(|_| view.observed_generation >= generation) else {
        return Verdict::Waiting;
    };
    let retried = format!(
        "`crewcall logs {name}` shows more; it is tried again, ever less often: `crewcall delete {name}` ends that"
    );
    let stuck = |hint, exit| Verdict::Stuck { why: condition.message.clone(), hint, exit };
    match condition.reason.as_str() {
        "SchedulerFailing" | "WorkersFailing" => stuck(retried, Exit::Provider),
        "CredentialsNeeded" => stuck("run the same `crewcall create` again".to_owned(), Exit::Provider),
        "ProviderError" if lasted(condition, PROVIDER_PATIENCE, now) => stuck(retried, Exit::Provider),
        "CostLimit" => stuck(
            "raise maxHourlyCost in the document, or ask for fewer or smaller workers".to_owned(),
            Exit::Refused,
        ),
        "NoRecipient" => stuck(
            format!(
                "scale another group up first, free the results in the client, or lose them with \
                 `crewcall scale {name} … --force`"
            ),
            Exit::Refused,
        ),
        _ => Verdict::Waiting,
    }
}

fn lasted(condition: &Condition, patience: Duration, now: Timestamp) -> bool {
    let since = now.duration_since(condition.last_transition_time);
    Duration::try_from(since).is_ok_and(|since| since >= patience)
}

/// How far a cluster is, in a few words each.
pub fn parts(view: &ClusterView) -> Vec<String> {
    if view.phase == Phase::Deleting {
        let left = view.nodes.len();
        let nodes = if left == 1 { "1 node left".to_owned() } else { format!("{left} nodes left") };
        return vec![format!("deleting {}: {nodes}", view.name)];
    }
    let scheduler = match view.condition(ConditionKind::SchedulerReady) {
        Some(_) if view.holds(ConditionKind::SchedulerReady) => "scheduler: ready".to_owned(),
        Some(condition) if condition.reason == "Failed" => "scheduler: failed, is replaced".to_owned(),
        Some(condition) if condition.reason == "Pending" && view.provider != ProviderKind::Local => {
            format!("scheduler: cannot start yet: {}", condition.message)
        }
        _ => "scheduler: starting".to_owned(),
    };
    let several = view.groups.len() > 1;
    let groups = view.groups.iter().map(|group| {
        let name = if several { group.name.as_str() } else { "workers" };
        let draining =
            if group.draining == 0 { String::new() } else { format!(", {} draining", group.draining) };
        format!("{name}: {} of {} ready{draining}", group.ready, group.wanted)
    });
    let workers =
        view.condition(ConditionKind::WorkersReady).filter(|condition| condition.reason == "Pending");
    let obstacle = workers.and_then(|condition| condition.message.split_once("; "));
    let obstacle = obstacle.map(|(_, obstacle)| obstacle.to_owned());
    std::iter::once(scheduler).chain(groups).chain(obstacle).collect()
}

/// `1 worker`, `2 ready workers`.
pub fn workers(count: u32, adjective: &str) -> String {
    count_of(count.into(), format!("{adjective} worker").trim_start())
}

/// The newest warnings, for an error that should say what happened; at most `limit` lines of text.
pub fn warnings(events: &[Event], limit: usize) -> Vec<String> {
    let newest = events.iter().rev().find(|event| event.severity == Severity::Warning);
    let mut lines: Vec<String> =
        newest.map(|event| event.message.lines().map(str::to_owned).collect()).unwrap_or_default();
    if lines.len() > limit {
        lines.drain(1..=lines.len() - limit);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::goal::tests_support::{at, condition, view};

    #[test]
    fn a_cluster_is_ready_only_in_the_generation_that_was_asked_for() {
        let mut view = view(2, 2);
        view.awaited.reached = true;
        assert_eq!(Goal::Ready { generation: 1 }.judge(&view, at(0)), Verdict::Reached);
        assert_eq!(Goal::Ready { generation: 2 }.judge(&view, at(0)), Verdict::Waiting);
    }

    #[test]
    fn a_changed_cluster_is_waited_for_until_no_old_worker_is_left() {
        let goal = Goal::Updated { generation: 1 };
        let mut view = view(2, 2);
        view.awaited.reached = true;
        view.conditions.push(condition(ConditionKind::Progressing, "Draining", "one hands its data over"));
        assert_eq!(goal.judge(&view, at(0)), Verdict::Waiting);
        view.conditions[0].status = ConditionStatus::False;
        assert_eq!(goal.judge(&view, at(0)), Verdict::Reached);
    }

    #[test]
    fn a_group_has_its_size_once_nobody_comes_or_goes() {
        let goal = Goal::Sized { generation: 1, group: GroupName::workers() };
        let mut view = view(2, 2);
        assert_eq!(goal.judge(&view, at(0)), Verdict::Reached);
        view.groups[0].draining = 1;
        assert_eq!(goal.judge(&view, at(0)), Verdict::Waiting);
        view.groups[0].draining = 0;
        view.groups[0].size = Some(Size::Adaptive { min: 1, max: 4 });
        assert_eq!(goal.judge(&view, at(0)), Verdict::Reached);
        view.groups[0].ready = 0;
        assert_eq!(goal.judge(&view, at(0)), Verdict::Waiting);
    }

    #[test]
    fn what_keeps_failing_ends_the_wait_with_the_cause() {
        let mut view = view(0, 2);
        view.conditions.push(condition(ConditionKind::Degraded, "WorkersFailing", "3 failures in a row"));
        let Verdict::Stuck { why, exit, .. } = (Goal::Ready { generation: 1 }).judge(&view, at(0)) else {
            panic!("the wait goes on");
        };
        assert_eq!((why.as_str(), exit), ("3 failures in a row", Exit::Provider));
        // What an older generation failed at says nothing about the new one.
        assert_eq!(Goal::Ready { generation: 2 }.judge(&view, at(0)), Verdict::Waiting);
    }

    #[test]
    fn a_provider_may_fail_for_a_moment() {
        let mut view = view(0, 2);
        view.conditions.push(condition(ConditionKind::Degraded, "ProviderError", "no room"));
        let goal = Goal::Ready { generation: 1 };
        assert_eq!(goal.judge(&view, at(1)), Verdict::Waiting);
        assert!(matches!(goal.judge(&view, at(60)), Verdict::Stuck { .. }));
    }

    #[test]
    fn data_that_nobody_can_take_is_a_refusal() {
        let mut view = view(2, 0);
        view.groups[0].size = Some(Size::Fixed(0));
        view.conditions.push(condition(ConditionKind::Degraded, "NoRecipient", "nobody can take it"));
        let goal = Goal::Sized { generation: 1, group: GroupName::workers() };
        assert!(matches!(goal.judge(&view, at(0)), Verdict::Stuck { exit: Exit::Refused, .. }));
    }

    #[test]
    fn a_cluster_that_is_deleted_meanwhile_ends_the_wait() {
        let mut view = view(0, 2);
        view.phase = Phase::Deleting;
        assert!(matches!(Goal::Ready { generation: 1 }.judge(&view, at(0)), Verdict::Stuck { .. }));
        assert_eq!(Goal::Gone { uid: view.uid.clone() }.judge(&view, at(0)), Verdict::Waiting);
        let other = ClusterUid::from_random(8);
        assert_eq!(Goal::Gone { uid: other }.judge(&view, at(0)), Verdict::Reached);
    }

    #[test]
    fn progress_is_said_in_few_words() {
        let mut view = view(2, 4);
        assert_eq!(parts(&view), ["scheduler: starting", "workers: 2 of 4 ready"]);
        view.groups[0].draining = 1;
        view.conditions.push(condition(ConditionKind::SchedulerReady, "Answers", ""));
        assert_eq!(parts(&view), ["scheduler: ready", "workers: 2 of 4 ready, 1 draining"]);
        view.phase = Phase::Deleting;
        assert_eq!(parts(&view), ["deleting demo: 0 nodes left"]);
    }
}

/// Clusters for tests.
#[cfg(test)]
pub(super) mod tests_support {
    use super::*;
    use crate::{
        controller::Awaited,
        model::{CallerContext, ClusterUid},
        spec::{self, ProviderKind},
    };

    pub fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    pub fn condition(kind: ConditionKind, reason: &str, message: &str) -> Condition {
        let (reason, message) = (reason.to_owned(), message.to_owned());
        Condition { kind, status: ConditionStatus::True, reason, message, last_transition_time: at(0) }
    }

    /// A cluster named demo with one group, of which so many are ready and wanted.
    pub fn view(ready: u32, wanted: u32) -> ClusterView {
        let text = "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {name: demo}\n\
                    spec: {provider: {local: {}}}\n";
        let size = Some(Size::Fixed(wanted));
        let group = GroupView {
            name: GroupName::workers(),
            size,
            wanted,
            ready,
            starting: 0,
            draining: 0,
            reason: None,
        };
        ClusterView {
            name: "demo".parse().unwrap(),
            uid: ClusterUid::from_random(7),
            provider: ProviderKind::Local,
            phase: Phase::Starting,
            awaited: Awaited { reached: false, workers: wanted, ready },
            generation: 1,
            observed_generation: 1,
            created_at: at(0),
            endpoint: None,
            dashboard: None,
            client: None,
            groups: vec![group],
            nodes: Vec::new(),
            conditions: Vec::new(),
            clients: None,
            idle_since: None,
            interpreter: None,
            context: CallerContext::default(),
            document: spec::load("test", text).unwrap().cluster,
            spending: None,
        }
    }
}
