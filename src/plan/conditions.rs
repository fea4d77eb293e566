//! What can be said of a cluster, derived anew with every plan.

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;

use super::{
    backoff::PERSISTENT,
    launching::nodes,
    operations::DrainCall,
    planner::later,
    shortage::choices,
    situation::{EngineView, EnvironmentMatch, Situation, Surroundings},
    size::{desired, unsatisfiable},
};
use crate::{
    model::{
        AnchorState, ClusterRecord, Condition, ConditionKind as Kind, ConditionStatus as Status, Event,
        EventKind, Ledger, NodeId, NodeName, NodeState, Phase, Presence, Role, Severity, Slot, SlotEntry,
        Stage, WorkerState,
    },
    spec::{GroupName, ProviderKind},
};

pub(super) struct Statement {
    kind: Kind,
    status: Status,
    reason: &'static str,
    message: String,
}

pub(super) fn state(
    kind: Kind,
    status: Status,
    reason: &'static str,
    message: impl Into<String>,
) -> Statement {
    Statement { kind, status, reason, message: message.into() }
}

/// All conditions of a cluster, in a fixed order.
///
/// `over_cost` says that a limit of costs keeps nodes from being launched.
pub(super) fn conditions(
    situation: &Situation<'_>,
    ledger: &Ledger,
    over_cost: Option<&str>,
) -> Vec<Condition> {
    let statements = [
        scheduler_ready(situation, ledger),
        workers_ready(situation, ledger, over_cost),
        environment_matched(&situation.facts.environment),
        encrypted(situation),
        progressing(situation, ledger),
        degraded(situation, ledger, over_cost),
    ];
    let before = &situation.record.progress.conditions;
    statements.into_iter().map(|statement| dated(statement, before, situation.now)).collect()
}

/// The time of the last transition is kept while the status stays what it is.
pub(super) fn dated(statement: Statement, before: &[Condition], now: Timestamp) -> Condition {
    let Statement { kind, status, reason, message } = statement;
    let same = before.iter().find(|condition| condition.kind == kind && condition.status == status);
    let last_transition_time = same.map_or(now, |condition| condition.last_transition_time);
    Condition { kind, status, reason: reason.to_owned(), message, last_transition_time }
}

fn scheduler_ready(situation: &Situation<'_>, ledger: &Ledger) -> Statement {
    let no = |reason, message: &str| state(Kind::SchedulerReady, Status::False, reason, message);
    if situation.world.anchor != AnchorState::Present {
        return no("NotStarted", "nothing of the cluster runs yet");
    }
    let group = GroupName::scheduler();
    let id = ledger.groups.get(&group).and_then(|slots| slots.node(situation.record.name(), &group, Slot(0)));
    let node = situation.world.nodes.iter().find(|node| Some(&node.id) == id.as_ref() && node.is_alive());
    let Some(node) = node else {
        let failures = ledger.groups.get(&GroupName::scheduler()).map(|group| &group.failures);
        let last = failures.and_then(|failures| failures.last.as_ref());
        return last.map_or_else(
            || no("Starting", "the scheduler has not started"),
            |note| no("Failed", &note.message),
        );
    };
    match (&node.state, situation.engine, &node.address) {
        (NodeState::Pending(Some(reason)), _, _) => no(PENDING, reason),
        (_, EngineView::Seen(_), Some(address)) => {
            state(Kind::SchedulerReady, Status::True, "Answers", format!("listens at {address}"))
        }
        (_, EngineView::Unreachable { .. }, _) if is_booting(situation, ledger) => {
            let progress = node.machine.as_ref().and_then(|machine| machine.steps.last());
            let told = progress.map_or("its machine boots", String::as_str);
            let obstruction = situation.facts.obstruction.as_ref();
            let on_the_way = obstruction.map(|problem| format!("; on the way there: {problem}"));
            no("Starting", &format!("{told}{}", on_the_way.unwrap_or_default()))
        }
        (_, EngineView::Unreachable { since, message }, _) if has_answered(ledger) => {
            no("Unreachable", &format!("does not answer since {since}: {message}"))
        }
        _ => no("Starting", "the scheduler runs and does not answer yet"),
    }
}

