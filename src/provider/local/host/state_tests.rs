//! A host's nodes, through what happens to them.

use super::super::protocol::{HostNodeState, NodeLaunch};
use super::*;
use crate::model::{Incarnation, NodeId, Origin, Slot, TemplateHash};

fn admission(slot: u32) -> Admission {
    let id = NodeId {
        cluster: "demo".parse().unwrap(),
        group: "workers".parse().unwrap(),
        slot: Slot(slot),
        incarnation: Incarnation(0),
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
