//! A host's nodes, through what happens to them.

use super::super::protocol::{HostNodeState, NodeLaunch};
use super::super::{node::Budget, restarts::Restart};
use super::*;
use crate::model::{Incarnation, NodeId, Origin, Slot, TemplateHash};

fn admission(slot: u32) -> Admission {
    let id = NodeId {
        cluster: "demo".parse().unwrap(),
        group: "workers".parse().unwrap(),
        slot: Slot(slot),
        incarnation: Incarnation(0),
        instance: None,
    };
    let launch = NodeLaunch {
        id,
        template: TemplateHash::new("t"),
        environment: BTreeMap::new(),
        secret_environment: BTreeMap::new(),
        config: BTreeMap::new(),
        arguments: serde_json::Map::new(),
        tls: None,
    };
    Admission { launch, origin: Origin::Planned, command: vec![b'{'] }
}

fn process(pid: i32) -> ProcessId {
    ProcessId { pid, start_time: 1 }
}

fn end() -> End {
    End { at: Timestamp::UNIX_EPOCH, code: Some(0), signal: None }
}

fn states(nodes: &Nodes) -> Vec<HostNodeState> {
    nodes.observe("it waits").into_iter().map(|node| node.state).collect()
}

/// Nodes with one that runs as pid 7.
fn one_running() -> (Nodes, NodeName) {
    let (mut nodes, name) = (Nodes::default(), admission(0).launch.id.name());
    nodes.admit(admission(0));
    assert!(nodes.next_to_send(1).is_some());
    assert_eq!(nodes.forked(&name, process(7), true), None);
    assert_eq!(states(&nodes), [HostNodeState::Running]);
    (nodes, name)
}

#[test]
fn a_name_is_started_once_even_after_its_node_was_removed() {
    let (mut nodes, name) = one_running();
    nodes.admit(admission(0));
    assert!(nodes.next_to_send(1).is_none());
    assert_eq!(nodes.remove(&name, HowToStop::Now, Instant::now()), Some(Deed::Kill(process(7))));
    assert_eq!(states(&nodes), [HostNodeState::Ending]);
    assert_eq!(nodes.ended(7, end()), Some(name));
    assert_eq!(states(&nodes), []);
    nodes.admit(admission(0));
    assert!(nodes.next_to_send(1).is_none());
    assert_eq!(states(&nodes), []);
}

#[test]
fn a_node_that_is_stopped_gently_is_ended_when_its_time_is_over() {
    let (mut nodes, name) = one_running();
    let now = Instant::now();
    let gently = HowToStop::Gently { grace: Duration::from_secs(25) };
    assert_eq!(nodes.remove(&name, gently, now), Some(Deed::Terminate(process(7))));
    let due = now + Duration::from_secs(30);
    assert_eq!(nodes.next_deadline(), Some(due));
    // Asked again: not told again, and no more time.
    assert_eq!(nodes.remove(&name, gently, now + Duration::from_secs(9)), None);
    assert_eq!(nodes.overdue(now + Duration::from_millis(29_999)), []);
    assert_eq!(nodes.overdue(due), [Deed::Kill(process(7))]);
    assert_eq!(nodes.overdue(due), []);
    assert_eq!(nodes.next_deadline(), None);
}

#[test]
fn a_node_that_is_removed_while_it_is_forked_is_ended_at_its_first_sign() {
    let (mut nodes, name) = (Nodes::default(), admission(0).launch.id.name());
    nodes.admit(admission(0));
    nodes.next_to_send(1);
    assert_eq!(nodes.remove(&name, HowToStop::Now, Instant::now()), None);
    assert_eq!(nodes.forked(&name, process(7), true), Some(Deed::Kill(process(7))));
    nodes.ended(7, end());
    assert_eq!(states(&nodes), []);
}

#[test]
fn an_end_that_is_seen_before_the_start_counts_unless_the_pid_is_in_use_again() {
    for (alive, expected) in [
        (
            false,
            HostNodeState::Ended { at: Timestamp::UNIX_EPOCH, code: Some(0), signal: None, reason: None },
        ),
        (true, HostNodeState::Running),
    ] {
        let (mut nodes, name) = (Nodes::default(), admission(0).launch.id.name());
        nodes.admit(admission(0));
        nodes.next_to_send(1);
        assert_eq!(nodes.ended(7, end()), None);
        nodes.forked(&name, process(7), alive);
        assert_eq!(states(&nodes), [expected]);
    }
}

