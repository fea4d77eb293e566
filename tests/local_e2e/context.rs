//! Who asks, from where, on which machine.

use std::{fs, path::PathBuf};

use crate::{
    clients::{computes, workers},
    harness::{Home, kill_9, run, start, until, with_home},
};

const ONE: &str = "workers: {replicas: 1, memory: 1GiB}";

/// Another interpreter with the same packages, less one that is of another version there.
fn other_interpreter(home: &Home) -> PathBuf {
    let directory = home.path("other");
    let mut venv = home.program(home.interpreter());
    venv.args(["-m", "venv", "--without-pip", "--symlinks"]).arg(&directory);
    run(venv).ok();
    let python = directory.join("bin/python3");
    let site = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let site_of = |python: &std::path::Path| {
        let mut command = home.program(python);
        command.args(["-c", site]);
        PathBuf::from(run(command).ok().trim())
    };
    let (theirs, own) = (site_of(home.interpreter()), site_of(&python));
    fs::write(own.join("shared.pth"), format!("{}\n", theirs.display())).unwrap();
    let metadata = own.join("toolz-0.0.1.dist-info");
    fs::create_dir(&metadata).unwrap();
    fs::write(metadata.join("METADATA"), "Metadata-Version: 2.1\nName: toolz\nVersion: 0.0.1\n").unwrap();
    python
}

const WHERE: &str = "
from dask.distributed import Client
def seen():
    import os, sys, neighbour
    return sys.executable, os.getcwd(), os.environ.get('MINE'), neighbour.NAME
print(*Client().submit(seen).result(), sep='|')
";

#[test]
fn two_terminals_have_clusters_each_with_its_own_interpreter_directory_and_variables() {
    with_home(|home| {
        let other = other_interpreter(home);
        let terminals = [("first", home.interpreter().with_file_name("python3")), ("second", other)].map(
            |(name, python)| {
                home.write(&format!("{name}/neighbour.py"), &format!("NAME = '{name}'\n"));
                let document = home.document(name, ONE);
                let at = move |mut command: std::process::Command| {
                    command.current_dir(home.path("work").join(name)).env("MINE", name);
                    let path = format!("{}:/usr/bin:/bin", python.parent().unwrap().display());
                    command.env("PATH", path);
                    command
                };
                run(at(home.crewcall(&["create", "-f", document.to_str().unwrap()]))).ok();
                (name, at)
            },
        );
        for (name, at) in terminals {
            let printed = run(at(home.client(name, WHERE))).ok();
            let seen: Vec<&str> = printed.trim().split('|').collect();
            let interpreter = home.view(name)["interpreter"]["path"].as_str().unwrap().to_owned();
            assert_eq!(seen[1..], [home.path("work").join(name).to_str().unwrap(), name, name]);
            assert_eq!(fs::canonicalize(seen[0]).unwrap(), fs::canonicalize(&interpreter).unwrap());
            assert_eq!(PathBuf::from(seen[0]).parent(), PathBuf::from(&interpreter).parent(), "{name}");
        }
    });
}

#[test]
fn software_that_differs_between_client_and_cluster_is_named() {
    with_home(|home| {
        let other = other_interpreter(home);
        let spec = format!("{ONE}\n  environment: {{interpreter: {}}}", other.display());
        home.create("demo", &spec);
        let condition = home.until_condition("demo", "EnvironmentMatched", "False");
        let message = condition["message"].as_str().unwrap();
        assert!(message.contains("toolz") && message.contains("0.0.1"), "{message}");
        assert!(!message.contains("distributed"), "only what differs: {message}");
        computes(home, "demo", 1);
    });
}

