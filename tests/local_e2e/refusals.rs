//! What cannot work is refused, with a clear error, and leaves nothing half-made.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    process::Command,
};

use crate::{
    disk::TinyDisk,
    harness::{Home, run, skipped, until, with_home},
    reading::redacted,
};

const ONE: &str = "workers: {replicas: 1, memory: 1GiB}";

/// What a create says that must fail with that code, and leave nothing.
fn refused(home: &Home, code: i32, command: Command) -> String {
    let said = run(command).fails(code);
    assert!(said.contains("hint: ") || said.contains("help: "), "no next step: {said}");
    assert!(home.ok(&["list", "-o", "name"]).is_empty());
    home.nothing_is_left();
    redacted(home, &said)
}

fn create(home: &Home, spec: &str) -> Command {
    let document = home.document("demo", spec);
    home.crewcall(&["create", "-f", document.to_str().unwrap()])
}

#[test]
fn without_python_nothing_is_created() {
    with_home(|home| {
        let mut command = create(home, ONE);
        command.env("PATH", home.path("nowhere"));
        insta::assert_snapshot!("no_python", refused(home, 7, command));
    });
}

#[test]
fn an_interpreter_without_dask_is_refused() {
    with_home(|home| {
        let mut venv = home.program(home.interpreter());
        venv.args(["-m", "venv", "--without-pip"]).arg(home.path("bare"));
        run(venv).ok();
        let named =
            format!("{ONE}\n  environment: {{interpreter: {}}}", home.path("bare/bin/python").display());
        insta::assert_snapshot!("no_dask", refused(home, 7, create(home, &named)));
        let mut active = create(home, ONE);
        active.env("VIRTUAL_ENV", home.path("bare"));
        insta::assert_snapshot!("no_dask_in_the_active_environment", refused(home, 7, active));
        let missing = format!("{ONE}\n  environment: {{interpreter: not/there}}");
        insta::assert_snapshot!("no_interpreter", refused(home, 7, create(home, &missing)));
    });
}

#[test]
fn a_package_that_does_not_exist_is_refused_in_the_installers_words() {
    with_home(|home| {
        // An index without packages: an empty directory.
        fs::create_dir(home.path("index")).unwrap();
        let spec = format!("{ONE}\n  environment: {{packages: [\"crewcall-no-such-package==1.0\"]}}");
        let mut command = create(home, &spec);
        command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", home.path("index"));
        command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        let said = refused(home, 7, command);
        assert!(said.contains("crewcall-no-such-package"), "{said}");
        assert!(said.contains("No matching distribution found"), "pip's own words: {said}");
        assert!(!home.path("cache/environments").join("x").exists());
        let built: Vec<_> = crate::harness::below(&home.path("cache/environments"))
            .into_iter()
            .filter(|path| path.ends_with("bin/python"))
            .collect();
        assert!(built.is_empty(), "a failed build is removed: {built:?}");
        insta::assert_snapshot!("no_such_package", said);
    });
}

#[test]
fn a_document_that_cannot_be_is_refused_before_anything_is_started() {
    with_home(|home| {
        let little = "workers: {replicas: 1, memory: 64MiB}";
        insta::assert_snapshot!("too_little_memory", refused(home, 3, create(home, little)));
        let elsewhere = "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {name: demo}\n\
                         spec:\n  provider: {ec2: {}}\n";
        let document = home.write("ec2.yaml", elsewhere);
        let command = home.crewcall(&["create", "-f", document.to_str().unwrap()]);
        let (code, name) = if cfg!(feature = "ec2") { (2, "no_region") } else { (5, "other_provider") };
        insta::assert_snapshot!(name, refused(home, code, command));
    });
}

#[test]
fn a_name_that_is_taken_is_refused_with_what_differs() {
    with_home(|home| {
        home.create("demo", ONE);
        let said = run(create(home, &format!("{ONE}\n  tls: false"))).fails(5);
        insta::assert_snapshot!("name_taken", redacted(home, &said));
        crate::clients::computes(home, "demo", 1);
    });
}

