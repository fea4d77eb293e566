//! Processes that die at the worst moments.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    clients::{computes, scheduler, workers},
    harness::{Home, kill_9, start, until, with_home},
};

const TWO: &str = "workers: {replicas: 2, memory: 1GiB}";

#[test]
fn clusters_outlive_their_controller_and_the_next_one_looks_after_them() {
    with_home(|home| {
        home.create("demo", TWO);
        let (host, before) = (home.host_of("demo"), workers(home, "demo"));
        kill_9(home.controller().unwrap());
        // Nobody looks after it now, and it computes.
        home.ok(&["scale", "demo", "3"]);
        assert_eq!(home.host_of("demo"), host);
        let after = workers(home, "demo");
        assert!(before.iter().all(|worker| after.contains(worker)), "{before:?} live on: {after:?}");
        computes(home, "demo", 3);
    });
}

#[test]
fn the_first_command_after_the_death_of_a_controller_sees_the_cluster_as_it_is() {
    with_home(|home| {
        home.create("demo", TWO);
        for _ in 0..5 {
            kill_9(home.controller().unwrap());
            assert!(home.ok(&["list"]).contains("Ready"));
        }
        kill_9(home.controller().unwrap());
        home.ok(&["env", "demo"]);
    });
}

#[test]
fn a_host_that_is_killed_takes_its_processes_along_and_the_cluster_comes_back() {
    with_home(|home| {
        home.create("demo", TWO);
        let (host, before) = (home.host_of("demo"), workers(home, "demo"));
        kill_9(host);
        for worker in before {
            until("the end of a worker without a host", || {
                (!fs::exists(format!("/proc/{}", worker.as_raw_nonzero())).unwrap()).then_some(())
            });
        }
        until("another host", || {
            home.hosts().iter().find(|(pid, name)| {
                name.as_deref() == Some("demo") && **pid != host.as_raw_nonzero().get()
            })?;
            (home.view("demo")["phase"] == "Ready").then_some(())
        });
        computes(home, "demo", 2);
        let events = home.ok(&["events", "demo"]);
        assert!(events.contains("all results are lost"), "{events}");
    });
}

#[test]
fn a_cluster_that_lost_host_and_controller_says_that_it_needs_its_caller() {
    with_home(|home| {
        home.create("demo", TWO);
        let host = home.host_of("demo");
        kill_9(home.controller().unwrap());
        kill_9(host);
        let condition = home.until_condition("demo", "Degraded", "True");
        assert_eq!(condition["reason"], "CredentialsNeeded", "{condition}");
        assert!(condition["message"].as_str().unwrap().contains("create"), "{condition}");
        home.create("demo", TWO);
        computes(home, "demo", 2);
    });
}

#[test]
fn a_cluster_whose_host_hangs_is_not_called_ready_and_can_be_deleted() {
    with_home(|home| {
        home.create("demo", TWO);
        let (host, before) = (home.host_of("demo"), workers(home, "demo"));
        kill_process(host, Signal::STOP).unwrap();
        // Something to look for; otherwise it may be half a minute until somebody looks.
        home.ok(&["scale", "demo", "3", "--no-wait"]);
        let condition = home.until_condition("demo", "Degraded", "True");
        assert_eq!(condition["reason"], "CannotObserve", "{condition}");
        assert_eq!(home.view("demo")["phase"], "Degraded");
        home.ok(&["delete", "demo"]);
        for process in before.into_iter().chain([host]) {
            until("the end of the host and of its workers", || {
                (!fs::exists(format!("/proc/{}", process.as_raw_nonzero())).unwrap()).then_some(())
            });
        }
    });
}

#[test]
fn a_worker_that_is_killed_is_replaced() {
    with_home(|home| {
        home.create("demo", TWO);
        let before = workers(home, "demo");
        kill_9(before[0]);
        until("a new worker", || {
            let nodes = home.view("demo")["nodes"].clone();
            let names: Vec<_> = nodes.as_array()?.iter().filter(|node| node["state"] == "Ready").collect();
            (names.len() == 3 && names.iter().any(|node| node["name"].as_str().unwrap().ends_with("-1")))
                .then_some(())
        });
        computes(home, "demo", 2);
        let events = home.ok(&["events", "demo"]);
        assert!(events.contains("signal 9"), "the cause is on record: {events}");
    });
}