/// Whether the scheduler that there is has ever answered; one that starts does not yet.
fn has_answered(ledger: &Ledger) -> bool {
    let slots = ledger.groups.get(&GroupName::scheduler()).map(|group| &group.slots);
    slots.into_iter().flatten().any(|(_, entry)| entry.stage == Stage::Registered)
}

/// The reason of a condition that does not hold because the provider cannot start nodes yet.
const PENDING: &str = "Pending";

/// What keeps nodes of a role from starting, as their provider says it.
fn obstacle(situation: &Situation<'_>, role: Role) -> Option<String> {
    // Locally there is nothing to wait for but Python.
    if situation.record.wanted.document.spec.provider.kind() == ProviderKind::Local {
        return None;
    }
    let nodes = situation.world.nodes.iter().filter(|node| node.id.role() == role);
    let mut pending = nodes.filter_map(|node| match &node.state {
        NodeState::Pending(Some(reason)) => Some((&node.id, reason)),
        _ => None,
    });
    let (first, reason) = pending.next()?;
    let others = match pending.count() {
        0 => String::new(),
        1 => " and 1 other".to_owned(),
        more => format!(" and {more} others"),
    };
    Some(format!("{first}{others} cannot start yet: {reason}"))
}

/// Events for what keeps nodes from starting since this plan.
pub(super) fn new_obstacles(situation: &Situation<'_>, conditions: &[Condition]) -> Vec<Event> {
    let pending = |conditions: &[Condition], kind| {
        conditions.iter().any(|condition| condition.kind == kind && condition.reason == PENDING)
    };
    let before = &situation.record.progress.conditions;
    let each = [(Kind::SchedulerReady, Role::Scheduler), (Kind::WorkersReady, Role::Worker)];
    let news = each.into_iter().filter(|(kind, _)| pending(conditions, *kind) && !pending(before, *kind));
    news.filter_map(|(_, role)| obstacle(situation, role))
        .map(|message| Event {
            at: situation.now,
            severity: Severity::Warning,
            kind: EventKind::NodePending,
            node: None,
            message,
        })
        .collect()
}

/// Events for what began to be so with this plan, and is told by a condition.
pub(super) fn news(situation: &Situation<'_>, conditions: &[Condition]) -> Vec<Event> {
    let reasons = [(COST_LIMIT, EventKind::CostLimit), (SCHEDULER_TAKEN_BACK, EventKind::NodeTakenBack)];
    let degraded = |conditions: &'_ [Condition], reason: &str| {
        let holds = |condition: &&Condition| condition.kind == Kind::Degraded && condition.reason == reason;
        conditions.iter().find(holds).map(|condition| condition.message.clone())
    };
    let before = &situation.record.progress.conditions;
    let new = reasons.into_iter().filter_map(|(reason, kind)| {
        let message = degraded(conditions, reason).filter(|_| degraded(before, reason).is_none())?;
        Some(Event { at: situation.now, severity: Severity::Warning, kind, node: None, message })
    });
    new.collect()
}

/// The reason of conditions of a cluster that could grow, if it were allowed to cost more.
const COST_LIMIT: &str = "CostLimit";

/// The reason of a condition of a cluster whose scheduler will end soon, and with it all results.
const SCHEDULER_TAKEN_BACK: &str = "SchedulerTakenBack";

/// The reason of conditions of a cluster for whose nodes nobody has room.
const NO_CAPACITY: &str = "NoCapacity";

