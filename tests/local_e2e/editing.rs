//! The same document again, and others of the same name.

use crate::{
    clients::{computes, workers},
    harness::{Home, with_home},
};

const TWO: &str = "workers: {replicas: 2, memory: 1GiB}";

fn again(home: &Home, spec: &str, flag: &str) -> crate::harness::Outcome {
    let document = home.document("demo", spec);
    home.run(&["create", "-f", document.to_str().unwrap(), flag])
}

#[test]
fn the_same_document_again_changes_nothing_and_says_so() {
    with_home(|home| {
        home.create("demo", TWO);
        let (before, generation) = (workers(home, "demo"), home.view("demo")["generation"].clone());
        let said = again(home, TWO, "--no-wait").ok();
        assert_eq!(said, "cluster demo is as the document says\n");
        assert!(home.create("demo", TWO).contains("is ready: 2 workers"));
        assert_eq!(home.view("demo")["generation"], generation);
        assert_eq!(workers(home, "demo"), before);
    });
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    with_home(|home| {
        assert_eq!(again(home, TWO, "--dry-run").ok(), "cluster demo would be created\n");
        assert!(home.ok(&["list", "-o", "name"]).is_empty());
        home.create("demo", TWO);
        let before = home.view("demo");
        let said = again(home, "workers: {replicas: 3, memory: 1GiB}", "--dry-run").ok();
        assert!(said.contains("spec.workers.replicas: from 2 to 3"), "{said}");
        let after = home.view("demo");
        assert_eq!((&after["generation"], &after["document"]), (&before["generation"], &before["document"]));
    });
}

#[test]
fn a_changed_size_and_a_group_more_or_less_apply_in_place() {
    with_home(|home| {
        home.create("demo", TWO);
        let before = workers(home, "demo");
        home.create("demo", &format!("{TWO}\n  workerGroups: {{big: {{replicas: 1, memory: 2GiB}}}}"));
        computes(home, "demo", 3);
        let with_group = workers(home, "demo");
        assert!(before.iter().all(|worker| with_group.contains(worker)), "the others live on");
        home.ok(&["scale", "demo", "2", "--group", "big"]);
        computes(home, "demo", 4);
        home.create("demo", TWO);
        computes(home, "demo", 2);
        assert_eq!(workers(home, "demo"), before);
    });
}

#[test]
fn a_changed_memory_rolls_the_workers_one_new_before_one_old() {
    with_home(|home| {
        home.create("demo", TWO);
        let before = workers(home, "demo");
        home.create("demo", "workers: {replicas: 2, memory: 768MiB}");
        let after = workers(home, "demo");
        assert!(before.iter().all(|worker| !after.contains(worker)), "all are new: {before:?} {after:?}");
        let limits = "from dask.distributed import Client\nprint({w['memory_limit'] for w in \
                      Client().scheduler_info()['workers'].values()})";
        assert_eq!(home.python("demo", limits).trim(), "{805306368}");
        let events = home.ok(&["events", "demo"]);
        let at = |text: &str| events.find(text).unwrap_or_else(|| panic!("no {text}: {events}"));
        let changed = at("  Updated  ");
        let launched = changed + events[changed..].find("NodeLaunching").unwrap();
        assert!(launched < at("  Draining  "), "one new first: {events}");
    });
}

#[test]
fn a_field_that_is_fixed_for_life_is_refused_with_the_difference_and_replaced_on_request() {
    with_home(|home| {
        home.create("demo", TWO);
        let uid = home.view("demo")["uid"].clone();
        let changed = format!("{TWO}\n  scheduler: {{memory: 1GiB}}");
        let said = again(home, &changed, "--no-wait").fails(5);
        assert!(said.contains("spec.scheduler.memory"), "{said}");
        assert!(said.contains("--replace"), "{said}");
        assert_eq!(home.view("demo")["uid"], uid, "nothing has happened");

        let broken = format!("{changed}\n  environment: {{interpreter: /nowhere/python}}");
        let said = again(home, &broken, "--replace").fails(7);
        assert!(said.contains("/nowhere/python does not exist"), "{said}");
        assert_eq!(home.view("demo")["uid"], uid, "what works is not given up for what cannot");
        computes(home, "demo", 2);

        again(home, &changed, "--replace").ok();
        assert_ne!(home.view("demo")["uid"], uid);
        computes(home, "demo", 2);
    });
}
