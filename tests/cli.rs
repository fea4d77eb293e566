//! The real program, as a person or a script meets it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

const VERBS: [&[&str]; 22] = [
    &[],
    &["create"],
    &["list"],
    &["get"],
    &["describe"],
    &["events"],
    &["logs"],
    &["scale"],
    &["run"],
    &["env"],
    &["dashboard"],
    &["delete"],
    &["doctor"],
    &["gc"],
    &["schema"],
    &["completions"],
    &["man"],
    &["controller"],
    &["controller", "status"],
    &["controller", "stop"],
    &["controller", "logs"],
    &["operator"],
];

/// A person with directories of their own and no cluster.
struct Person {
    root: tempfile::TempDir,
}

impl Person {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.root.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crewcall"));
        command.args(words).current_dir(self.root.path()).stdin(Stdio::null());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("COLUMNS", "100");
        for (variable, folder) in
            [("CREWCALL_STATE_DIR", "s"), ("CREWCALL_RUNTIME_DIR", "r"), ("CREWCALL_CACHE_DIR", "c")]
        {
            command.env(variable, self.root.path().join(folder));
        }
        // A controller that is started on the way ends soon after.
        command.env("CREWCALL_CONTROLLER_LINGER", "1");
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        Ran::new(&self.command(words).output().unwrap())
    }

    fn has_started_nothing(&self) -> bool {
        !self.root.path().join("s").exists()
    }
}

#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

const DOCUMENT: &str = "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {name: demo}\n\
                        spec:\n  provider: {local: {}}\n  workers: {replicas: 1}\n";

#[test]
fn the_help_of_every_verb_is_as_it_was_read() {
    let person = Person::new();
    for verb in VERBS {
        let help = person.run(&[verb, &["--help"]].concat());
        assert_eq!((help.code, help.err.as_str()), (0, ""), "{verb:?}");
        insta::assert_snapshot!(format!("help-{}", [&["crewcall"], verb].concat().join("-")), help.out);
    }
}

#[test]
fn a_misspelt_verb_or_option_is_a_usage_error_with_a_suggestion() {
    let person = Person::new();
    let verb = person.run(&["creat", "-f", "x.yaml"]);
    assert_eq!((verb.code, verb.out.as_str()), (2, ""));
    assert!(verb.err.contains("'create'"), "{}", verb.err);
    let option = person.run(&["create", "--no-wiat", "-f", "x.yaml"]);
    assert_eq!(option.code, 2);
    assert!(option.err.contains("'--no-wait'"), "{}", option.err);
}

