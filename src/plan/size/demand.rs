//! Work shared out among the groups that can do it.
//!
//! A *lane* is one task running at a time. How many lanes a worker has depends on the task: its
//! threads, and how often the worker's resources hold what the task asks for.

use std::{collections::BTreeMap, time::Duration};

use super::load::{GroupLoad, Load};
use crate::model::Demand;

/// A whole worker in the units of [`Room`]; large, so that the thirds of a worker add up.
const WORKER: u128 = 1 << 40;

/// What runs at once on one worker of a group, of tasks that ask for the same.
#[derive(Debug, Clone)]
pub(super) struct Fit {
    threads: u64,
    /// By resource: tasks that one worker's supply is enough for.
    resources: Vec<(String, u64)>,
}

impl Fit {
    /// `None` when no worker of the group could ever run such a task.
    pub(super) fn of(
        asked: &BTreeMap<String, f64>,
        threads: u32,
        supplied: &BTreeMap<String, f64>,
    ) -> Option<Self> {
        let mut resources = Vec::new();
        for (name, amount) in asked {
            let supply = supplied.get(name).filter(|supply| **supply >= *amount)?;
            if *amount > 0.0 {
                resources.push((name.clone(), whole(supply / amount)));
            }
        }
        Some(Self { threads: u64::from(threads.max(1)), resources })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is clamped to a range that fits"
)]
fn whole(times: f64) -> u64 {
    times.floor().clamp(1.0, f64::from(u32::MAX)) as u64
}

/// How full the workers of a group get: by threads, and by each resource.
#[derive(Debug, Clone, Default)]
pub(super) struct Room {
    threads: u128,
    resources: BTreeMap<String, u128>,
}

impl Room {
    fn add(&mut self, fit: &Fit, lanes: u64) {
        self.threads += u128::from(lanes) * (WORKER / u128::from(fit.threads));
        for (name, times) in &fit.resources {
            *self.resources.entry(name.clone()).or_default() +=
                u128::from(lanes) * (WORKER / u128::from(*times));
        }
    }

    /// How many more lanes fit on so many workers.
    fn left(&self, fit: &Fit, workers: u32) -> u64 {
        let all = u128::from(workers) * WORKER;
        let by_threads = all.saturating_sub(self.threads) / (WORKER / u128::from(fit.threads));
        let by_resources = fit.resources.iter().map(|(name, times)| {
            let used = self.resources.get(name).copied().unwrap_or_default();
            all.saturating_sub(used) / (WORKER / u128::from(*times))
        });
        u64::try_from(by_resources.fold(by_threads, u128::min)).unwrap_or(u64::MAX)
    }

    fn fullest(&self) -> u128 {
        self.resources.values().copied().fold(self.threads, u128::max)
    }

    fn workers(&self) -> u32 {
        u32::try_from(self.fullest().div_ceil(WORKER)).unwrap_or(u32::MAX)
    }
}

/// What one group is to do of one kind of work.
#[derive(Debug, Clone)]
struct Piece {
    fit: Fit,
    lanes: u64,
    tasks: u64,
    work: Duration,
}

/// What one group is to do.
#[derive(Debug, Clone, Default)]
pub(super) struct Share {
    room: Room,
    pieces: Vec<Piece>,
}

impl Share {
    /// Workers that all of it justifies.
    pub(super) fn workers(&self) -> u32 {
        self.room.workers()
    }

    /// Tasks in it.
    pub(super) fn tasks(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.tasks).sum()
    }

    /// Its run time on one thread.
    pub(super) fn work(&self) -> Duration {
        self.pieces.iter().fold(Duration::ZERO, |sum, piece| sum.saturating_add(piece.work))
    }

    /// How many of its tasks so many workers run at once.
    pub(super) fn lanes_of(&self, workers: u32) -> u64 {
        let lanes: u128 = self.pieces.iter().map(|piece| u128::from(piece.lanes)).sum();
        let used = self.room.fullest().max(1);
        u64::try_from(u128::from(workers) * lanes * WORKER / used).unwrap_or(u64::MAX)
    }

    /// Workers that the work justifies which `workers` do not get done within `startup`.
    pub(super) fn workers_after(&self, startup: Duration, workers: u32, target: Duration) -> u32 {
        let done = startup.as_nanos().saturating_mul(u128::from(self.lanes_of(workers)));
        let all = self.work().as_nanos();
        let mut room = Room::default();
        for piece in &self.pieces {
            // Each kind of work goes on at the same pace.
            let work = piece.work.as_nanos();
            let left = work.saturating_sub(done.saturating_mul(work).checked_div(all).unwrap_or_default());
            let lanes = if all == 0 && workers == 0 { 1 } else { lanes_for(left, target).min(piece.tasks) };
            room.add(&piece.fit, lanes);
        }
        room.workers()
    }
}

