//! The memory of workers: looked at as Dask's nanny does, and what goes beyond its budget is killed.
//!
//! By SIGKILL, since SIGTERM means a drain, for which there is no memory left. A worker's own memory manager spills and
//! pauses; it leaves the killing to its nanny.

use std::{sync::Arc, time::Duration};

use rustix::process::Signal;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{
    super::os,
    ending::do_deed,
    node::{Budget, Deed},
    protocol::NodeLaunch,
    service::{Next, Service},
};
use crate::{
    engine::dask::rpc::{Bounds, Credentials, SchedulerClient, Target},
    model::{ClusterUid, NodeName},
    security::{self, CertificateRole},
};

/// How long a worker waits for its end while its scheduler is asked what it ran.
const QUESTION: Duration = Duration::from_secs(1);

/// Tasks that are named.
const MOST_TASKS: usize = 3;

/// A worker that is to be killed for its use of memory.
pub struct Condemned {
    node: NodeName,
    /// For a person.
    reason: String,
}

/// The watch over all workers of a host.
pub(super) struct MemoryWatch {
    condemned: mpsc::Sender<Condemned>,
    next_look: Option<Instant>,
}

impl MemoryWatch {
    /// Those that are to be killed are sent to `condemned`.
    pub(super) fn new(condemned: mpsc::Sender<Condemned>) -> Self {
        Self { condemned, next_look: None }
    }

    /// When it looks next.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }
}

impl Service {
    /// Sees to it that somebody looks in time.
    pub(super) fn plan_memory_look(&mut self, now: Instant) {
        let interval = self.nodes.budgets().map(|(_, _, budget)| budget.interval).min();
        let next = &mut self.memory.next_look;
        *next = interval.map(|interval| next.map_or(now + interval, |next| next.min(now + interval)));
    }

    /// Looks at the memory of all workers, if it is time.
    pub(super) fn look_at_memory(&mut self, now: Instant) {
        if self.memory.next_look.is_none_or(|at| at > now) {
            return;
        }
        self.memory.next_look = None;
        let beyond: Vec<_> = self
            .nodes
            .budgets()
            .filter_map(|(name, process, budget)| {
                let resident = os::resident_bytes(process.pid)?;
                budget.is_exceeded_by(resident).then(|| (name.clone(), process, budget, resident))
            })
            .collect();
        for (name, process, budget, resident) in beyond {
            // So that it grows no further meanwhile.
            let _gone = process.signal(Signal::STOP);
            tracing::warn!(node = %name, resident, limit = budget.limit, "is beyond its memory");
            let Some(launch) = self.nodes.exceed(&name).cloned() else { continue };
            let uid = self.claimed.as_ref().map(|claimed| claimed.uid().clone());
            let condemned = self.memory.condemned.clone();
            tokio::spawn(async move {
                let tasks = match uid {
                    Some(uid) => timeout(QUESTION, tasks(&launch, &uid)).await.ok().flatten(),
                    None => None,
                };
                let reason = reason(budget, resident, tasks.as_deref());
                // A host that is ending kills it anyway.
                let _ending = condemned.send(Condemned { node: name, reason }).await;
            });
        }
    }

    /// Kills a worker for its use of memory.
    pub fn condemn(&mut self, condemned: Condemned) -> Next {
        let Condemned { node, reason } = condemned;
        let process = self.nodes.running().find(|(name, _)| **name == node).map(|(_, process)| process);
        if let Some(process) = process {
            self.nodes.failed(&node, reason);
            do_deed(Deed::Kill(process));
        }
        Next::GoOn
    }
}

/// What a worker ran, as its scheduler knows it; `None` if nobody says.
async fn tasks(launch: &NodeLaunch, cluster: &ClusterUid) -> Option<Vec<String>> {
    let address = launch.arguments.get("scheduler")?.as_str()?.parse().ok()?;
    let credentials = match &launch.tls {
        None => None,
        Some(tls) => Some(Credentials {
            config: Arc::clone(&security::client_config(&tls.identity()).ok()?),
            peer: security::server_name(CertificateRole::Scheduler, cluster).ok()?,
        }),
    };
    let bounds = Bounds { connect: QUESTION, call: QUESTION };
    let mut client = SchedulerClient::connect(&Target { address, credentials, bounds }).await.ok()?;
    let tasks = client.assigned_tasks(&launch.id.name()).await.ok();
    client.close().await;
    tasks
}

fn reason(budget: Budget, resident: u64, tasks: Option<&[String]>) -> String {
    let tasks = match tasks {
        None => "its task is unknown".to_owned(),
        Some([]) => "its scheduler knows of no task there".to_owned(),
        Some([task]) => format!("its task was {task}"),
        Some(tasks) => {
            let named: Vec<&str> = tasks.iter().take(MOST_TASKS).map(String::as_str).collect();
            let more = tasks.len() - named.len();
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!("its tasks were {}{more}", named.join(", "))
        }
    };
    format!(
        "killed when it used {}, more than {} % of its memory limit of {}; {tasks}",
        bytes(resident),
        (budget.terminate * 1000.0).round() / 10.0,
        bytes(budget.limit),
    )
}

/// Bytes for a person.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn bytes(count: u64) -> String {
    let mebibytes = count as f64 / f64::from(1 << 20);
    if mebibytes < 1024.0 { format!("{mebibytes:.0} MiB") } else { format!("{:.2} GiB", mebibytes / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 2 << 30;

    #[test]
    fn the_budget_is_a_part_of_the_limit() {
        let budget = Budget::new(LIMIT, 0.95, 0.1);
        assert!(!budget.is_exceeded_by(LIMIT / 100 * 94));
        assert!(budget.is_exceeded_by(LIMIT / 100 * 96));
    }

    #[test]
    fn looks_are_neither_too_frequent_nor_too_rare() {
        let interval = |seconds| Budget::new(LIMIT, 0.95, seconds).interval.as_millis();
        assert_eq!([0.0, 0.1, 5.0, -1.0, f64::NAN].map(interval), [50, 100, 1000, 1000, 1000]);
    }

    #[test]
    fn the_reason_names_use_limit_and_tasks() {
        let budget = Budget::new(LIMIT, 0.95, 0.1);
        let said = |tasks: Option<&[String]>| reason(budget, 2_072_000_000, tasks);
        assert_eq!(
            said(Some(&["hog-1".to_owned()])),
            "killed when it used 1.93 GiB, more than 95 % of its memory limit of 2.00 GiB; its task was hog-1"
        );
        assert!(said(None).ends_with("its task is unknown"));
        assert!(said(Some(&[])).ends_with("its scheduler knows of no task there"));
        let many: Vec<String> = (0..5).map(|n| format!("t-{n}")).collect();
        assert!(said(Some(&many)).ends_with("its tasks were t-0, t-1, t-2 and 2 more"));
    }
}