#[test]
fn a_cluster_survives_the_loss_of_its_controllers_socket() {
    with_home(|home| {
        home.create("demo", ONE);
        let controller = home.controller().unwrap();
        for entry in fs::read_dir(home.path("run")).unwrap().flatten() {
            if entry.file_name().to_str().unwrap().starts_with("c-") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        home.ok(&["scale", "demo", "2"]);
        assert_eq!(home.controller(), Some(controller), "the same one listens anew");
        computes(home, "demo", 2);
    });
}

#[test]
fn a_cluster_survives_the_loss_of_the_runtime_directory_as_at_a_logout() {
    with_home(|home| {
        home.create("demo", ONE);
        let before = workers(home, "demo");
        fs::remove_dir_all(home.path("run")).unwrap();
        home.ok(&["scale", "demo", "2"]);
        // And once more, with nobody connected to the host.
        kill_9(home.controller().unwrap());
        fs::remove_dir_all(home.path("run")).unwrap();
        home.ok(&["scale", "demo", "3"]);
        assert!(workers(home, "demo").contains(&before[0]));
        computes(home, "demo", 3);
    });
}

/// Changes a cluster's record while no controller runs.
fn rewrite(home: &Home, field: &str, value: &str) {
    home.ok(&["controller", "stop"]);
    let path = home.path("state/clusters/demo/record.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(record["wanted"][field].is_string(), "{record}");
    record["wanted"][field] = value.into();
    fs::write(&path, serde_json::to_vec_pretty(&record).unwrap()).unwrap();
}

#[test]
fn the_cluster_of_another_machine_is_listed_and_never_touched() {
    with_home(|home| {
        home.create("demo", ONE);
        home.ok(&["scale", "demo", "0"]);
        home.ok(&["controller", "stop"]);
        let path = home.path("state/clusters/demo/record.json");
        let original = fs::read(&path).unwrap();
        rewrite(home, "machine", "feedfacefeedfacefeedfacefeedface");
        let foreign = fs::read(&path).unwrap();

        let listed = home.ok(&["list"]);
        assert!(listed.contains("Elsewhere"), "{listed}");
        for arguments in [&["delete", "demo"][..], &["scale", "demo", "2"]] {
            let said = home.run(arguments).fails(5);
            assert!(said.contains("another machine") && said.contains("hint: "), "{said}");
        }
        let document = home.document("demo", ONE);
        let said = home.run(&["create", "-f", document.to_str().unwrap()]).fails(5);
        assert!(said.contains("another machine"), "{said}");
        assert_eq!(fs::read(&path).unwrap(), foreign, "its record is as it was");

        home.ok(&["controller", "stop"]);
        fs::write(&path, original).unwrap();
        home.ok(&["scale", "demo", "1"]);
        computes(home, "demo", 1);
    });
}

#[test]
fn after_a_reboot_a_cluster_is_lost_and_can_be_created_again_or_deleted() {
    with_home(|home| {
        for delete in [false, true] {
            home.create("demo", ONE);
            kill_9(home.host_of("demo"));
            rewrite(home, "boot", "00000000-0000-0000-0000-000000000000");
            let listed = home.ok(&["list"]);
            assert!(listed.contains("Lost"), "{listed}");
            let events = home.ok(&["events", "demo"]);
            assert!(events.contains("the machine was restarted"), "{events}");
            let said = home.run(&["scale", "demo", "2"]).fails(5);
            assert!(said.contains("restarted"), "{said}");
            if delete {
                home.ok(&["delete", "demo"]);
                assert!(home.ok(&["list", "-o", "name"]).is_empty());
            } else {
                home.create("demo", ONE);
                computes(home, "demo", 1);
            }
        }
    });
}

#[test]
fn a_newer_program_replaces_the_controller_and_clusters_live_on() {
    with_home(|home| {
        home.create("demo", ONE);
        let before = workers(home, "demo");
        home.ok(&["controller", "stop"]);
        let old = start(home.crewcall(&["__controller", "--as-version", "0.0.1"]));
        let pid = until("the old controller", || home.controller());
        assert_eq!(pid, old.pid());
        home.create("demo", "workers: {replicas: 2, memory: 1GiB}");
        assert_ne!(home.controller(), Some(pid));
        assert_eq!(old.end().code, Some(0));
        assert!(workers(home, "demo").contains(&before[0]));
        computes(home, "demo", 2);
    });
}
