//! What is read is what was written.

use std::{collections::BTreeMap, os::unix::ffi::OsStringExt, path::PathBuf};

use jiff::Timestamp;
use proptest::prelude::*;

use super::fixture::*;
use crate::{
    model::{
        AdaptiveSize, Anchoring, CallerContext, ClusterRecord, Condition, ConditionKind, ConditionStatus,
        DrainReason, EndReason, Ending, FailureNote, Failures, GroupLedger, HeldUp, Incarnation, InstanceId,
        Interpreter, LaunchId, LaunchIntent, Money, NodeName, Presence, RequestHash, Shortage, Slot,
        SlotEntry, SlotMachine, SoftwareVersions, Spending, Stage, TemplateHash,
    },
    spec::GroupName,
    store::{Store, StoreError},
};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,8}", any::<String>()]
}

fn path() -> impl Strategy<Value = PathBuf> {
    any::<String>().prop_map(|text| PathBuf::from("/").join(text.replace('\0', "")))
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0..4_000_000_000_i64, 0..1_000_000_000_i32)
        .prop_map(|(seconds, nanoseconds)| Timestamp::new(seconds, nanoseconds).unwrap())
}

fn stage() -> impl Strategy<Value = Stage> {
    prop::sample::select(vec![
        Stage::Vacant,
        Stage::Intended,
        Stage::Launched,
        Stage::Registered,
        Stage::Draining(DrainReason::ScaleDown),
        Stage::Draining(DrainReason::Idle),
        Stage::Draining(DrainReason::Rolled),
        Stage::Draining(DrainReason::GroupRemoved),
        Stage::Draining(DrainReason::TakenBack),
    ])
}

fn machine() -> impl Strategy<Value = SlotMachine> {
    prop_oneof![
        any::<u64>().prop_map(|bits| SlotMachine::Awaited(LaunchId::from_random(bits))),
        text().prop_map(|name| SlotMachine::Known(InstanceId::new(name))),
    ]
}

fn intent() -> impl Strategy<Value = LaunchIntent> {
    (any::<u32>(), any::<u32>(), text(), time()).prop_map(|(count, choice, text, at)| LaunchIntent {
        group: GroupName::workers(),
        count,
        choice,
        template: TemplateHash::new(text.clone()),
        request: RequestHash::of(&text),
        at,
    })
}

fn shortage() -> impl Strategy<Value = Shortage> {
    (any::<u32>(), time(), text()).prop_map(|(next, at, message)| Shortage { next, at, message })
}

fn slot() -> impl Strategy<Value = SlotEntry> {
    let machine = prop::option::of(machine());
    (any::<u32>(), stage(), time(), text(), prop::option::of(time()), machine, prop::option::of(text()))
        .prop_map(|(incarnation, stage, since, template, unseen_since, machine, booting)| SlotEntry {
            incarnation: Incarnation(incarnation),
            stage,
            since,
            template: TemplateHash::new(template),
            unseen_since,
            machine,
            booting,
        })
}

fn failures() -> impl Strategy<Value = Failures> {
    let note = (time(), prop::option::of(text()), text()).prop_map(|(at, node, message)| FailureNote {
        at,
        node: node.map(NodeName::new),
        message,
    });
    (any::<u32>(), prop::option::of(note)).prop_map(|(streak, last)| Failures { streak, last })
}

fn adaptive() -> impl Strategy<Value = AdaptiveSize> {
    let idle = prop::collection::btree_map(any::<u32>().prop_map(Slot), time(), 0..4);
    let held_up = (any::<u32>(), time()).prop_map(|(tries, at)| HeldUp { tries, at });
    let change = (prop::option::of(text()), prop::option::of(time()));
    (any::<u32>(), change, idle, prop::option::of(held_up)).prop_map(
        |(wanted, (reason, changed_at), idle, held_up)| AdaptiveSize {
            wanted,
            reason,
            changed_at,
            idle,
            held_up,
        },
    )
}

fn group() -> impl Strategy<Value = GroupLedger> {
    let slots = prop::collection::btree_map(any::<u32>().prop_map(Slot), slot(), 0..4);
    let kept = any::<Option<u64>>();
    let shortage = prop::option::of(shortage());
    (slots, failures(), kept, prop::option::of(adaptive()), any::<Option<u64>>(), shortage).prop_map(
        |(slots, failures, kept_at_generation, adaptive, startup_millis, shortage)| GroupLedger {
            slots,
            failures,
            kept_at_generation,
            adaptive,
            startup_millis,
            shortage,
        },
    )
}

