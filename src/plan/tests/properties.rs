//! What holds whatever happens.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::{collection::vec, prelude::*};

use super::{
    simulator::{Happening, Luck, Simulator},
    story::Story,
};
use crate::{
    model::{
        AnchorState, Anchoring, DrainReason, EndReason, EngineStatus, Exit, FailureNote, Failures,
        GroupLedger, Incarnation, Ledger, NodeId, NodeState, Observed, ObservedNode, Slot, SlotEntry, Stage,
        TemplateHash,
    },
    plan::{EngineView, needs_ranking, plan},
    spec::GroupName,
};

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![4 => Just(Luck::Good), 1 => Just(Luck::Refused), 1 => Just(Luck::Broken), 1 => Just(Luck::ReplyLost)]
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => Just(Happening::Plan),
        3 => (0..200u16).prop_map(Happening::Time),
        4 => (0..8usize, luck()).prop_map(|(which, luck)| Happening::CallEnds(which, luck)),
        2 => Just(Happening::AllCallsEnd),
        4 => Just(Happening::EverythingStarts),
        2 => (0..8usize, prop_oneof![Just(None), Just(Some(0)), Just(Some(1)), Just(Some(76))])
            .prop_map(|(which, code)| Happening::NodeDies(which, code)),
        3 => Just(Happening::EndingNodesGo),
        4 => Just(Happening::EngineAnswers),
        1 => Just(Happening::EngineFallsSilent),
        1 => Just(Happening::ControllerRestarts),
        2 => (0..6u32).prop_map(Happening::Resize),
        2 => (0..3u32, 0..5u32).prop_map(|(min, more)| Happening::Adapt(min, more)),
        3 => (0..7usize).prop_map(Happening::Work),
        1 => proptest::option::of(0..3u32).prop_map(Happening::ResizeOther),
        1 => (0..3u8).prop_map(Happening::Retemplate),
        1 => Just(Happening::AnchorDies),
    ]
}

/// The clock when a simulation from an arbitrary state begins, in seconds.
const NOW: i64 = 10_000;

fn past() -> BoxedStrategy<Timestamp> {
    (0..NOW).prop_map(|seconds| Timestamp::from_second(seconds).unwrap()).boxed()
}

/// Also times that only a broken clock can have written.
fn time() -> BoxedStrategy<Timestamp> {
    prop_oneof![8 => past(), 1 => Just(Timestamp::MAX), 1 => Just(Timestamp::MIN)].boxed()
}

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        Just(Stage::Vacant),
        Just(Stage::Intended),
        Just(Stage::Launched),
        Just(Stage::Registered),
        prop_oneof![
            Just(DrainReason::ScaleDown),
            Just(DrainReason::Idle),
            Just(DrainReason::Rolled),
            Just(DrainReason::GroupRemoved)
        ]
        .prop_map(Stage::Draining),
    ]
}

fn group_name() -> impl Strategy<Value = GroupName> {
    prop_oneof![
        2 => Just(GroupName::scheduler()),
        4 => Just(GroupName::workers()),
        1 => Just("old".parse().unwrap()),
    ]
}

fn entry(time: BoxedStrategy<Timestamp>) -> impl Strategy<Value = SlotEntry> {
    let template = prop_oneof![Just("a"), Just("b")].prop_map(TemplateHash::new);
    (0..4u32, stage(), time.clone(), template, proptest::option::of(time)).prop_map(
        |(incarnation, stage, since, template, unseen_since)| {
            let incarnation = Incarnation(incarnation);
            SlotEntry { unseen_since, ..SlotEntry::new(incarnation, stage, since, template) }
        },
    )
}

fn failures(time: BoxedStrategy<Timestamp>) -> impl Strategy<Value = Failures> {
    (0..20u32, proptest::option::of(time)).prop_map(|(streak, at)| Failures {
        streak,
        last: at.map(|at| FailureNote { at, node: None, message: "failed".to_owned() }),
    })
}

fn ledger(time: &BoxedStrategy<Timestamp>) -> impl Strategy<Value = Ledger> + use<> {
    let slots = proptest::collection::btree_map((0..5u32).prop_map(Slot), entry(time.clone()), 0..5);
    // What is wanted is asked for anew, as generation 2, before a cluster settles: none was kept by then.
    let group = (slots, failures(time.clone()), proptest::option::of(0..2u64)).prop_map(
        |(slots, failures, kept_at_generation)| GroupLedger {
            slots,
            failures,
            kept_at_generation,
            ..GroupLedger::default()
        },
    );
    let groups = proptest::collection::btree_map(group_name(), group, 0..3);
    let anchor = prop_oneof![Just(Anchoring::Intended), Just(Anchoring::Made)];
    let ends = proptest::sample::subsequence(vec![EndReason::Idle, EndReason::MaxLifetime], 0..=2);
    (anchor, failures(time.clone()), groups, ends).prop_map(|(anchor, anchor_failures, groups, ends)| {
        Ledger {
            anchor,
            anchor_failures,
            groups,
            ends_announced: ends.into_iter().collect(),
            ..Ledger::default()
        }
    })
}