/// The group that lacks nodes because none of its choices has room.
fn without_room(situation: &Situation<'_>, ledger: &Ledger) -> Option<String> {
    let launching = situation.facts.launching.as_ref()?;
    let short = ledger.groups.iter().find_map(|(name, group)| {
        let shortage = group.shortage.as_ref().filter(|short| short.next >= choices(launching, name))?;
        let live = group.slots.values().filter(|entry| entry.is_live()).count();
        let spec = situation.record.wanted.document.spec.group(name);
        let wanted = if name.is_scheduler() { 1 } else { spec.map_or(0, |spec| desired(spec, Some(group))) };
        let missing = wanted.saturating_sub(u32::try_from(live).unwrap_or(u32::MAX));
        (missing > 0).then_some((name, missing, shortage))
    });
    let (name, missing, shortage) = short?;
    let message = &shortage.message;
    Some(format!("no room for {}: {message}; it is tried again", nodes(name, missing)))
}

/// The scheduler's node, if its provider takes it back.
fn scheduler_taken_back(situation: &Situation<'_>) -> Option<String> {
    let schedulers = situation.world.nodes.iter().filter(|node| {
        node.id.cluster == *situation.record.name() && node.id.group.is_scheduler() && node.is_alive()
    });
    let mut taken = schedulers.filter_map(|node| Some((&node.id, node.machine.as_ref()?.taken_back_at?)));
    let (id, at) = taken.next()?;
    Some(format!(
        "the scheduler {id} is taken back by its provider at {at}, and all results with it; fetch them now"
    ))
}

/// How many workers of a group take work, and how many it should have.
fn count(situation: &Situation<'_>, ledger: &Ledger, group: &GroupName) -> (u32, u32) {
    let wanted = situation.record.wanted.document.spec.group(group);
    let target = wanted.map_or(0, |spec| desired(spec, ledger.groups.get(group)));
    let EngineView::Seen(status) = situation.engine else { return (0, target) };
    let Some(ledger) = ledger.groups.get(group) else { return (0, target) };
    let prefix = NodeId::prefix(situation.record.name(), group);
    let live = ledger.slots.values().filter(|entry| entry.is_live());
    let instances: HashSet<&str> =
        live.filter_map(SlotEntry::instance).map(crate::model::InstanceId::as_str).collect();
    let ready = status.workers.iter().filter(|(name, worker)| {
        let Some(rest) = name.as_str().strip_prefix(&prefix) else { return false };
        let planned = NodeId::position(rest).is_some_and(|(slot, incarnation)| {
            ledger.slots.get(&slot).is_some_and(|entry| entry.is_live() && entry.incarnation == incarnation)
        });
        (planned || instances.contains(rest))
            && matches!(worker.state, WorkerState::Running | WorkerState::Paused)
    });
    (u32::try_from(ready.count()).unwrap_or(u32::MAX), target)
}

fn workers_ready(situation: &Situation<'_>, ledger: &Ledger, over_cost: Option<&str>) -> Statement {
    let spec = &situation.record.wanted.document.spec;
    let counts: Vec<_> = spec.groups().map(|(name, _)| (count(situation, ledger, &name), name)).collect();
    let short = counts.iter().any(|((ready, target), _)| ready < target);
    let several = counts.len() > 1;
    let each = counts.iter().map(|((ready, target), name)| {
        if several { format!("{name} {ready} of {target}") } else { format!("{ready} of {target}") }
    });
    let mut message = format!("ready: {}", each.collect::<Vec<_>>().join(", "));
    if let EngineView::Seen(status) = situation.engine {
        for tasks in unsatisfiable(spec, &status.demand) {
            message.push_str("; ");
            message.push_str(&tasks.to_string());
        }
    }
    let no_room = without_room(situation, ledger).map(|message| (NO_CAPACITY, message));
    let hindrance = over_cost.map(|message| (COST_LIMIT, message.to_owned())).or(no_room);
    if let Some((reason, why)) = hindrance.filter(|_| short) {
        return state(Kind::WorkersReady, Status::False, reason, format!("{message}; {why}"));
    }
    if let Some(obstacle) = obstacle(situation, Role::Worker).filter(|_| short) {
        message.push_str("; ");
        message.push_str(&obstacle);
        return state(Kind::WorkersReady, Status::False, PENDING, message);
    }
    if short {
        state(Kind::WorkersReady, Status::False, "Missing", message)
    } else {
        state(Kind::WorkersReady, Status::True, "AllReady", message)
    }
}

