//! How a controller comes and goes.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    time::{Duration, Instant},
};

use crewcall::{
    api::{
        Clusters as _,
        process::{ConnectError, connect_or_start},
    },
    store::ControllerLock,
};
use futures_util::future::join_all;
use rustix::process::Signal;

use super::support::{Home, VERSION, controllers, ended, eventually, signal};

#[tokio::test]
async fn the_first_command_starts_a_controller_and_the_next_finds_it() {
    let home = Home::new();
    assert!(home.connect().await.is_none());
    let client = home.start().await;
    let status = client.status().await.unwrap();
    assert_eq!((status.version.as_str(), status.clusters), (VERSION, 0));
    assert_eq!(status.state_directory, home.path("state"));
    assert_eq!(status.runtime_directory, home.path("run"));
    assert_eq!(fs::metadata(&status.socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(home.connect().await.unwrap().hello().pid, status.pid);
    assert_eq!(home.start().await.hello().pid, status.pid);
    assert!(home.log().contains("listening at"), "{}", home.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commands_that_start_one_at_once_share_it() {
    let home = Home::new();
    let clients = join_all((0..8).map(|_| home.start())).await;
    let pids: BTreeSet<u32> = clients.iter().map(|client| client.hello().pid).collect();
    assert_eq!(pids.len(), 1, "{}", home.log());
    let directory = home.path("");
    eventually("one controller alone", || async { controllers(&directory).len() == 1 }).await;
}

#[tokio::test]
async fn a_controller_keeps_nothing_of_the_terminal_it_was_started_from() {
    let home = Home::new().with("LC_ALL", "C.UTF-8");
    let pid = home.start().await.hello().pid;
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let names: BTreeSet<&str> =
        environment.split('\0').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name).collect();
    let expected = [
        "CREWCALL_CACHE_DIR",
        "CREWCALL_CONTROLLER_LINGER",
        "CREWCALL_RUNTIME_DIR",
        "CREWCALL_STATE_DIR",
        "HOME",
        "LC_ALL",
        "PATH",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
    assert_eq!(link("cwd").to_str(), Some("/"));
    assert_eq!(link("fd/0").to_str(), Some("/dev/null"));
    eventually("its standard output let go", || async { link("fd/1").to_str() == Some("/dev/null") }).await;
    assert_eq!(link("fd/2"), home.locations().log());
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, pid.to_string(), "it leads a session of its own");
}

#[tokio::test]
async fn a_controller_keeps_no_file_of_whoever_started_it() {
    let home = Home::new();
    let held = home.path("held");
    let mut launcher = home.launcher();
    let script = format!("exec 9>{}; exec {} __controller", held.display(), launcher.program.display());
    launcher.program = "/bin/sh".into();
    launcher.arguments = vec!["-c".into(), script.into()];
    let client = connect_or_start(&home.locations(), &launcher).await.unwrap();
    assert!(held.exists());
    let open = fs::read_dir(format!("/proc/{}/fd", client.hello().pid)).unwrap().flatten();
    let open: Vec<_> = open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    assert!(open.contains(&home.locations().log()), "the files can be seen: {open:?}");
    assert!(!open.contains(&held), "{open:?}");
}

#[tokio::test]
async fn a_socket_that_vanished_is_made_again_by_the_same_controller() {
    let home = Home::new();
    let status = home.start().await.status().await.unwrap();
    fs::remove_file(&status.socket).unwrap();
    let client = home.connect().await.unwrap();
    assert_eq!(client.status().await.unwrap(), status);
}

#[tokio::test]
async fn a_runtime_directory_that_vanished_is_made_again_by_the_same_controller() {
    let home = Home::new();
    let status = home.start().await.status().await.unwrap();
    fs::remove_dir_all(home.path("run")).unwrap();
    let client = home.start().await;
    assert_eq!(client.status().await.unwrap(), status);
}

#[tokio::test]
async fn after_a_logout_a_new_controller_has_its_socket_elsewhere() {
    let home = Home::new().without("CREWCALL_RUNTIME_DIR");
    let (session, temporary) = (home.path("session"), home.path("tmp"));
    fs::create_dir(&session).unwrap();
    fs::create_dir(&temporary).unwrap();
    let home = home.with("XDG_RUNTIME_DIR", &session).with("TMPDIR", &temporary);
    let before = home.start().await.status().await.unwrap();
    assert_eq!(before.runtime_directory, session.join("crewcall"));
    fs::remove_dir_all(&session).unwrap();
    let after = home.start().await.status().await.unwrap();
    assert!(after.socket.starts_with(&temporary), "{}", after.socket.display());
    assert_ne!(after.pid, before.pid);
    ended(before.pid).await;
}

#[tokio::test]
async fn a_killed_controller_is_replaced_and_its_leftovers_with_it() {
    let home = Home::new();
    let before = home.start().await.status().await.unwrap();
    signal(before.pid, Signal::KILL);
    ended(before.pid).await;
    assert!(before.socket.exists(), "a stale socket is what this is about");
    assert!(home.connect().await.is_none());
    let after = home.start().await.status().await.unwrap();
    assert_ne!(after.pid, before.pid);
    assert_eq!(after.socket, before.socket);
}

#[tokio::test]
async fn a_controller_with_nothing_to_look_after_ends_and_leaves_nothing_behind() {
    let home = Home::new().with("CREWCALL_CONTROLLER_LINGER", "0.3");
    let status = home.start().await.status().await.unwrap();
    ended(status.pid).await;
    assert_eq!(fs::read_dir(home.path("run")).unwrap().count(), 0);
    let machine = crewcall::provider::machine_id();
    assert_eq!(ControllerLock::read_info(&home.path("state"), &machine), None);
    assert!(home.log().contains("ending: there is nothing to do"), "{}", home.log());
}

#[tokio::test]
async fn requests_keep_a_controller_from_ending() {
    let home = Home::new().with("CREWCALL_CONTROLLER_LINGER", "1");
    let client = home.start().await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        client.list().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(client.status().await.unwrap().pid, client.hello().pid);
}

#[tokio::test]
async fn a_controller_ends_when_it_is_asked_to() {
    let home = Home::new();
    let client = home.start().await;
    client.stop().await.unwrap();
    assert!(home.connect().await.is_none());
    assert!(controllers(&home.path("")).is_empty());
    assert!(home.log().contains("ending: a client asked for it"), "{}", home.log());
    client.stop().await.expect("to stop what has ended is no error");
}

#[tokio::test]
async fn a_controller_ends_cleanly_when_the_machine_shuts_down() {
    let home = Home::new();
    let status = home.start().await.status().await.unwrap();
    signal(status.pid, Signal::TERM);
    ended(status.pid).await;
    assert!(!status.socket.exists());
    assert!(home.log().contains("SIGTERM"), "{}", home.log());
}

#[tokio::test]
async fn a_controller_whose_state_directory_was_deleted_gives_way() {
    let home = Home::new();
    let before = home.start().await.hello().pid;
    fs::remove_dir_all(home.path("state")).unwrap();
    let after = home.start().await;
    assert_ne!(after.hello().pid, before);
    ended(before).await;
    after.status().await.expect("its end leaves the successor's socket alone");
}

#[tokio::test]
async fn an_older_controller_is_replaced() {
    let home = Home::new();
    let old = connect_or_start(&home.locations(), &home.launcher_of("0.0.9")).await.unwrap();
    assert_eq!(old.hello().version, "0.0.9");
    let new = home.start().await;
    assert_eq!(new.hello().version, VERSION);
    assert_eq!(controllers(&home.path("")), [new.hello().pid]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn newer_commands_at_once_replace_an_older_controller_once() {
    let home = Home::new();
    let old = connect_or_start(&home.locations(), &home.launcher_of("0.0.9")).await.unwrap();
    let clients = join_all((0..6).map(|_| home.start())).await;
    let pids: BTreeSet<u32> = clients.iter().map(|client| client.hello().pid).collect();
    assert_eq!(pids.len(), 1, "{}", home.log());
    assert!(!pids.contains(&old.hello().pid));
}

#[tokio::test]
async fn a_newer_controller_that_speaks_the_same_is_used() {
    let home = Home::new();
    let newer = connect_or_start(&home.locations(), &home.launcher_of("99.0.0")).await.unwrap();
    assert_eq!(home.start().await.hello(), newer.hello());
}

#[tokio::test]
async fn a_program_that_is_no_controller_is_named_with_what_it_printed() {
    let home = Home::new();
    let mut launcher = home.launcher();
    launcher.program = "/bin/sh".into();
    launcher.arguments = vec!["-c".into(), "echo no such option >&2; exit 3".into()];
    let error = connect_or_start(&home.locations(), &launcher).await.unwrap_err();
    assert!(matches!(error, ConnectError::Ended { .. }));
    assert_eq!(
        error.to_string(),
        "the controller ended while it was starting (exit status: 3)\n  no such option"
    );
    launcher.program = home.path("nothing");
    let error = connect_or_start(&home.locations(), &launcher).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot start the controller "), "{error}");
}

#[tokio::test]
async fn somebody_elses_listener_at_the_socket_is_not_taken_for_the_controller() {
    let home = Home::new();
    let status = home.start().await.status().await.unwrap();
    fs::remove_file(&status.socket).unwrap();
    // A program of the same person that accepts and says nothing sensible.
    let squatter = UnixListener::bind(&status.socket).unwrap();
    let answering = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut stream, _) = squatter.accept().unwrap();
        stream.write_all(b"220 smtp ready\r\n").unwrap();
        drop((stream, squatter));
    });
    assert_eq!(home.start().await.status().await.unwrap(), status);
    answering.join().unwrap();
}