#[test]
fn a_scheduler_that_is_killed_is_replaced_with_all_its_workers_and_the_loss_is_said() {
    with_home(|home| {
        home.create("demo", TWO);
        let endpoint = home.view("demo")["endpoint"].clone();
        kill_9(scheduler(home, "demo"));
        until("another scheduler", || {
            let view = home.view("demo");
            (view["phase"] == "Ready" && view["endpoint"] != endpoint).then_some(())
        });
        computes(home, "demo", 2);
        let events = home.ok(&["events", "demo"]);
        assert!(events.contains("SchedulerLost") && events.contains("results"), "{events}");
    });
}

#[test]
fn a_fork_server_that_is_killed_is_started_anew_and_no_worker_notices() {
    with_home(|home| {
        home.create("demo", TWO);
        let before = workers(home, "demo");
        kill_9(fork_server(home, home.host_of("demo")));
        home.ok(&["scale", "demo", "3"]);
        let after = workers(home, "demo");
        assert!(before.iter().all(|worker| after.contains(worker)), "{before:?} live on: {after:?}");
        computes(home, "demo", 3);
    });
}

/// The Python process that is a host's first child.
fn fork_server(home: &Home, host: Pid) -> Pid {
    let host = host.as_raw_nonzero().get();
    let parent = |pid: i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let children = home.processes().into_iter().filter(|(pid, _)| parent(*pid) == Some(host));
    let first = children.filter(|(_, command)| command.contains("crewcall_fork_server")).map(|(pid, _)| pid);
    Pid::from_raw(first.min().expect("a fork server")).unwrap()
}

#[test]
fn a_command_that_is_killed_while_it_creates_leaves_a_cluster_that_is_looked_after() {
    with_home(|home| {
        let document = home.document("demo", TWO);
        let arguments = ["create", "-f", document.to_str().unwrap()];
        let mut creating = start(home.crewcall(&arguments));
        creating.until_printed("starting ");
        kill_9(creating.pid());
        assert_eq!(creating.end().signal(), Some(9));
        home.ok(&arguments);
        computes(home, "demo", 2);
    });
}

#[test]
fn ctrl_c_ends_the_wait_and_says_that_the_cluster_goes_on() {
    with_home(|home| {
        let document = home.document("demo", TWO);
        let mut creating = start(home.crewcall(&["create", "-f", document.to_str().unwrap()]));
        creating.until_printed("starting ");
        kill_process(creating.pid(), Signal::INT).unwrap();
        let said = creating.end().fails(130);
        assert!(said.contains("interrupted: cluster demo goes on being prepared"), "{said}");
        assert!(said.contains("once it is listed, `crewcall delete demo` ends it"), "{said}");
        until("the cluster that goes on being created", || {
            let outcome = home.run(&["get", "demo", "-o", "json"]);
            (outcome.code == Some(0) && outcome.stdout.contains("\"phase\": \"Ready\"")).then_some(())
        });
        computes(home, "demo", 2);
    });
}

#[test]
fn a_controller_that_is_killed_again_and_again_leaves_nothing_and_doubles_nothing() {
    with_home(|home| {
        let document = home.document("demo", TWO);
        let mut creating = start(home.crewcall(&["create", "-f", document.to_str().unwrap()]));
        let (mut lines, mut deaths) = (0, 0);
        while deaths < 5 {
            let more = until("news of the create", || {
                let now = creating.stderr().lines().count();
                (now > lines || creating.has_ended()).then_some(now)
            });
            if creating.has_ended() {
                break;
            }
            lines = more;
            if let Some(controller) = home.controller() {
                kill_9(controller);
                deaths += 1;
            }
        }
        assert!(deaths >= 2, "it was over after {deaths} deaths");
        drop(creating.end());
        home.ok(&["create", "-f", document.to_str().unwrap()]);
        computes(home, "demo", 2);
        home.host_of("demo");
    });
}