fn environment_matched(environment: &EnvironmentMatch) -> Statement {
    let say = |status, reason, message: &str| state(Kind::EnvironmentMatched, status, reason, message);
    match environment {
        EnvironmentMatch::Unknown => {
            say(Status::Unknown, "NotCompared", "the cluster's software is not known yet")
        }
        EnvironmentMatch::NoClient => say(
            Status::Unknown,
            "NoClient",
            "whoever created the cluster has no Python with Dask to compare with",
        ),
        EnvironmentMatch::Matched => say(Status::True, "Same", "client and cluster run the same software"),
        EnvironmentMatch::Different(how) => say(Status::False, "Different", how),
    }
}

/// How long before its certificates a cluster says that they end.
const CERTIFICATES_END: Duration = Duration::from_hours(14 * 24);

fn encrypted(situation: &Situation<'_>) -> Statement {
    let wanted = &situation.record.wanted;
    if !wanted.document.spec.tls {
        let message =
            "the document says `tls: false`: whoever reaches the scheduler's port can run code in it";
        return state(Kind::Encrypted, Status::False, "TurnedOff", message);
    }
    let end = wanted.document.spec.max_lifetime().map(|limit| later(wanted.created_at, limit));
    let outlived = |until: &Timestamp| end.is_none_or(|end| end > *until);
    let near = |until: &Timestamp| later(situation.now, CERTIFICATES_END) > *until;
    match situation.facts.certificates_until.filter(|until| outlived(until) && near(until)) {
        Some(until) => {
            let message = format!(
                "the cluster's certificates end at {until}, after which nobody can connect: create it anew before"
            );
            state(Kind::Encrypted, Status::True, "CertificatesEnd", message)
        }
        None => {
            state(Kind::Encrypted, Status::True, "MutualTls", "every connection is mutually authenticated")
        }
    }
}

fn progressing(situation: &Situation<'_>, ledger: &Ledger) -> Statement {
    let yes = |reason, message: String| state(Kind::Progressing, Status::True, reason, message);
    if let Presence::Absent(ending) = &situation.record.wanted.presence {
        return yes("Deleting", format!("being torn down: {}", ending.reason));
    }
    let entries = || ledger.groups.values().flat_map(|group| group.slots.values());
    let starting = entries().filter(|e| matches!(e.stage, Stage::Intended | Stage::Launched)).count();
    let draining = entries().filter(|e| SlotEntry::is_draining(e)).count();
    match (situation.world.anchor, starting, draining) {
        (AnchorState::Absent | AnchorState::Ending, _, _) => yes("Preparing", "nothing runs yet".to_owned()),
        (_, 0, 0) => state(Kind::Progressing, Status::False, "Settled", "nothing is being changed"),
        (_, 0, n) => yes("Draining", format!("nodes that hand their data over: {n}")),
        (_, n, _) => yes("Starting", format!("nodes on their way: {n}")),
    }
}

