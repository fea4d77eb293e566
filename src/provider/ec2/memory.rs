//! What a provider remembers of its clusters between looks. Lost with the process, and nothing rests on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::observe::{InstanceState, Remembered, Report, SeenInstance};
use crate::model::{ClusterUid, InstanceId};

/// How long an instance that has ended is shown, unless its removal was asked for.
const SHOWN: Duration = Duration::from_mins(15);

/// How often a machine's console is read while it boots.
const CONSOLE_EVERY: Duration = Duration::from_secs(20);

/// A machine that has said for so long that it boots has been given up.
const LISTENED: Duration = Duration::from_mins(15);

/// How many consoles are read in one look.
const CONSOLES: usize = 2;

/// What is remembered of all clusters.
#[derive(Default)]
pub struct Memories(Mutex<BTreeMap<ClusterUid, Memory>>);

/// What is remembered of a cluster.
#[derive(Default)]
pub struct Memory {
    /// The id of its security group.
    pub group: Option<String>,
    /// Whether its scheduler is reached through a session of Systems Manager.
    pub by_session: bool,
    /// Parameters that are known to be there.
    pub parameters: BTreeSet<String>,
    /// Launch templates that are known to be there.
    pub templates: BTreeSet<String>,
    /// Launch templates that were made, or may have been.
    pub tried_templates: BTreeSet<String>,
    /// Fleets whose records were removed; EC2 shows them for a while.
    pub ended_fleets: BTreeSet<String>,
    /// In which zone each subnet is.
    pub zones: BTreeMap<String, String>,
    /// Instances that were asked to be removed.
    pub removed: BTreeSet<InstanceId>,
    /// Whether the cluster is being removed: of what has ended nothing is to be known any more.
    pub clearing: bool,
    /// Instances that have registered, or of which enough is known.
    machines: BTreeMap<InstanceId, Known>,
}

#[derive(Default)]
struct Known {
    remembered: Remembered,
    console_at: Option<Timestamp>,
}

impl Memories {
    /// Does something with what is remembered of a cluster.
    pub fn with<T>(&self, cluster: &ClusterUid, act: impl FnOnce(&mut Memory) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(all.entry(cluster.clone()).or_default())
    }

    /// Forgets a cluster that is gone. EC2 shows its machines for an hour more.
    pub fn forget(&self, cluster: &ClusterUid) {
        self.with(cluster, |memory| *memory = Memory { clearing: true, ..Memory::default() });
    }
}

impl Memory {
    /// Notes what was seen; those of which more is to be learnt from their console.
    pub fn note(&mut self, seen: &[SeenInstance], now: Timestamp) -> Vec<InstanceId> {
        let there: BTreeSet<&InstanceId> = seen.iter().map(|one| &one.id).collect();
        self.machines.retain(|id, _| there.contains(id));
        self.removed.retain(|id| there.contains(id));
        let mut wanted = Vec::new();
        for one in seen {
            let known = self.machines.entry(one.id.clone()).or_default();
            let ended = is_ended(one.state);
            if ended && known.remembered.ended_at.is_none() {
                known.remembered.ended_at = Some(now);
                // Its last words are other ones than those that it had while it lived.
                known.console_at = None;
            }
            let due = match known.console_at {
                None => true,
                Some(at) => {
                    !ended
                        && now.duration_since(at)
                            >= jiff::SignedDuration::try_from(CONSOLE_EVERY).unwrap_or_default()
                }
            };
            let age = Duration::try_from(now.duration_since(one.launched_at)).unwrap_or_default();
            let booting =
                known.remembered.report.steps.last().is_none_or(|step| step != "starting") && age < LISTENED;
            if due
                && !self.clearing
                && !self.removed.contains(&one.id)
                // One that is pending has no console yet.
                && (ended || booting && one.state != InstanceState::Pending)
                && wanted.len() < CONSOLES
            {
                known.console_at = Some(now);
                wanted.push(one.id.clone());
            }
        }
        wanted
    }

    /// Notes what a machine said.
    pub fn heard(&mut self, instance: &InstanceId, report: Report) {
        if let Some(known) = self.machines.get_mut(instance)
            && !report.steps.is_empty()
        {
            known.remembered.report = report;
        }
    }

    /// What is remembered of a machine.
    pub fn of(&self, instance: &InstanceId) -> Remembered {
        self.machines.get(instance).map(|known| known.remembered.clone()).unwrap_or_default()
    }

    /// Whether an instance is still shown.
    pub fn shows(&self, seen: &SeenInstance, now: Timestamp) -> bool {
        if !is_ended(seen.state) {
            return true;
        }
        let ended = self.of(&seen.id).ended_at.unwrap_or(now);
        !self.clearing
            && !self.removed.contains(&seen.id)
            && now.duration_since(ended) < jiff::SignedDuration::try_from(SHOWN).unwrap_or_default()
    }
}

fn is_ended(state: InstanceState) -> bool {
    matches!(state, InstanceState::Terminated | InstanceState::Stopped)
}
