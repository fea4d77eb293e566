//! Numbers of workers, memory, threads and resources.

use super::{Problem, names::at_most};
use crate::spec::{
    ComputeCluster, FieldPath, Memory, ProviderKind, Size, WorkerGroupSpec, limits, text::code,
};

pub(super) fn check(cluster: &ComputeCluster, found: &mut Vec<Problem>) {
    let spec = &cluster.spec;
    let base = FieldPath::of("spec");
    let groups_path = base.key("workerGroups");
    group(&base.key("workers"), &spec.workers, found);
    // That there are too many groups is said elsewhere.
    for (name, template) in spec.worker_groups.iter().take(limits::GROUPS) {
        group(&groups_path.key(name.as_str()), template, found);
    }
    least_memory(&base.key("scheduler").key("memory"), spec.scheduler.memory, "scheduler", found);
    wait_for(cluster, found);
    if spec.provider.kind() == ProviderKind::Local {
        not_limited_locally(cluster, found);
    }
}

fn group(path: &FieldPath, group: &WorkerGroupSpec, found: &mut Vec<Problem>) {
    size(path, group, found);
    let counts = [("replicas", group.replicas), ("min", group.min), ("max", group.max)];
    for (key, count) in counts {
        if let Some(count) = count.filter(|count| *count > limits::WORKERS) {
            found.push(
                Problem::error(format!("a group can have at most {} workers", limits::WORKERS))
                    .at(&path.key(key), format!("{count} here"))
                    .help("spread them over several groups or clusters"),
            );
        }
    }
    if let Some(threads) = group.threads.filter(|threads| !(1..=limits::THREADS).contains(threads)) {
        found.push(
            Problem::error(format!("a worker needs between 1 and {} threads", limits::THREADS))
                .at(&path.key("threads"), format!("{threads} here"))
                .help("leave it out for one thread per worker"),
        );
    }
    least_memory(&path.key("memory"), group.memory, "worker", found);
    resources(&path.key("resources"), group, found);
}

fn size(path: &FieldPath, group: &WorkerGroupSpec, found: &mut Vec<Problem>) {
    let (min_path, max_path) = (path.key("min"), path.key("max"));
    if let Some(replicas) = group.replicas {
        for (bound, bound_path) in [(group.min, &min_path), (group.max, &max_path)] {
            if bound.is_some() {
                found.push(
                    Problem::error("a group has either a fixed size or bounds, not both")
                        .at_key(bound_path, "a bound here")
                        .at(&path.key("replicas"), format!("a fixed size of {replicas} here"))
                        .help("keep `replicas`, or `min` and `max` for a size that follows the work"),
                );
                return;
            }
        }
        return;
    }
    match (group.min, group.max) {
        (Some(min), None) => found.push(
            Problem::error("`min` without `max`")
                .at(&min_path, "nothing says how large the group may become")
                .rests_on(&max_path)
                .help(format!("add `max`, or write `replicas: {min}` for a fixed size")),
        ),
        (Some(min), Some(max)) if min > max => found.push(
            Problem::error("`min` is larger than `max`")
                .at(&min_path, format!("at least {min}"))
                .at(&max_path, format!("at most {max}"))
                .help(format!("did you mean `min: {max}` and `max: {min}`?")),
        ),
        (_, Some(0)) => found.push(
            Problem::error("the group can never have a worker")
                .at(&max_path, "at most none")
                .help("give `max` at least 1; to stop a group for now, write `replicas: 0`"),
        ),
        _ => {}
    }
}

fn least_memory(path: &FieldPath, memory: Option<Memory>, role: &str, found: &mut Vec<Problem>) {
    if memory.is_some_and(|memory| memory.bytes() < limits::LEAST_MEMORY) {
        found.push(
            Problem::error(format!("a Dask {role} needs at least 128MiB of memory"))
                .at(path, "too little")
                .help("write it as 2GiB, 500MB or 2Gi; a number alone is in bytes"),
        );
    }
}

fn resources(path: &FieldPath, group: &WorkerGroupSpec, found: &mut Vec<Problem>) {
    if !at_most(path, group.resources.len(), limits::RESOURCES, "resources", found) {
        return;
    }
    for (name, amount) in &group.resources {
        let path = path.key(name);
        if name.is_empty() || name.chars().count() > limits::RESOURCE {
            found.push(
                Problem::error(format!(
                    "the name of a resource has between 1 and {} characters",
                    limits::RESOURCE
                ))
                .at_key(&path, "")
                .help("such as `GPU: 1`"),
            );
        }
        if !amount.is_finite() || *amount < 0.0 {
            found.push(
                Problem::error(format!("the amount of the resource {} must be 0 or more", code(name)))
                    .at(&path, format!("{amount} here"))
                    .help("write how much of it each worker has, such as 1"),
            );
        }
    }
}

fn wait_for(cluster: &ComputeCluster, found: &mut Vec<Problem>) {
    let spec = &cluster.spec;
    let Some(workers) = spec.wait_for.workers else {
        return;
    };
    // A new cluster gives one worker to a group without a size.
    let largest = |group: &WorkerGroupSpec| match group.size() {
        None => 1,
        Some(Size::Fixed(replicas)) => replicas,
        Some(Size::Adaptive { max, .. }) => max,
    };
    let total: u64 = spec.groups().map(|(_, group)| u64::from(largest(group))).sum();
    if u64::from(workers) <= total {
        return;
    }
    let base = FieldPath::of("spec");
    // Without a size, the cluster may already be larger than a new one would be.
    let open = spec.groups().any(|(_, group)| group.size().is_none());
    let message = "`waitFor.workers` is more than the cluster can have";
    let problem = if open { Problem::warning(message) } else { Problem::error(message) };
    found.push(
        problem
            .at(&base.key("waitFor").key("workers"), format!("waits for {workers}, of {total} at most"))
            .rests_on(&base.key("workers"))
            .rests_on(&base.key("workerGroups"))
            .help("lower it, or raise `replicas` or `max` of the workers"),
    );
}

/// The local provider runs plain processes; Dask itself keeps a worker within its memory.
fn not_limited_locally(cluster: &ComputeCluster, found: &mut Vec<Problem>) {
    let spec = &cluster.spec;
    let base = FieldPath::of("spec");
    let provider = base.key("provider");
    let mut note = |path: FieldPath, what: &str, help: &str| {
        found.push(
            Problem::warning(format!("the local provider does not limit {what}"))
                .at(&path, "has no effect on this machine")
                .rests_on(&provider)
                .help(help),
        );
    };
    let leave = "leave it for the day the cluster runs elsewhere, or remove it";
    if spec.scheduler.cpu.is_some() {
        note(base.key("scheduler").key("cpu"), "processors", leave);
    }
    if spec.scheduler.memory.is_some() {
        note(base.key("scheduler").key("memory"), "the scheduler's memory", leave);
    }
    let threads = "use `threads` to say how many tasks a worker runs at once";
    if spec.workers.cpu.is_some() {
        note(base.key("workers").key("cpu"), "processors", threads);
    }
    for (name, group) in &spec.worker_groups {
        if group.cpu.is_some() {
            note(base.key("workerGroups").key(name.as_str()).key("cpu"), "processors", threads);
        }
    }
}
