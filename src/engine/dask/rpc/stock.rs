//! The status of a scheduler without Crewcall's preload, from what every scheduler can be asked.

use rmpv::Value;

use super::{Ranking, RpcError, SchedulerClient, SchedulerIdentity, status::moment};
use crate::model::{EngineStatus, WorkerStatus};

/// What no stock operation tells, by field of [`EngineStatus`].
const NEVER_AVAILABLE: [&str; 5] = ["sequence", "clients", "demand", "departures", "actors"];
/// The first release with the operation `check_idle`: in earlier ones `None` means that it is unknown.
const CHECK_IDLE_SINCE: (u32, u32) = (2023, 4);

impl SchedulerClient {
    /// The status as far as stock operations tell it; `unavailable` names the fields that stay empty.
    ///
    /// It never waits for a change, and what a worker holds and does is as old as its last heartbeat. Expect no use of
    /// `idle_since` before distributed 2023.4: it is then `None`, as if there were work.
    pub async fn status_from_stock_operations(&mut self, ranking: Ranking) -> Result<EngineStatus, RpcError> {
        const CHECK_IDLE: &str = "check_idle";
        let mut unavailable: Vec<String> = NEVER_AVAILABLE.map(str::to_owned).to_vec();
        let identity = self.identity().await?;
        let versions = self.versions().await?;
        let release = versions.packages.get("distributed").and_then(Option::as_deref).and_then(release);
        let idle_since = if release.is_some_and(|r| r >= CHECK_IDLE_SINCE) {
            let within = self.connection.bounds().call;
            let reply = self.connection.call_nullable(CHECK_IDLE, vec![], within).await?;
            idle_moment(&reply).map_err(|problem| self.odd_reply(CHECK_IDLE, problem))?
        } else {
            unavailable.push("idle_since".to_owned());
            None
        };
        let ranking = match ranking {
            Ranking::Wanted => Some(self.workers_to_close_ranked().await?),
            Ranking::NotWanted => None,
        };
        let workers = workers(identity);
        Ok(EngineStatus { idle_since, workers, ranking, unavailable, ..EngineStatus::default() })
    }
}

fn idle_moment(reply: &Value) -> Result<Option<jiff::Timestamp>, String> {
    match reply {
        Value::Nil => Ok(None),
        reply => reply.as_f64().ok_or_else(|| "it is no number".to_owned()).and_then(moment).map(Some),
    }
}

fn workers(identity: SchedulerIdentity) -> std::collections::BTreeMap<crate::model::NodeName, WorkerStatus> {
    let status = |worker: super::RegisteredWorker| WorkerStatus {
        address: worker.address,
        state: worker.state,
        held_bytes: worker.activity.held_bytes,
        held_results: worker.activity.held_results,
        processing: worker.activity.assigned,
        actors: 0,
        memory_limit: None,
    };
    identity.workers.into_iter().map(|(name, worker)| (name, status(worker))).collect()
}

/// Year and month of a calendar version.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}