#[test]
fn a_name_that_cannot_be_one_is_a_usage_error_that_says_why() {
    let ran = Person::new().run(&["get", "My_Cluster"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("the cluster name `My_Cluster` contains `M`"), "{}", ran.err);
}

#[test]
fn a_missing_document_ends_with_3_and_offers_the_one_that_was_meant() {
    let person = Person::new();
    person.file("demo.yaml", DOCUMENT);
    let ran = person.run(&["create", "-f", "dmeo.yaml"]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert_eq!(
        ran.err,
        "error: cannot read the document dmeo.yaml: there is no such file\nhint: did you mean `demo.yaml`?\n"
    );
    assert!(person.has_started_nothing());
}

#[test]
fn a_bad_document_ends_with_3_and_shows_every_error_in_its_place() {
    let person = Person::new();
    let text = DOCUMENT.replace("replicas: 1", "replica: 1, memory: lots");
    let file = person.file("bad.yaml", &text);
    let ran = person.run(&["create", "-f", file.to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert!(ran.err.contains("bad.yaml:6:13") && ran.err.contains("bad.yaml:6:33"), "{}", ran.err);
    assert!(person.has_started_nothing());
}

#[test]
fn a_bad_document_from_standard_input_is_called_so() {
    let person = Person::new();
    let file = person.file("bad.yaml", "kind: [");
    let mut command = person.command(&["create", "-f", "-"]);
    let ran = Ran::new(&command.stdin(std::fs::File::open(file).unwrap()).output().unwrap());
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("at <stdin>:1:"), "{}", ran.err);
}

#[test]
fn a_cluster_that_is_not_there_ends_with_4() {
    let person = Person::new();
    for words in [
        &["get", "demo"][..],
        &["describe", "demo"],
        &["events", "demo"],
        &["logs", "demo"],
        &["scale", "demo", "3"],
        &["env", "demo"],
        &["run", "demo", "--", "true"],
        &["dashboard", "demo"],
        &["delete", "demo"],
    ] {
        let ran = person.run(words);
        assert_eq!((ran.code, ran.out.as_str()), (4, ""), "{words:?}: {}", ran.err);
        assert!(ran.err.starts_with("error: there is no cluster named demo\nhint: "), "{}", ran.err);
    }
    assert!(person.has_started_nothing(), "looking at nothing starts nothing");
}

#[test]
fn deleting_what_is_not_there_can_be_a_success() {
    let person = Person::new();
    let ran = person.run(&["delete", "a", "b", "--ignore-not-found"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let ran = person.run(&["delete", "a", "b"]);
    assert_eq!((ran.code, ran.err.matches("error: ").count()), (4, 2), "each is named: {}", ran.err);
    assert_eq!(person.run(&["delete", "--all"]).code, 0);
}

#[test]
fn an_empty_list_is_empty_in_every_format() {
    let person = Person::new();
    let table = person.run(&["list"]);
    assert_eq!((table.code, table.out.as_str()), (0, ""), "a script that counts lines counts none");
    assert!(table.err.starts_with("no clusters"), "{}", table.err);
    let json: Value = serde_json::from_str(&person.run(&["list", "-o", "json"]).out).unwrap();
    assert_eq!(json, Value::Array(Vec::new()));
    assert_eq!(person.run(&["ls", "-o", "yaml"]).out.trim(), "[]");
    assert_eq!(person.run(&["list", "-o", "name"]).out, "");
    assert_eq!(person.run(&["--quiet", "list"]).err, "");
}

#[test]
fn colour_is_for_whoever_asks_for_it() {
    let person = Person::new();
    let escapes = |ran: &Ran| ran.err.contains('\u{1b}');
    assert!(!escapes(&person.run(&["get", "demo"])));
    assert!(escapes(&person.run(&["--color", "always", "get", "demo"])));
    let with = |name: &str, value: &str, words: &[&str]| {
        Ran::new(&person.command(words).env(name, value).output().unwrap())
    };
    assert!(escapes(&with("CLICOLOR_FORCE", "1", &["get", "demo"])));
    assert!(!escapes(&with("NO_COLOR", "1", &["get", "demo"])));
    let both = person.command(&["get", "demo"]).env("NO_COLOR", "1").env("CLICOLOR_FORCE", "1").output();
    assert!(!escapes(&Ran::new(&both.unwrap())));
}

#[test]
fn another_context_needs_a_kubeconfig_and_is_not_for_verbs_about_this_machine() {
    let person = Person::new();
    let ran = person.run(&["--context", "kube:prod", "list"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("KUBECONFIG"), "{}", ran.err);
    let ran = person.run(&["--context", "kube:prod", "doctor"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("the context is kube:prod\nhint: add `--context local`"), "{}", ran.err);
    assert_eq!(person.run(&["--context", "local", "list"]).code, 0);
    assert_eq!(person.run(&["-n", "team", "list"]).code, 0);
}

#[test]
fn a_verb_that_reports_to_a_program_tells_it_of_the_failure_too() {
    let person = Person::new();
    let ran = person.run(&["delete", "demo", "-o", "json"]);
    assert_eq!(ran.code, 4);
    let line: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    assert_eq!((&line["type"], &line["error"]["exit"]), (&Value::from("error"), &Value::from(4)));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let person = Person::new();
    let mut schema =
        person.command(&["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(schema.stdout.take());
    let ran = Ran::new(&schema.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn schema_completions_and_manual_need_no_controller() {
    let person = Person::new();
    let schema: Value = serde_json::from_str(&person.run(&["schema"]).out).unwrap();
    assert_eq!(schema["title"], "ComputeCluster (crewcall.dev/v1alpha1)");
    let definition = include_str!("../charts/crewcall-crds/templates/computeclusters.yaml");
    assert_eq!(person.run(&["schema", "--crd"]).out, definition);
    for shell in ["bash", "zsh", "fish"] {
        assert!(person.run(&["completions", shell]).out.contains("crewcall"), "{shell}");
    }
    assert!(person.run(&["man"]).out.contains(".TH"));
    assert!(person.run(&["man", "create"]).out.contains("crewcall-create"));
    let unknown = person.run(&["man", "crate"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("did you mean `create`?"), "{}", unknown.err);
    assert!(person.has_started_nothing());
}

#[test]
fn variables_can_be_taken_back_without_a_cluster() {
    let person = Person::new();
    let ran = person.run(&["env", "--unset", "--shell", "bash"]);
    assert!(ran.out.contains("unset DASK_SCHEDULER_ADDRESS\n"), "{}", ran.out);
    assert_eq!(person.run(&["env"]).code, 2);
}

#[test]
fn the_controller_is_told_of_when_there_is_none() {
    let person = Person::new();
    assert!(person.run(&["controller", "status"]).out.starts_with("no controller runs"));
    let status: Value =
        serde_json::from_str(&person.run(&["controller", "status", "-o", "json"]).out).unwrap();
    assert_eq!(status["running"], Value::Bool(false));
    assert_eq!(person.run(&["controller", "stop"]).code, 0);
}

#[test]
fn a_doctor_with_a_state_directory_that_others_can_write_to_finds_it() {
    use std::os::unix::fs::PermissionsExt;
    let person = Person::new();
    let state = person.root.path().join("s");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o777)).unwrap();
    let ran = person.run(&["doctor", "-o", "json"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    let checks: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    let state = checks.iter().find(|check| check["what"] == "state").unwrap();
    assert_eq!(state["finding"], "fail");
    assert!(state["hint"].as_str().unwrap().starts_with("chmod go-w "), "{state}");
}

/// A Python that has distributed, to run real clusters with.
fn python() -> Option<PathBuf> {
    let path = std::env::var_os("CREWCALL_TEST_PYTHON").map(PathBuf::from);
    if path.is_none() {
        eprintln!("SKIPPED: CREWCALL_TEST_PYTHON names no Python with distributed");
    }
    path
}

fn real_document(person: &Person, python: &Path) -> PathBuf {
    let interpreter = format!("  environment: {{interpreter: {}}}\n", python.display());
    person.file("demo.yaml", &format!("{DOCUMENT}{interpreter}"))
}

#[test]
fn a_cluster_is_created_used_scaled_and_deleted() {
    let Some(python) = python() else { return };
    let person = Person::new();
    let file = real_document(&person, &python);
    let file = file.to_str().unwrap();
    let dry = person.run(&["create", "-f", file, "--dry-run"]);
    assert_eq!((dry.code, dry.out.as_str()), (0, "cluster demo would be created\n"), "{}", dry.err);
    let created = person.run(&["create", "-f", file]);
    assert_eq!(created.code, 0, "{}", created.err);
    assert!(created.out.starts_with("Cluster demo is ready: 1 worker\nendpoint   tls://"), "{}", created.out);
    assert!(!created.err.contains('\u{1b}'), "no cursor movements where no terminal is: {}", created.err);
    let again = person.run(&["create", "-f", file, "--no-wait"]);
    assert_eq!(again.out, "cluster demo is as the document says\n", "{}", again.err);

    let script = "from distributed import Client\n\
                  with Client(timeout=30) as client:\n    print(client.submit(sum, range(10)).result())";
    let ran = person.run(&["run", "demo", "--", python.to_str().unwrap(), "-c", script]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "45\n"), "{}", ran.err);
    assert_eq!(person.run(&["run", "demo", "--", "no-such-program"]).code, 127);
    assert_eq!(person.run(&["run", "demo", "--", "/"]).code, 126);

    let scaled = person.run(&["scale", "demo", "3"]);
    assert_eq!(scaled.out, "cluster demo: group workers has 3 workers\n", "{}", scaled.err);
    let view: Value = serde_json::from_str(&person.run(&["get", "demo", "-o", "json"]).out).unwrap();
    assert_eq!(view["groups"][0]["ready"], 3);
    assert_eq!(person.run(&["scale", "demo", "1", "--group", "none"]).code, 5);
    let logs = person.run(&["logs", "demo", "scheduler", "--tail", "5"]);
    assert_eq!((logs.code, logs.out.lines().count()), (0, 5), "{}", logs.err);
    let misspelt = person.run(&["get", "dmeo"]);
    assert!(misspelt.err.contains("did you mean `demo`?"), "{}", misspelt.err);

    let mut deleted = person.command(&["delete", "demo", "-o", "json"]);
    let deleted = Ran::new(&deleted.output().unwrap());
    assert_eq!(deleted.code, 0, "{}", deleted.err);
    let lines: Vec<Value> = deleted.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["type"], "deleted");
    assert_eq!(person.run(&["get", "demo"]).code, 4);
    person.run(&["controller", "stop"]);
}

#[test]
fn ctrl_c_before_anything_was_asked_for_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let person = Person::new();
    let (bin, begun) = (person.root.path().join("bin"), person.root.path().join("begun"));
    std::fs::create_dir(&bin).unwrap();
    let python = person.file(
        "bin/python3",
        &format!("#!/bin/sh\ntouch {}\nexec sleep 60 >/dev/null 2>&1\n", begun.display()),
    );
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let text = "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {name: demo}\n\
                spec: {provider: {local: {}}, environment: {packages: [dask]}}\n";
    let file = person.file("demo.yaml", text);
    let mut create = person.command(&["create", "-f", file.to_str().unwrap()]);
    create.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).env("CREWCALL_CONTROLLER_LINGER", "1");
    let create = create.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while !begun.exists() {
        assert!(std::time::Instant::now() < deadline, "the caller's Python is asked for its versions");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&create);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = create.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted: nothing had been asked for yet"), "{said}");
    assert!(person.run(&["list"]).out.is_empty());
    person.run(&["controller", "stop"]);
}

#[test]
fn ctrl_c_ends_the_wait_and_not_the_cluster() {
    let Some(python) = python() else { return };
    let person = Person::new();
    let text = std::fs::read_to_string(real_document(&person, &python)).unwrap();
    let file = person.file("slow.yaml", &format!("{text}  waitFor: {{workers: 1}}\n"));
    let mut create = person
        .command(&["create", "-f", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut heard = std::io::BufReader::new(create.stderr.take().unwrap());
    let mut line = String::new();
    // It is on record once its parts are reported on.
    while !line.starts_with("scheduler: ") && !line.starts_with("workers: ") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut heard, &mut line).unwrap(), 0, "it ended before");
    }
    let pid = rustix::process::Pid::from_child(&create);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut heard, &mut rest).unwrap();
    assert_eq!(create.wait().unwrap().code(), Some(130), "{line}{rest}");
    assert!(rest.contains("interrupted: cluster demo goes on being created"), "{rest}");
    let converged = person.run(&["create", "-f", file.to_str().unwrap()]);
    assert_eq!(converged.code, 0, "{}", converged.err);
    assert_eq!(person.run(&["delete", "demo"]).code, 0);
    person.run(&["controller", "stop"]);
}
