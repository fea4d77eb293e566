//! The host process by itself: whom it serves, and when it ends.
#![cfg(all(feature = "local", target_os = "linux"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "conformance/observing.rs"]
mod observing;
#[path = "local/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use support::{World, is_running};

const ID: &str = "0123456789abcdef0123456789abcdef";

/// A host whose "Python" is a program that does nothing: these tests are not about Dask.
struct Host {
    world: World,
    process: Child,
    socket: PathBuf,
}

impl Host {
    fn start(interpreter: &str, spare_life: Duration) -> Self {
        let world = World::new(interpreter.into());
        let directories = world.directories();
        // As whoever starts it may have it: with a file more than the usual three.
        let script = format!("exec 9>{}; exec \"$@\"", world.root.path().join("held").display());
        let mut process = Command::new("/bin/sh")
            .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_crewcall"), "__host"])
            .args([&"--state".into(), &directories.state, &"--runtime".into(), &directories.runtime])
            .args(["--id", ID, "--interpreter", interpreter, "--fork-server", "600"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let start = json!({"environment": {}, "spareLife": spare_life, "machine": "m", "boot": "b"});
        writeln!(process.stdin.take().unwrap(), "{start}").unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let socket = said["listening"].as_str().unwrap_or_else(|| panic!("{said}")).into();
        Self { world, process, socket }
    }

    fn connect(&self) -> Controller {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        Controller { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }
}

struct Controller {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Controller {
    fn send(&mut self, id: u64, request: &Value) {
        writeln!(self.stream, "{}", json!({"id": id, "request": request})).unwrap();
    }

    /// The next line; `None`: the host has closed the connection.
    fn receive(&mut self) -> Option<Value> {
        let mut line = String::new();
        let count = self.reader.read_line(&mut line).unwrap();
        (count > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    fn ask(&mut self, id: u64, request: &Value) -> Value {
        self.send(id, request);
        let reply = self.receive().unwrap();
        assert_eq!(reply["reply"]["id"], id, "{reply}");
        reply["reply"]["answer"].clone()
    }
}

fn hello() -> Value {
    json!({"hello": {"protocol": 1}})
}

#[test]
fn a_newer_controller_takes_the_place_of_an_older_one() {
    let mut host = Host::start("/bin/sleep", support::PATIENCE);
    let mut older = host.connect();
    assert_eq!(older.ask(1, &hello())["done"]["id"], ID);
    older.send(2, &json!("waitReady"));
    let mut newer = host.connect();
    // Not yet: it has not said who it is.
    newer.send(1, &json!("observe"));
    assert_eq!(older.ask(3, &json!("observe"))["done"], json!([]));
    assert_eq!(newer.ask(2, &hello())["done"]["protocol"], 1);
    assert_eq!(older.receive(), None);
    assert_eq!(newer.ask(3, &json!("observe"))["done"], json!([]));
    newer.ask(4, &json!("end"));
    assert!(host.process.wait().unwrap().success());
}

#[test]
fn a_request_of_a_later_protocol_is_answered_and_changes_nothing() {
    let host = Host::start("/bin/sleep", support::PATIENCE);
    let mut controller = host.connect();
    controller.ask(1, &json!({"hello": {"protocol": 7, "colour": "blue"}}));
    let answer = controller.ask(2, &json!({"fly": {"height": 3}}));
    assert_eq!(answer["failed"]["kind"], "Invalid");
    assert!(answer["failed"]["message"].as_str().unwrap().contains("protocol 1"), "{answer}");
    assert_eq!(controller.ask(3, &json!("observe"))["done"], json!([]));
}

#[test]
fn a_spare_ends_a_while_after_its_controller_and_leaves_nothing() {
    let mut host = Host::start("/bin/sleep", Duration::from_millis(300));
    let mut controller = host.connect();
    controller.ask(1, &hello());
    let marked = host.world.marked();
    assert_eq!(marked.len(), 1, "the fork server");
    drop(controller);
    assert!(host.process.wait().unwrap().success());
    assert!(!is_running(marked[0]));
    assert!(!host.socket.exists());
    assert!(host.world.host_directories().is_empty());
}

#[test]
fn neither_a_host_nor_what_it_starts_keeps_a_file_of_its_starter() {
    let host = Host::start("/bin/sleep", support::PATIENCE);
    let held = host.world.root.path().join("held");
    assert!(held.exists());
    let mut controller = host.connect();
    controller.ask(1, &hello());
    let marked = host.world.marked();
    assert_eq!(marked.len(), 1, "the fork server");
    for pid in [host.process.id().cast_signed(), marked[0]] {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let open: Vec<PathBuf> = open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect();
        assert!(open.len() >= 3 && !open.contains(&held), "{open:?}");
    }
}

#[test]
fn an_interpreter_that_ends_at_once_is_given_up_with_its_last_words() {
    let host = Host::start("/bin/false", support::PATIENCE);
    let mut controller = host.connect();
    controller.ask(1, &hello());
    let answer = controller.ask(2, &json!("waitReady"));
    let error = answer["done"]["unusable"]["error"].as_str().unwrap();
    assert!(error.contains("/bin/false ended with exit code 1"), "{error}");
}

#[test]
fn a_second_host_of_the_same_id_does_not_start() {
    let host = Host::start("/bin/sleep", support::PATIENCE);
    let directories = host.world.directories();
    let mut second = Command::new(env!("CARGO_BIN_EXE_crewcall"))
        .arg("__host")
        .args([&"--state".into(), &directories.state, &"--runtime".into(), &directories.runtime])
        .args(["--id", ID, "--interpreter", "/bin/sleep", "--fork-server", "600"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(
        second.stdin.take().unwrap(),
        "{}",
        json!({"environment": {}, "spareLife": support::PATIENCE, "machine": "m", "boot": "b"})
    )
    .unwrap();
    let output = second.wait_with_output().unwrap();
    assert!(!output.status.success());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["failed"]["message"].as_str().unwrap().contains("runs already"), "{said}");
    assert_eq!(host.connect().ask(1, &hello())["done"]["id"], ID);
}