fn lanes_for(nanoseconds: u128, target: Duration) -> u64 {
    u64::try_from(nanoseconds.div_ceil(target.as_nanos().max(1))).unwrap_or(u64::MAX)
}

/// Shares the work out; one share per group, in their order. See [`super::rule::needs`] for the rule.
pub(super) fn share_out(load: &Load<'_>, target: Duration) -> Vec<Share> {
    let mut shares = vec![Share::default(); load.groups.len()];
    let mut kinds: Vec<(&Demand, Vec<(usize, Fit)>)> =
        load.demand.iter().map(|demand| (demand, candidates(demand, &load.groups))).collect();
    // Who can go to few places chooses first.
    kinds.sort_by_key(|(demand, candidates)| (demand.resources.is_empty(), candidates.len()));
    for (demand, candidates) in kinds {
        place(demand, &candidates, load, &mut shares, target);
    }
    shares
}

/// The groups that can do it, the preferred one first: as few other resources as possible.
fn candidates(demand: &Demand, groups: &[GroupLoad<'_>]) -> Vec<(usize, Fit)> {
    let fits = groups.iter().enumerate().filter_map(|(index, group)| {
        Some((index, Fit::of(&demand.resources, group.threads, group.resources)?))
    });
    let mut fits: Vec<_> = fits.collect();
    fits.sort_by_key(|(index, _)| groups.get(*index).map_or(0, |group| group.resources.len()));
    fits
}

fn place(
    demand: &Demand,
    candidates: &[(usize, Fit)],
    load: &Load<'_>,
    shares: &mut [Share],
    target: Duration,
) {
    let served = candidates.iter().any(|(index, _)| load.groups.get(*index).is_some_and(|g| g.ready > 0));
    let Some((tasks, work)) = countable(demand, served) else { return };
    let wanted = lanes_for(work.as_nanos(), target).clamp(1, tasks);
    let mut missing = wanted;
    let mut placed: BTreeMap<usize, (&Fit, u64)> = BTreeMap::new();
    for step in [Step::Kept, Step::Grown] {
        for (index, fit) in candidates {
            let (Some(group), Some(share)) = (load.groups.get(*index), shares.get_mut(*index)) else {
                continue;
            };
            let lanes = share.room.left(fit, step.workers(group)).min(missing);
            if lanes == 0 {
                continue;
            }
            let served = if group.failing { share.room.left(fit, group.ready).min(lanes) } else { lanes };
            share.room.add(fit, lanes);
            placed.entry(*index).or_insert((fit, 0)).1 += lanes;
            missing -= served;
        }
    }
    let largest = placed.values().map(|(_, lanes)| *lanes).max().unwrap_or_default();
    let all = (wanted - missing).max(largest).max(1);
    let mut before = 0;
    for (index, (fit, lanes)) in placed {
        // By differences, so that nothing is lost in rounding.
        let up_to = |whole: u128, lanes: u64| whole.saturating_mul(u128::from(lanes)) / u128::from(all);
        let part = |whole: u128| {
            u64::try_from(up_to(whole, before + lanes) - up_to(whole, before)).unwrap_or(u64::MAX)
        };
        let work = Duration::from_nanos(part(work.as_nanos()));
        let tasks = part(u128::from(tasks)).max(1);
        before += lanes;
        if let Some(share) = shares.get_mut(index) {
            share.pieces.push(Piece { fit: fit.clone(), lanes, tasks, work });
        }
    }
}

/// Tasks that more workers would help, and their run time. What a worker that fits is there for and
/// still cannot run waits for something else; it is worth one worker.
fn countable(demand: &Demand, served: bool) -> Option<(u64, Duration)> {
    let Demand { runnable, unrunnable, occupancy, .. } = demand;
    match (*runnable, *unrunnable) {
        (0, 0) => None,
        (runnable, unrunnable) if !served => Some((runnable.saturating_add(unrunnable), *occupancy)),
        (0, _) => Some((1, Duration::ZERO)),
        (runnable, unrunnable) => {
            let all = u128::from(runnable) + u128::from(unrunnable);
            let work = occupancy.as_nanos().saturating_mul(u128::from(runnable)) / all;
            Some((runnable, Duration::from_nanos(u64::try_from(work).unwrap_or(u64::MAX))))
        }
    }
}

/// What work takes first.
#[derive(Clone, Copy)]
enum Step {
    /// Workers that are there whatever happens.
    Kept,
    /// Workers that a group may have beyond them.
    Grown,
}

impl Step {
    fn workers(self, group: &GroupLoad<'_>) -> u32 {
        match self {
            Self::Kept if group.failing => group.min.min(group.ready),
            Self::Kept => group.min,
            Self::Grown => group.max,
        }
    }
}