fn degraded(situation: &Situation<'_>, ledger: &Ledger, over_cost: Option<&str>) -> Statement {
    let yes = |reason, message: String| state(Kind::Degraded, Status::True, reason, message);
    if situation.world.anchor == AnchorState::Absent && situation.facts.surroundings == Surroundings::Missing
    {
        let message = "the environment variables of whoever created the cluster were lost with the processes that \
                       held them; run the same `crewcall create` again";
        return yes("CredentialsNeeded", message.to_owned());
    }
    let anchor = &ledger.anchor_failures;
    if anchor.streak >= PERSISTENT {
        return yes(
            "ProviderError",
            anchor.last.as_ref().map_or_else(String::new, |note| note.message.clone()),
        );
    }
    for (name, group) in &ledger.groups {
        if group.failures.streak >= PERSISTENT {
            let reason = if name.is_scheduler() { "SchedulerFailing" } else { "WorkersFailing" };
            let last = group.failures.last.as_ref().map_or("", |note| note.message.as_str());
            return yes(reason, format!("{} failures in a row, the last: {last}", group.failures.streak));
        }
    }
    if let Some(message) = scheduler_taken_back(situation) {
        return yes(SCHEDULER_TAKEN_BACK, message);
    }
    if let Some(message) = over_cost {
        return yes(COST_LIMIT, message.to_owned());
    }
    if let Some(message) = without_room(situation, ledger) {
        return yes(NO_CAPACITY, message);
    }
    let obstruction = situation.facts.obstruction.as_ref();
    if let (EngineView::Unreachable { since, message }, true) = (situation.engine, has_answered(ledger))
        && !is_booting(situation, ledger)
    {
        let on_the_way = obstruction.map(|problem| format!("; on the way there: {problem}"));
        return yes(
            "SchedulerUnreachable",
            format!(
                "the scheduler does not answer since {since}: {message}{}",
                on_the_way.unwrap_or_default()
            ),
        );
    }
    // Before it has answered for the first time that is no news.
    if let (EngineView::Seen(_), Some(problem)) = (situation.engine, obstruction) {
        return yes(
            "NoWayIn",
            format!("clients on this machine could not connect, as of the last try: {problem}"),
        );
    }
    if let Some(node) = refused_drain(situation, ledger) {
        let held = held(situation, &node);
        return yes(
            "NoRecipient",
            format!("nobody can take what {node} holds{held}; it is kept until somebody can"),
        );
    }
    let generation = situation.record.wanted.generation;
    if let Some((name, _)) =
        ledger.groups.iter().find(|(_, group)| group.kept_at_generation == Some(generation))
    {
        return yes(
            "NoRecipient",
            format!("the scale-down of group {name} was given up: nobody could take the data"),
        );
    }
    state(Kind::Degraded, Status::False, "Well", "nothing keeps failing")
}

/// Whether the scheduler's machine has not answered yet; where it is known before it listens.
fn is_booting(situation: &Situation<'_>, ledger: &Ledger) -> bool {
    let entry = ledger.groups.get(&GroupName::scheduler()).and_then(|group| group.slots.get(&Slot(0)));
    situation.facts.launching.is_some() && entry.is_some_and(|entry| entry.stage == Stage::Launched)
}

/// How much a worker holds, in parentheses, if that is known.
fn held(situation: &Situation<'_>, node: &NodeName) -> String {
    let EngineView::Seen(status) = situation.engine else { return String::new() };
    let Some(worker) = status.workers.get(node) else { return String::new() };
    let actors = match worker.actors {
        0 => String::new(),
        count => format!(", {count} actors"),
    };
    format!(" ({} results, {} bytes{actors})", worker.held_results, worker.held_bytes)
}

/// A worker that is to go, and whose data nobody can take.
fn refused_drain(situation: &Situation<'_>, ledger: &Ledger) -> Option<NodeName> {
    let refused =
        |name: &NodeName| matches!(situation.operations.drains.get(name), Some(DrainCall::Refused(_)));
    let cluster = situation.record.name();
    let draining = ledger.groups.iter().flat_map(|(group, slots)| {
        let slots_of = slots.slots.iter().filter(|(_, entry)| entry.is_draining());
        slots_of.filter_map(|(slot, _)| slots.node(cluster, group, *slot))
    });
    draining.map(|id| id.name()).find(refused)
}

/// A cluster's state in one word.
pub fn phase(record: &ClusterRecord) -> Phase {
    let conditions = &record.progress.conditions;
    let holds =
        |kind| conditions.iter().any(|condition| condition.kind == kind && condition.status == Status::True);
    if matches!(record.wanted.presence, Presence::Absent(_)) {
        Phase::Deleting
    } else if conditions.is_empty() {
        Phase::Pending
    } else if holds(Kind::Degraded) {
        Phase::Degraded
    } else if !holds(Kind::SchedulerReady) || !holds(Kind::WorkersReady) {
        Phase::Starting
    } else if holds(Kind::Progressing) || record.progress.observed_generation != record.wanted.generation {
        Phase::Updating
    } else {
        Phase::Ready
    }
}