#[test]
fn a_state_directory_of_somebody_else_is_refused() {
    with_home(|home| {
        let state = home.path("state");
        fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
        let said = run(create(home, ONE)).fails(9);
        insta::assert_snapshot!("state_open_to_others", redacted(home, &said));
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
        if !rustix::process::geteuid().is_root() {
            return skipped("only root can give a directory away");
        }
        chown(&state, Some(65534), Some(65534)).unwrap();
        let said = run(create(home, ONE)).fails(9);
        chown(&state, Some(0), Some(0)).unwrap();
        insta::assert_snapshot!("state_of_somebody_else", redacted(home, &said));
    });
}

#[test]
fn a_state_directory_that_cannot_be_made_is_refused() {
    with_home(|home| {
        home.write("file", "");
        let mut command = create(home, ONE);
        command.env("CREWCALL_STATE_DIR", home.path("work/file/state"));
        let said = run(command).fails(9);
        insta::assert_snapshot!("state_cannot_be_made", redacted(home, &said));
    });
}

#[test]
fn a_record_that_cannot_be_read_is_named_and_not_overwritten() {
    with_home(|home| {
        home.create("demo", ONE);
        home.ok(&["delete", "demo"]);
        let folder = home.path("state/clusters/demo");
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(folder.join("record.json"), "{\"format\": 1, \"revi").unwrap();
        let listed = home.run(&["list"]);
        insta::assert_snapshot!(
            "unreadable_listed",
            redacted(home, &format!("{}{}", listed.stdout, listed.stderr))
        );
        let said = run(create(home, ONE));
        assert_eq!(said.code, Some(1), "{}", said.stderr);
        insta::assert_snapshot!("unreadable_created", redacted(home, &said.stderr));
        assert_eq!(fs::read_to_string(folder.join("record.json")).unwrap(), "{\"format\": 1, \"revi");
        fs::remove_dir_all(&folder).unwrap();
    });
}

#[test]
fn a_full_disk_is_said_and_nothing_half_made_is_left() {
    with_home(|home| {
        let state = home.path("state");
        let Some(_disk) = TinyDisk::mount(&state, "256k") else { return };
        home.create("demo", ONE);
        home.ok(&["delete", "demo"]);
        home.nothing_is_left();
        let fill = fs::write(state.join("filler"), vec![0; 1 << 20]);
        assert!(fill.is_err(), "the disk is full");
        let outcome = run(create(home, ONE));
        assert_ne!(outcome.code, Some(0));
        assert!(outcome.stderr.contains("No space left on device"), "{}", outcome.stderr);
        insta::assert_snapshot!("disk_full", redacted(home, &outcome.stderr));
        fs::remove_file(state.join("filler")).unwrap();
        home.nothing_is_left();
        home.create("demo", ONE);
        crate::clients::computes(home, "demo", 1);
        home.ok(&["delete", "demo"]);
        home.nothing_is_left();
    });
}

#[test]
fn a_disk_that_fills_up_under_a_controller_refuses_what_is_new_and_keeps_what_runs() {
    with_home(|home| {
        let state = home.path("state");
        let Some(_disk) = TinyDisk::mount(&state, "256k") else { return };
        home.create("demo", ONE);
        until("the spare is there", || (home.hosts().len() == 2).then_some(()));
        let _full = fs::write(state.join("filler"), vec![0; 1 << 20]);
        let document = home.document("second", ONE);
        let outcome = home.run(&["create", "-f", document.to_str().unwrap()]);
        assert_ne!(outcome.code, Some(0));
        assert!(outcome.stderr.contains("No space left on device"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("\nhint: "), "{}", outcome.stderr);
        insta::assert_snapshot!("disk_full_later", redacted(home, &outcome.stderr));
        assert_eq!(home.ok(&["list", "-o", "name"]), "demo\n");
        crate::clients::computes(home, "demo", 1);
        fs::remove_file(state.join("filler")).unwrap();
        home.ok(&["delete", "--all"]);
        home.nothing_is_left();
    });
}
