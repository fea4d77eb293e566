//! An ordinary user who may not do something is told what, and nothing half-made is left.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::geteuid;

use crate::harness::{Home, below, run, with_home};

/// Nobody in particular.
const NOBODY: u32 = 65534;

/// The program under test as an ordinary user: this one, or nobody where this is root.
struct Ordinary<'a> {
    home: &'a Home,
    program: PathBuf,
}

impl<'a> Ordinary<'a> {
    fn new(home: &'a Home) -> Self {
        // Where it was built may be closed to others.
        let program = home.path("crewcall");
        fs::copy(env!("CARGO_BIN_EXE_crewcall"), &program).unwrap();
        if geteuid().is_root() {
            fs::set_permissions(home.path(""), Permissions::from_mode(0o755)).unwrap();
            for name in ["home", "run", "state", "cache", "tmp", "work"] {
                chown(home.path(name), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        Self { home, program }
    }

    fn create(&self, document: &Path) -> Command {
        let mut command = if geteuid().is_root() {
            let id = NOBODY.to_string();
            let mut command = self.home.program("setpriv");
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(&self.program);
            command
        } else {
            self.home.program(&self.program)
        };
        command.args(["create", "-f"]).arg(document);
        command
    }

    /// What it says about something that it may not do; nothing is left of the attempt.
    fn refused(&self, command: Command, code: i32, parts: &[&str]) {
        let said = run(command).fails(code);
        for part in parts {
            assert!(said.contains(part), "no `{part}` in: {said}");
        }
        eprintln!("{said}");
        self.home.nothing_is_left();
        for directory in ["state/clusters", "state/hosts", "run"] {
            let mut left = below(&self.home.path(directory));
            // Since when the store is there.
            left.retain(|path| !path.ends_with(".since"));
            assert!(left.is_empty(), "{directory} after: {said}\n{left:?}");
        }
    }
}

const ONE: &str = "workers: {replicas: 1, memory: 1GiB}";

/// A directory in which nothing can be made.
fn closed(home: &Home) -> PathBuf {
    let closed = home.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).unwrap();
    closed
}

#[test]
fn directories_in_which_nothing_can_be_made_are_named() {
    with_home(|home| {
        let (user, closed) = (Ordinary::new(home), closed(home));
        let document = home.document("demo", ONE);
        for variable in ["CREWCALL_STATE_DIR", "CREWCALL_RUNTIME_DIR"] {
            let mut command = user.create(&document);
            command.env(variable, closed.join("mine"));
            user.refused(command, 9, &["/closed", "Permission denied", "hint: "]);
        }
        fs::set_permissions(closed, Permissions::from_mode(0o755)).unwrap();
    });
}

#[test]
fn a_state_directory_that_its_owner_cannot_enter_is_named() {
    with_home(|home| {
        let user = Ordinary::new(home);
        let document = home.document("demo", ONE);
        fs::set_permissions(home.path("state"), Permissions::from_mode(0o000)).unwrap();
        user.refused(user.create(&document), 9, &["/state", "its owner may not use it", "chmod u+rwx"]);
        fs::set_permissions(home.path("state"), Permissions::from_mode(0o700)).unwrap();
    });
}

#[test]
fn a_document_that_may_not_be_read_is_named() {
    with_home(|home| {
        let user = Ordinary::new(home);
        let document = home.document("demo", ONE);
        fs::set_permissions(&document, Permissions::from_mode(0o000)).unwrap();
        user.refused(user.create(&document), 3, &["demo.yaml", "you may not read it"]);
    });
}

#[test]
fn an_interpreter_that_may_not_be_run_is_named() {
    with_home(|home| {
        let user = Ordinary::new(home);
        let python = home.write("python", "#!/bin/sh\n");
        fs::set_permissions(&python, Permissions::from_mode(0o600)).unwrap();
        let spec = format!("{ONE}\n  environment: {{interpreter: python}}");
        user.refused(user.create(&home.document("demo", &spec)), 7, &["work/python", "hint: "]);
    });
}
