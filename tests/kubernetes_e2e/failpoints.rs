//! The controller dies at named places of its own code, in the middle of what it does on Kubernetes.

use std::{fs, process::Command};

use crate::{
    harness::{is_long, run, until},
    world::{World, with_world},
};

/// What is done when the controller dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Create,
    Grow,
    Shrink,
    Delete,
}

/// What is done in the life of a cluster.
const LIFE: [Doing; 4] = [Doing::Create, Doing::Grow, Doing::Shrink, Doing::Delete];

/// For each life the failpoints that it meets, one at each step; `NAME:NTH` is the NTH passage. The first two are
/// lived always, the others at length: what they are about is the same whatever the provider.
const LIVES: [[&str; 4]; 7] = [
    ["anchor.after-call", "launch.before-call", "drain.after-call", "delete.after-store"],
    ["launch.after-call:2", "launch.after-call", "remove.after-call", "remove-anchor.after-call"],
    ["launch.after-call", "scale.after-store", "scale.after-store", "remove-anchor.before-call"],
    ["launch.before-call", "tick.before-note", "tick.after-note", "tick.before-forget"],
    ["launch.before-call:2", "tick.after-note", "drain.before-call", "tick.after-forget"],
    ["create.after-store", "launch.before-call", "remove.before-call", "delete.after-store"],
    ["tick.after-note:2", "launch.after-call", "drain.after-call", "remove-anchor.after-call"],
];

fn perform(world: &World<'_>, doing: Doing) -> Command {
    let home = world.home;
    match doing {
        Doing::Create => {
            let document = world.usual("demo", 1);
            home.crewcall(&["create", "-f", document.to_str().unwrap()])
        }
        Doing::Grow => home.crewcall(&["scale", "demo", "2"]),
        Doing::Shrink => home.crewcall(&["scale", "demo", "1"]),
        Doing::Delete => home.crewcall(&["delete", "demo", "--ignore-not-found"]),
    }
}

/// Names of pods that there are in the end.
fn expected(doing: Doing) -> &'static [&'static str] {
    match doing {
        Doing::Create | Doing::Shrink => &["demo-scheduler-0-0", "demo-workers-0-0"],
        Doing::Grow => &["demo-scheduler-0-0", "demo-workers-0-0", "demo-workers-1-0"],
        Doing::Delete => &[],
    }
}

/// Does it, and has the controller die once at `failpoint`.
fn crash(world: &World<'_>, doing: Doing, failpoint: &str) {
    let home = world.home;
    let mark = home.path("died");
    let _ = fs::remove_file(&mark);
    // The next controller is the one that dies.
    home.ok(&["controller", "stop"]);
    let mut command = perform(world, doing);
    command.env("CREWCALL_FAILPOINT", failpoint).env("CREWCALL_FAILPOINT_MARK", &mark);
    let outcome = run(command);
    assert!(outcome.signal().is_none(), "the command itself lives: {}", outcome.stderr);
    until(&format!("the death at {failpoint}"), || mark.exists().then_some(()));
    // Whatever was said: the same command again comes to the same end.
    run(perform(world, doing)).ok();
    if doing != Doing::Delete {
        until("a cluster at rest", || (home.view("demo")["phase"] == "Ready").then_some(()));
    }
    // Which of two workers without work goes, is the scheduler's choice.
    until(&format!("pods as after {doing:?} at {failpoint}"), || {
        let (pods, expected) = (world.pods(), expected(doing));
        let fits = if doing == Doing::Shrink {
            pods.len() == expected.len() && pods.iter().all(|pod| pod.ends_with("-0"))
        } else {
            pods == expected
        };
        fits.then_some(())
    });
    eprintln!("{doing:?} survives the death of the controller at {failpoint}");
}

fn live(failpoints: [&str; 4]) {
    with_world(|world| {
        for (doing, failpoint) in LIFE.into_iter().zip(failpoints) {
            crash(world, doing, failpoint);
        }
        assert_eq!(world.left(), Vec::<String>::new());
    });
}

#[test]
fn a_controller_that_dies_at_every_step_makes_no_second_pod_and_leaves_nothing() {
    live(LIVES[0]);
}

#[test]
fn a_controller_that_dies_when_a_call_was_answered_makes_no_second_pod_and_leaves_nothing() {
    live(LIVES[1]);
}

#[test]
fn a_controller_may_die_at_any_failpoint() {
    if is_long() {
        LIVES.into_iter().skip(2).for_each(live);
    }
}