fn node_state() -> impl Strategy<Value = NodeState> {
    prop_oneof![
        1 => Just(NodeState::Pending(None)),
        3 => Just(NodeState::Running),
        1 => Just(NodeState::Ending),
        1 => (time(), proptest::option::of(0..80i32)).prop_map(|(at, code)| {
            NodeState::Ended(Exit { at, code, signal: None, reason: None })
        }),
    ]
}

fn observed(group: GroupName, slot: Slot, incarnation: Incarnation, state: NodeState) -> ObservedNode {
    let address = (group.is_scheduler() && state == NodeState::Running).then(|| "tls://x:1".to_owned());
    ObservedNode {
        id: NodeId { cluster: "demo".parse().unwrap(), group, slot, incarnation, instance: None },
        template: TemplateHash::new("a"),
        state,
        origin: crate::model::Origin::default(),
        address,
        reach: None,
        dashboard: None,
        last_log: vec!["last words".to_owned()],
        machine: None,
    }
}

fn world() -> impl Strategy<Value = Observed> {
    let node = (group_name(), 0..5u32, 0..4u32, node_state())
        .prop_map(|(group, slot, number, state)| observed(group, Slot(slot), Incarnation(number), state));
    let anchor = prop_oneof![1 => Just(AnchorState::Absent), 4 => Just(AnchorState::Present)];
    (anchor, vec(node, 0..8)).prop_map(|(anchor, nodes)| {
        let nodes: BTreeMap<_, _> = nodes.into_iter().map(|node| (node.id.clone(), node)).collect();
        Observed { anchor, nodes: nodes.into_values().collect() }
    })
}

/// What the ledger knows of is there, as it was launched; what else is there stays.
fn fill(world: &mut Observed, ledger: &Ledger, states: Vec<Option<NodeState>>) {
    let slots =
        ledger.groups.iter().flat_map(|(name, group)| group.slots.iter().map(move |slot| (name, slot)));
    for ((group, (slot, entry)), state) in slots.zip(states) {
        if entry.stage == Stage::Vacant {
            continue;
        }
        let Some(state) = state else { continue };
        let node = observed(group.clone(), *slot, entry.incarnation, state);
        world.nodes.retain(|other| other.id != node.id);
        world.nodes.push(ObservedNode { template: entry.template.clone(), ..node });
    }
}

/// Whether a node can be beside a ledger from which a cluster goes on.
fn is_possible(node: &ObservedNode, ledger: &Ledger) -> bool {
    // A scheduler that ended by its own belt ends the cluster.
    if matches!(&node.state, NodeState::Ended(exit) if exit.code == Some(Exit::IDLE)) {
        return false;
    }
    // A slot that the ledger fills is never ahead of it: the intent is durable before the call.
    let entry = ledger.groups.get(&node.id.group).and_then(|group| group.slots.get(&node.id.slot));
    entry.is_none_or(|entry| entry.stage == Stage::Vacant || entry.incarnation >= node.id.incarnation)
}

fn engine() -> impl Strategy<Value = EngineView> {
    prop_oneof![
        Just(EngineView::NotAsked),
        time().prop_map(|since| EngineView::Unreachable { since, message: "no answer".to_owned() }),
        proptest::option::of(time())
            .prop_map(|idle_since| EngineView::Seen(EngineStatus { idle_since, ..EngineStatus::default() })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_cluster_becomes_what_is_wanted(
        workers in 0..6u32,
        happenings in vec(happening(), 0..60),
    ) {
        let mut simulator = Simulator::new(workers);
        for happening in &happenings {
            simulator.happen(happening);
        }
        simulator.settle();
    }

    #[test]
    fn whatever_happens_a_cluster_that_is_launched_in_batches_becomes_what_is_wanted(
        workers in 0..6u32,
        happenings in vec(happening(), 0..60),
    ) {
        let mut simulator = Simulator::launching(workers);
        for happening in &happenings {
            simulator.happen(happening);
        }
        simulator.settle();
    }

    #[test]
    fn from_whatever_state_the_cluster_becomes_what_is_wanted(
        workers in 0..6u32,
        ledger in ledger(&past()),
        world in world(),
        filled in vec(proptest::option::weighted(0.7, node_state()), 15),
    ) {
        let mut ledger = ledger;
        if let Some(scheduler) = ledger.groups.get_mut(&GroupName::scheduler()) {
            // There is one scheduler, and it is never drained.
            scheduler.slots.retain(|slot, entry| *slot == Slot(0) && !entry.is_draining());
        }
        let mut world = world;
        fill(&mut world, &ledger, filled);
        world.nodes.retain(|node| is_possible(node, &ledger));
        let mut simulator = Simulator::from(workers, ledger, world);
        simulator.story.now = Timestamp::from_second(NOW).unwrap();
        simulator.settle();
    }

    #[test]
    fn no_state_of_the_world_or_the_ledger_breaks_a_plan(
        ledger in ledger(&time()),
        world in world(),
        engine in engine(),
        now in time(),
    ) {
        let mut story = Story::of(3);
        story.record.progress.ledger = ledger;
        (story.world, story.engine, story.now) = (world, engine, now);
        needs_ranking(&story.situation());
        let planned = plan(&story.situation());
        prop_assert_eq!(&planned, &plan(&story.situation()));
    }
}
