//! The controller dies at named places of its own code.

use std::{fs, process::Command};

use crate::{
    clients::computes,
    harness::{Home, run, until, with_home},
};

const TWO: &str = "workers: {replicas: 2, memory: 1GiB}";

/// What is done when the controller dies.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Create,
    /// Other memory for both workers: they are replaced.
    Update,
    Grow,
    Shrink,
    Delete,
}

/// Every failpoint, with what passes it. `NAME:NTH` is its NTH passage.
const CRASHES: [(Doing, &[&str]); 5] = [
    (
        Doing::Create,
        &[
            "create.before-prepare",
            "create.before-store",
            "create.after-store",
            "tick.before-note",
            "tick.after-note",
            "tick.before-note:2",
            "tick.after-note:2",
            "anchor.before-call",
            "anchor.after-call",
            "launch.before-call",
            "launch.after-call",
            "launch.before-call:2",
            "launch.after-call:2",
        ],
    ),
    (Doing::Update, &["update.before-store", "update.after-store", "launch.after-call", "drain.after-call"]),
    (
        Doing::Grow,
        &[
            "scale.before-store",
            "scale.after-store",
            "tick.before-note",
            "tick.after-note",
            "launch.before-call",
            "launch.after-call",
        ],
    ),
    (
        Doing::Shrink,
        &[
            "scale.after-store",
            "tick.before-note",
            "tick.after-note",
            "drain.before-call",
            "drain.after-call",
            "tick.after-note:2",
            "remove.before-call",
            "remove.after-call",
        ],
    ),
    (
        Doing::Delete,
        &[
            "delete.before-store",
            "delete.after-store",
            "remove-anchor.before-call",
            "remove-anchor.after-call",
            "tick.before-forget",
            "tick.after-forget",
        ],
    ),
];

/// Does it, and has the controller die once at `failpoint`. Returns whether it died.
fn crash(home: &Home, doing: Doing, failpoint: &str) -> bool {
    let mark = home.path("died");
    let _ = fs::remove_file(&mark);
    let (name, target) = ("demo", target(doing));
    if !matches!(doing, Doing::Create) {
        home.create(name, TWO);
        home.ok(&["controller", "stop"]);
    }
    let mut command = perform(home, doing);
    command.env("CREWCALL_FAILPOINT", failpoint).env("CREWCALL_FAILPOINT_MARK", &mark);
    let outcome = run(command);
    assert!(outcome.signal().is_none(), "the command itself lives: {}", outcome.stderr);
    if outcome.code != Some(0) {
        eprintln!("{doing:?} {failpoint}: {}", outcome.stderr.trim_end());
        assert!(outcome.stderr.contains("\nhint: "), "no next step: {}", outcome.stderr);
    }
    let died = mark.exists();
    // Whatever was said: the same command again comes to the same end.
    match doing {
        Doing::Delete => drop(home.ok(&["delete", name, "--ignore-not-found"])),
        _ => drop(run(perform(home, doing)).ok()),
    }
    if let Some(count) = target {
        until("a cluster at rest", || (home.view(name)["phase"] == "Ready").then_some(()));
        computes(home, name, count);
        assert_eq!(home.view(name)["nodes"].as_array().unwrap().len(), count + 1);
        home.host_of(name);
        home.ok(&["delete", name]);
    }
    // What a dead controller had prepared ends by itself, later; that is looked at in the end.
    assert!(home.hosts().values().all(Option::is_none), "{:?}", home.hosts());
    let clusters = fs::read_dir(home.path("state/clusters")).unwrap().flatten();
    assert_eq!(clusters.filter(|entry| entry.file_name() != ".since").count(), 0);
    home.ok(&["controller", "stop"]);
    died
}

fn target(doing: Doing) -> Option<usize> {
    match doing {
        Doing::Create | Doing::Update => Some(2),
        Doing::Grow => Some(3),
        Doing::Shrink => Some(1),
        Doing::Delete => None,
    }
}

fn perform(home: &Home, doing: Doing) -> Command {
    match doing {
        Doing::Create => home.crewcall(&["create", "-f", home.document("demo", TWO).to_str().unwrap()]),
        Doing::Update => {
            let document = home.document("demo", "workers: {replicas: 2, memory: 900MiB}");
            home.crewcall(&["create", "-f", document.to_str().unwrap()])
        }
        Doing::Grow => home.crewcall(&["scale", "demo", "3"]),
        Doing::Shrink => home.crewcall(&["scale", "demo", "1"]),
        Doing::Delete => home.crewcall(&["delete", "demo"]),
    }
}

fn dies_at_each(which: fn(Doing) -> bool) {
    with_home(|home| {
        for (doing, failpoints) in CRASHES {
            if !which(doing) {
                continue;
            }
            for failpoint in failpoints {
                assert!(crash(home, doing, failpoint), "{doing:?} never passes {failpoint}");
                eprintln!("{doing:?} survives the death of the controller at {failpoint}");
            }
        }
    });
}

#[test]
fn a_create_survives_the_death_of_the_controller_at_every_failpoint() {
    dies_at_each(|doing| matches!(doing, Doing::Create));
}

#[test]
fn an_update_and_a_scaling_survive_the_death_of_the_controller_at_every_failpoint() {
    dies_at_each(|doing| matches!(doing, Doing::Update | Doing::Grow | Doing::Shrink));
}

#[test]
fn a_delete_survives_the_death_of_the_controller_at_every_failpoint() {
    dies_at_each(|doing| matches!(doing, Doing::Delete));
}