#[test]
fn what_a_lost_fork_server_did_not_start_ends_and_what_it_started_late_is_killed() {
    let (mut nodes, _) = one_running();
    nodes.admit(admission(1));
    nodes.next_to_send(1);
    nodes.admit(admission(2));
    nodes.fork_server_lost(1, "it is gone", Timestamp::UNIX_EPOCH);
    let seen = states(&nodes);
    assert_eq!(seen.first(), Some(&HostNodeState::Running));
    assert!(
        matches!(&seen[1], HostNodeState::Ended { reason: Some(why), .. } if why == "it is gone"),
        "{seen:?}"
    );
    assert_eq!(seen.get(2), Some(&HostNodeState::Waiting("it waits".to_owned())));
    let late = admission(1).launch.id.name();
    assert_eq!(nodes.forked(&late, process(9), true), Some(Deed::Kill(process(9))));
    assert!(nodes.next_to_send(2).is_some());
}

fn restart(nodes: &mut Nodes, name: &NodeName) {
    assert_eq!(nodes.restart(name), Restart::Kill(Deed::Kill(process(7))));
}

#[test]
fn a_restart_ends_in_a_successor_under_the_next_name() {
    let (mut nodes, name) = one_running();
    restart(&mut nodes, &name);
    assert!(nodes.successor(&name).is_none(), "it still runs");
    assert_eq!(nodes.ended(7, end()), Some(name.clone()));
    let successor = nodes.successor(&name).unwrap();
    assert_eq!(successor.id.name().as_str(), "demo-workers-0-1");
    assert_eq!(successor.arguments.get("name").unwrap(), "demo-workers-0-1");
    nodes.admit(Admission { launch: successor, origin: Origin::ClientRestart, command: Vec::new() });
    nodes.forget(&name);
    let seen = nodes.observe("it waits");
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].id.incarnation, seen[0].origin), (Incarnation(1), Origin::ClientRestart));
    // The controller asks for the same slot: it is filled.
    let mut same = admission(0);
    same.launch.id.incarnation = Incarnation(1);
    nodes.admit(same);
    assert_eq!(nodes.observe("it waits").len(), 1);
}

#[test]
fn a_successor_never_takes_a_name_that_was_used() {
    let (mut nodes, name) = one_running();
    let mut next = admission(0);
    next.launch.id.incarnation = Incarnation(1);
    nodes.admit(next);
    restart(&mut nodes, &name);
    nodes.ended(7, end());
    assert_eq!(nodes.successor(&name).unwrap().id.incarnation, Incarnation(2));
}

#[test]
fn what_was_told_to_end_is_killed_and_not_restarted() {
    let (mut nodes, name) = one_running();
    nodes.remove(&name, HowToStop::Gently { grace: Duration::from_secs(25) }, Instant::now());
    assert_eq!(nodes.restart(&name), Restart::KillForGood(Deed::Kill(process(7))));
    nodes.ended(7, end());
    assert!(nodes.successor(&name).is_none());

    let (mut nodes, name) = one_running();
    assert_eq!(nodes.let_go(&name), Some(process(7)));
    assert_eq!(nodes.restart(&name), Restart::KillForGood(Deed::Kill(process(7))));
    nodes.ended(7, end());
    assert!(nodes.successor(&name).is_none());
    assert_eq!(nodes.restart(&name), Restart::Gone);
}

#[test]
fn a_removal_that_comes_before_the_end_wins_over_a_restart() {
    let (mut nodes, name) = one_running();
    restart(&mut nodes, &name);
    nodes.remove(&name, HowToStop::Now, Instant::now());
    nodes.ended(7, end());
    assert!(nodes.successor(&name).is_none());
    assert_eq!(states(&nodes), []);
}

#[test]
fn memory_is_watched_while_a_worker_runs_and_judged_once() {
    let (mut nodes, name) = one_running();
    assert_eq!(nodes.budgets().count(), 0);
    nodes.set_budget(&name, Budget::new(1 << 30, 0.95, 0.1));
    assert_eq!(nodes.budgets().count(), 1);
    assert!(nodes.exceed(&name).is_some());
    assert_eq!(nodes.budgets().count(), 0);
}