fn condition() -> impl Strategy<Value = Condition> {
    (text(), text(), time()).prop_map(|(reason, message, last_transition_time)| Condition {
        kind: ConditionKind::Degraded,
        status: ConditionStatus::Unknown,
        reason,
        message,
        last_transition_time,
    })
}

fn interpreter() -> impl Strategy<Value = Interpreter> {
    (path(), prop::collection::btree_map(text(), prop::option::of(text()), 0..3))
        .prop_map(|(path, versions)| Interpreter { path, versions: SoftwareVersions(versions) })
}

fn context() -> impl Strategy<Value = CallerContext> {
    let umask = prop::option::of(0..0o1000_u32);
    (path(), prop::collection::vec(path(), 0..3), prop::option::of(interpreter()), umask).prop_map(
        |(working_directory, import_path, interpreter, umask)| CallerContext {
            working_directory,
            import_path,
            interpreter,
            document_directory: PathBuf::new(),
            umask,
            kubernetes: None,
            ec2: None,
            custom_resource: None,
        },
    )
}

fn finite() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("finite", |number| number.is_finite())
}

prop_compose! {
    fn any_record()(
        revision in any::<u64>(),
        uid in any::<u64>(),
        labels in prop::collection::btree_map(text(), text(), 0..3),
        resources in prop::collection::btree_map(text(), finite(), 0..3),
        generations in (any::<u64>(), any::<u64>(), any::<Option<u64>>()),
        created_at in time(),
        end in prop::option::of(time()),
        context in context(),
        interpreter in prop::option::of(interpreter()),
        groups in prop::collection::btree_map("[a-z]{1,10}", group(), 0..3),
        (anchor_failures, launches, spending) in (
            failures(),
            prop::collection::vec(intent(), 0..3),
            prop::option::of((any::<u64>(), time())),
        ),
        conditions in prop::collection::vec(condition(), 0..3),
    ) -> ClusterRecord {
        let mut record = record("demo", uid);
        record.revision = revision;
        record.wanted.document.metadata.labels = labels;
        record.wanted.document.spec.workers.resources = resources;
        record.wanted.generation = generations.0;
        record.wanted.forced_generation = generations.2;
        record.wanted.created_at = created_at;
        record.wanted.presence =
            end.map_or(Presence::Present, |at| Presence::Absent(Ending { at, reason: EndReason::Idle }));
        record.wanted.context = context;
        record.wanted.interpreter = interpreter;
        record.progress.observed_generation = generations.1;
        record.progress.conditions = conditions;
        record.progress.ledger.anchor = Anchoring::Made;
        record.progress.ledger.anchor_failures = anchor_failures;
        record.progress.ledger.launches =
            (0..).map(LaunchId::from_random).zip(launches).collect::<BTreeMap<_, _>>();
        record.progress.ledger.spending = spending.map(|(amount, since)| Spending {
            spent: Money(amount),
            since,
            hourly: Money(amount / 2),
        });
        record.progress.ledger.groups = groups
            .into_iter()
            .map(|(name, group)| (name.parse::<GroupName>().unwrap(), group))
            .collect::<BTreeMap<_, _>>();
        record
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_is_read_as_it_was_written(written in any_record()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let it = fixture();
        let read = runtime.block_on(async {
            it.store.create(&written).await.unwrap();
            it.only().await
        });
        prop_assert_eq!(read, written);
    }
}

#[tokio::test]
async fn what_could_not_be_read_again_is_not_written() {
    let it = fixture();
    let mut infinite = record("demo", 1);
    infinite.wanted.document.spec.workers.resources.insert("GPU".to_owned(), f64::INFINITY);
    let mut odd = record("demo", 1);
    odd.wanted.context.working_directory = std::ffi::OsString::from_vec(vec![b'/', 0xff]).into();
    for unfit in [infinite, odd] {
        let error = it.store.create(&unfit).await.unwrap_err();
        assert!(matches!(error, StoreError::Io { doing: "write", .. }), "{error}");
        assert!(error.to_string().contains("does not fit into JSON: "), "{error}");
    }
    assert!(it.folders().is_empty());
}
