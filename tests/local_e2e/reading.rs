//! What a person, or a program, reads.

use std::fs;

use crate::harness::{Home, until, with_home};

const TWO: &str = "workers: {replicas: 2, memory: 1GiB}";

/// What differs from run to run, in general terms.
pub fn redacted(home: &Home, text: &str) -> String {
    let root = home.path("");
    let text = text.replace(root.to_str().unwrap(), "[ROOT]/");
    let text = text.replace(home.interpreter().parent().unwrap().to_str().unwrap(), "[PYTHON]");
    let mut text = text.replace(env!("CARGO_BIN_EXE_crewcall"), "[CREWCALL]");
    for (pattern, by) in [
        (r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
        (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z", "[TIME]"),
        (r"\b\d{2}:\d{2}:\d{2}Z", "[TIME]"),
        (r"\b[0-9a-f]{32}\b", "[ID]"),
        (r"\b[0-9a-f]{16}\b", "[UID]"),
        (r"process \d+", "process [PID]"),
        (r"\b\d+(\.\d+)? [KMGT]iB free", "[SIZE] free"),
        (r"  +\d+(s|m|h)\b", "  [AGE]"),
        (r"for \d+(s|m|h)\b", "for [AGE]"),
        (r"(?m)^(  cloudpickle) .*$", "$1 [VERSIONS]"),
        (r"\(3\.\d+\.\d+\), dask .*", "([VERSION]), dask [VERSION]"),
        (r"-[0-9a-f]{8}\.sock", "-[HASH].sock"),
        (r"at most \d+ for each", "at most [NUMBER] for each"),
        (r"  +", "  "),
    ] {
        text = regex::Regex::new(pattern).unwrap().replace_all(&text, by).into_owned();
    }
    text
}

#[test]
fn reading_verbs_say_what_a_person_needs() {
    with_home(|home| {
        insta::assert_snapshot!(
            "list_of_nothing",
            redacted(home, &{
                let outcome = home.run(&["list"]);
                format!("{}{}", outcome.stdout, outcome.stderr)
            })
        );
        let created = home.create("demo", TWO);
        // Whether the dashboard answers by then is a matter of chance.
        let created = created.replace("     # in a moment", "");
        insta::assert_snapshot!("create", redacted(home, &created));
        home.until_condition("demo", "Progressing", "False");
        for verb in ["get", "describe", "events"] {
            insta::assert_snapshot!(verb, redacted(home, &home.ok(&[verb, "demo"])));
        }
        insta::assert_snapshot!("list", redacted(home, &home.ok(&["list"])));
        insta::assert_snapshot!("env", redacted(home, &home.ok(&["env", "demo", "--shell", "bash"])));
        insta::assert_snapshot!("status", redacted(home, &home.ok(&["controller", "status"])));
        let logs = home.ok(&["logs", "demo"]);
        assert!(logs.contains("scheduler-0-0") && logs.contains("workers-1-0"), "{logs}");
        let one = home.ok(&["logs", "demo", "workers-0", "--tail", "3"]);
        assert_eq!(one.lines().count(), 3, "{one}");
        let said = home.run(&["get", "dmeo"]).fails(4);
        insta::assert_snapshot!("not_found", said);
    });
}

#[test]
fn what_is_printed_for_programs_can_be_parsed() {
    with_home(|home| {
        assert_eq!(json(&home.ok(&["list", "-o", "json"])).as_array().map(Vec::len), Some(0));
        let document = home.document("demo", TWO);
        let lines = home.ok(&["create", "-f", document.to_str().unwrap(), "-o", "json"]);
        let last = lines.lines().map(json).next_back().unwrap();
        assert!(last["cluster"]["endpoint"].as_str().unwrap().starts_with("tls://"), "{last}");
        assert_eq!(json(&home.ok(&["list", "-o", "json"])).as_array().map(Vec::len), Some(1));
        let view = json(&home.ok(&["get", "demo", "-o", "json"]));
        assert_eq!(view["phase"], "Ready");
        let yaml = home.ok(&["get", "demo", "-o", "yaml"]);
        assert!(yaml.contains("phase: Ready"), "{yaml}");
        assert!(
            home.ok(&["events", "demo", "-o", "json"]).lines().all(|line| json(line)["kind"].is_string())
        );
        assert_eq!(home.ok(&["get", "demo", "-o", "name"]), "demo\n");
        let variables = json(&home.ok(&["env", "demo", "--shell", "json"]));
        assert_eq!(variables["DASK_SCHEDULER_ADDRESS"], view["endpoint"]);
        assert!(json(&home.ok(&["controller", "status", "-o", "json"]))["running"].as_bool().unwrap());
        assert!(
            json(&home.ok(&["doctor", "-o", "json"])).is_object()
                || json(&home.ok(&["doctor", "-o", "json"])).is_array()
        );
        let lines = home.ok(&["delete", "demo", "-o", "json"]);
        assert!(lines.lines().map(json).count() > 0, "{lines}");
    });
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_controller_can_be_looked_at_and_ended_and_clusters_live_on() {
    with_home(|home| {
        let none = home.ok(&["controller", "status"]);
        assert!(none.contains("no controller runs"), "{none}");
        home.create("demo", TWO);
        let first = home.controller().unwrap();
        assert!(home.ok(&["controller", "stop"]).contains("clusters live on"));
        assert_eq!(home.controller(), None);
        home.host_of("demo");
        assert!(home.ok(&["list"]).contains("demo"));
        assert_ne!(home.controller(), Some(first));
        let log = home.ok(&["controller", "logs"]);
        assert!(log.contains("a client asked for it"), "{log}");
        assert_eq!(home.ok(&["controller", "logs", "--tail", "1"]).lines().count(), 1);
    });
}

#[test]
fn the_history_of_a_cluster_outlives_it() {
    with_home(|home| {
        home.create("demo", TWO);
        home.ok(&["delete", "demo"]);
        let history = home.ok(&["events", "demo"]);
        assert!(history.contains("was asked for") && history.contains("it was deleted"), "{history}");
        let missing = home.run(&["get", "demo"]).fails(4);
        assert!(missing.contains("`crewcall events demo` shows its history"), "{missing}");
    });
}

#[test]
fn the_doctor_says_what_is_well_and_what_is_not() {
    with_home(|home| {
        let well = home.ok(&["doctor"]);
        assert!(!well.contains("fail "), "{well}");
        insta::assert_snapshot!("doctor_well", redacted(home, &well));
        let mut ill = home.crewcall(&["doctor"]);
        ill.env("PATH", "/nonexistent");
        let ill = crate::harness::run(ill);
        assert_eq!(ill.code, Some(1), "{}{}", ill.stdout, ill.stderr);
        insta::assert_snapshot!(
            "doctor_without_python",
            redacted(home, &format!("{}{}", ill.stdout, ill.stderr))
        );
    });
}

#[test]
fn gc_finds_and_removes_the_remains_of_a_host() {
    with_home(|home| {
        home.create("demo", TWO);
        let remains = plant(home);
        let listed = home.ok(&["gc", "--dry-run"]);
        insta::assert_snapshot!("gc_dry_run", redacted(home, &listed));
        assert!(remains.exists());
        let removed = home.ok(&["gc"]);
        insta::assert_snapshot!("gc", redacted(home, &removed));
        assert!(!remains.exists());
        crate::clients::computes(home, "demo", 2);
    });
}

#[test]
fn a_cluster_whose_records_were_moved_away_goes_on_and_is_found_again() {
    with_home(|home| {
        home.create("demo", TWO);
        let host = home.host_of("demo");
        home.ok(&["controller", "stop"]);
        let (clusters, away) = (home.path("state/clusters"), home.path("work/away"));
        fs::rename(&clusters, &away).unwrap();
        backdate(&host_directory(home), HOUR);
        let log = || fs::read_to_string(home.path("state/controller.log")).unwrap();
        assert!(!home.ok(&["list"]).contains("demo"));
        home.ok(&["controller", "start"]);
        until("the sweep of a new controller", || log().contains("left behind: host process").then_some(()));
        let kept = home.run(&["gc"]);
        assert_eq!(kept.code, Some(1), "{}", kept.stderr);
        assert!(kept.stdout.contains("of cluster demo, 1h old (it is older than"), "{}", kept.stdout);
        assert_eq!(home.host_of("demo"), host, "it lives");
        home.ok(&["controller", "stop"]);
        fs::remove_dir_all(&clusters).unwrap();
        fs::rename(&away, &clusters).unwrap();
        crate::clients::computes(home, "demo", 2);
    });
}

const HOUR: std::time::Duration = std::time::Duration::from_hours(1);

/// The directory of the host of the cluster that there is.
fn host_directory(home: &Home) -> std::path::PathBuf {
    let hosts = fs::read_dir(home.path("state/hosts")).unwrap().flatten().map(|entry| entry.path());
    let claimed = |path: &std::path::PathBuf| {
        fs::read_to_string(path.join("host.json")).is_ok_and(|record| record.contains("\"demo\""))
    };
    hosts.filter(|path| path.is_dir()).find(claimed).unwrap()
}

/// Makes a file, or a directory with all that is in it, look as if it had been there so long.
fn backdate(path: &std::path::Path, by: std::time::Duration) {
    let now = tempfile::tempfile().unwrap().metadata().unwrap().modified().unwrap();
    for path in crate::harness::below(path).into_iter().chain([path.to_owned()]) {
        fs::File::open(path).unwrap().set_modified(now - by).unwrap();
    }
}

/// The directory of a host that was a cluster's, of which there is no record, in a store that is older.
fn plant(home: &Home) -> std::path::PathBuf {
    let live = fs::read_to_string(host_directory(home).join("host.json")).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&live).unwrap();
    let id = "0123456789abcdef0123456789abcdef";
    record["id"] = id.into();
    record["claimedBy"]["uid"] = "00000000deadbeef".into();
    record["claimedBy"]["name"] = "ghost".into();
    record["process"]["pid"] = 4_000_000.into();
    let directory = home.path("state/hosts").join(id);
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("lock"), "").unwrap();
    fs::write(directory.join("host.json"), record.to_string()).unwrap();
    backdate(&directory, 73 * HOUR + HOUR / 2);
    backdate(&home.path("state/clusters/.since"), 96 * HOUR);
    directory
}
