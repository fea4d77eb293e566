//! The rule by which adaptive groups get their size.

use std::{collections::BTreeMap, time::Duration};

use super::{
    demand::{Fit, Share, share_out},
    load::{GroupLoad, Load},
};
use crate::{model::Demand, spec::ClusterSpec};

/// The run time that each thread should have before it.
pub(super) const TARGET: Duration = Duration::from_secs(5);

/// Results may fill so much of a group's memory before it grows, in percent.
const GROW_ABOVE: u128 = 60;

/// A group shrinks only as far as results fill so much of its memory, in percent.
const SHRINK_BELOW: u128 = 50;

/// What a group needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    /// How many workers, within the group's bounds.
    pub workers: u32,
    /// What needs the most of them.
    pub cause: Cause,
    /// Tasks that wait or run, as far as they are this group's.
    pub tasks: u64,
    /// Their run time on one thread.
    pub work: Duration,
}

/// What a size is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nothing: the group is as small as it may be.
    Minimum,
    /// Tasks.
    Work,
    /// Results, for which the memory is short.
    Memory,
    /// Results or actors that nobody else could take.
    Results,
}

/// How many workers every group needs, in the order of the groups.
///
/// 1. **Who does what.** Tasks that ask for resources count for the groups whose template has them,
///    first for the one with the fewest other resources. Tasks that ask for nothing count for groups
///    without resources first, in the order of the document, and for others only when those may not
///    grow further. What is there whatever happens (a fixed group, the minimum of an adaptive one) is
///    used before anything grows. A group whose starts keep failing gets its share, and all of it
///    that its present workers cannot do counts for the next group too. Tasks with the narrowest
///    choice of groups choose first.
/// 2. **How many for work.** As many threads as give each [`TARGET`] of expected run time, but not
///    more than there are tasks, and at least one; a resource that suffices for fewer tasks than the
///    worker has threads makes for more workers. Tasks that no worker can run count only as long as no
///    worker is there whose template they fit; after that they keep one.
/// 3. **Starts take time.** A group has more workers than it has now, those on their way included,
///    only for the work that will be left when they come: what its present workers get done in the
///    time that starts take is not counted.
/// 4. **Memory.** Enough workers that results fill at most 60 % of their memory, and for shrinking
///    50 %.
/// 5. **Results stay.** A worker with actors is never given up, and the cluster's last worker not
///    while it holds results: nobody could take them.
/// 6. **Bounds** come last.
///
/// So with constant work a size rises to a value and stays there. That it also stays when work comes
/// and goes is not for this rule: a group grows to it at once, and shrinks to it by what has been
/// idle (see [`super::adapt`]).
pub(super) fn needs(load: &Load<'_>) -> Vec<Need> {
    let shares = share_out(load, TARGET);
    let parts = load.groups.iter().zip(&shares);
    let mut needs: Vec<Need> = parts.map(|(group, share)| need(group, share)).collect();
    keep_the_last_holder(load, &mut needs);
    needs
}

fn need(group: &GroupLoad<'_>, share: &Share) -> Need {
    let startup = group.startup.unwrap_or_default();
    let kept_for_work = share.workers();
    let grown_for_work = share.workers_after(startup, group.ready, TARGET).min(kept_for_work);
    let for_work = grown_for_work.max(kept_for_work.min(group.live));
    let for_memory = for_memory(group, GROW_ABOVE).max(for_memory(group, SHRINK_BELOW).min(group.live));
    let free = for_work.max(for_memory).max(group.with_actors);
    let cause = match free {
        free if free <= group.min => Cause::Minimum,
        free if free == for_work => Cause::Work,
        free if free == for_memory => Cause::Memory,
        _ => Cause::Results,
    };
    Need { workers: free.min(group.max).max(group.min), cause, tasks: share.tasks(), work: share.work() }
}

/// Workers whose memory results fill by `percent`.
fn for_memory(group: &GroupLoad<'_>, percent: u128) -> u32 {
    let Some(limit) = group.memory_limit.filter(|limit| *limit > 0) else { return 0 };
    let room = u128::from(limit) * percent / 100;
    // What one worker could hold needs none in particular.
    if u128::from(group.held_bytes) <= room {
        return 0;
    }
    u32::try_from(u128::from(group.held_bytes).div_ceil(room.max(1))).unwrap_or(u32::MAX)
}

/// Has one group keep a worker when all would go and results with them.
fn keep_the_last_holder(load: &Load<'_>, needs: &mut [Need]) {
    let somebody_stays =
        load.groups.iter().zip(needs.iter()).any(|(group, need)| need.workers > 0 && group.live > 0);
    if somebody_stays {
        return;
    }
    let mut groups = load.groups.iter().zip(needs.iter_mut());
    let holder = groups.find(|(group, _)| group.held_results > 0 && group.max > 0 && group.live > 0);
    if let Some((_, need)) = holder {
        (need.workers, need.cause) = (1, Cause::Results);
    }
}

/// Tasks that no group of the document could ever run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plan) struct Unsatisfiable {
    /// What they ask for: `GPU: 1, MEMORY: 4000`.
    pub resources: String,
    /// How many they are.
    pub tasks: u64,
    /// Whether a group has the resources, but may have no workers.
    pub forbidden: bool,
}

/// All tasks that no group of the document could ever run, by what they ask for.
pub(in crate::plan) fn unsatisfiable(spec: &ClusterSpec, demand: &[Demand]) -> Vec<Unsatisfiable> {
    let mut found = Vec::new();
    for demand in demand.iter().filter(|demand| demand.unrunnable > 0 && demand.runnable == 0) {
        let fits = |group: &crate::spec::WorkerGroupSpec| {
            Fit::of(&demand.resources, group.threads(), &group.resources).is_some()
        };
        let fitting: Vec<_> = spec.groups().filter(|(_, group)| fits(group)).collect();
        if fitting.iter().all(|(_, group)| super::load::bounds(group).1 == 0) {
            found.push(Unsatisfiable {
                resources: named(&demand.resources),
                tasks: demand.unrunnable,
                forbidden: !fitting.is_empty(),
            });
        }
    }
    found
}

fn named(resources: &BTreeMap<String, f64>) -> String {
    if resources.is_empty() {
        return "any worker".to_owned();
    }
    let each: Vec<String> = resources.iter().map(|(name, amount)| format!("{name}: {amount}")).collect();
    each.join(", ")
}

impl std::fmt::Display for Unsatisfiable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = if self.forbidden { "no group that has it may have workers" } else { "no group has it" };
        let tasks = crate::spec::count_of(self.tasks, "task");
        let asks = if self.tasks == 1 { "asks" } else { "ask" };
        write!(f, "{tasks} {asks} for {}, {why}", self.resources)
    }
}
