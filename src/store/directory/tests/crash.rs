//! What a crash leaves, and what becomes of it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use super::fixture::*;
use crate::store::{SecretName, Store};

#[tokio::test]
async fn a_folder_that_was_being_removed_is_deleted_when_the_store_is_opened_or_listed() {
    for opened in [true, false] {
        let it = fixture();
        it.store.create(&record("demo", 1)).await.unwrap();
        it.store.put_secret(&key("demo", 1), SecretName::ClientKey, "k").await.unwrap();
        fs::rename(it.cluster("demo"), it.cluster(".removed-0000000000000001")).unwrap();
        if opened {
            open(it.state.path().to_owned());
            assert!(it.folders().is_empty());
        }
        assert!(it.records().await.is_empty());
        assert!(it.folders().is_empty());
    }
}

#[tokio::test]
async fn a_removal_that_crashed_is_finished_by_the_next_one() {
    let it = fixture();
    it.store.create(&record("demo", 1)).await.unwrap();
    fs::rename(it.cluster("demo"), it.cluster(".removed-0000000000000001")).unwrap();
    it.store.create(&record("demo", 2)).await.unwrap();
    it.store.remove(&key("demo", 1)).await.unwrap();
    assert_eq!(it.folders(), ["demo"]);
    assert_eq!(it.only().await, record("demo", 2));
}

#[tokio::test]
async fn a_creation_that_crashed_leaves_no_cluster_and_does_not_block_the_name() {
    let it = fixture();
    fs::create_dir_all(it.cluster(".new-x1y2z3/tls")).unwrap();
    fs::write(it.cluster(".new-x1y2z3/record.json"), "half").unwrap();
    it.store.create(&record("demo", 1)).await.unwrap();
    assert_eq!(it.only().await, record("demo", 1));
    assert_eq!(it.folders(), ["demo"]);
}

#[tokio::test]
async fn a_folder_without_a_record_does_not_block_its_name() {
    let it = fixture();
    fs::create_dir_all(it.cluster("demo/logs")).unwrap();
    fs::write(it.cluster("demo/logs/late.log"), "x").unwrap();
    fs::create_dir_all(it.cluster("demo/tls")).unwrap();
    fs::write(it.cluster("demo/tls/client-key.pem"), "old").unwrap();
    it.store.create(&record("demo", 1)).await.unwrap();
    assert_eq!(it.only().await, record("demo", 1));
    assert_eq!(it.store.secret(&key("demo", 1), SecretName::ClientKey).await.unwrap(), None);
    assert_eq!(it.folders(), ["demo"]);
}

#[tokio::test]
async fn half_written_files_are_never_read_and_are_deleted_when_the_store_is_opened() {
    let it = fixture();
    it.store.create(&record("demo", 1)).await.unwrap();
    fs::write(it.cluster("demo/.tmp-abc"), "{").unwrap();
    fs::write(it.cluster("demo/tls/.tmp-def"), "-----BEGIN").unwrap();
    assert_eq!(it.only().await, record("demo", 1));
    it.store.replace(&revised(&record("demo", 1))).await.unwrap();
    let again = open(it.state.path().to_owned());
    assert_eq!(again.list().await.unwrap(), [Ok(revised(&record("demo", 1)))]);
    assert_eq!(names(it.cluster("demo")), ["logs", "record.json", "tls"]);
    assert!(names(it.cluster("demo/tls")).is_empty());
}

#[tokio::test]
async fn nothing_is_swept_while_another_process_is_at_work() {
    let it = fixture();
    fs::create_dir(it.cluster(".new-other")).unwrap();
    let other = fs::File::open(it.state.path().join("store.lock")).unwrap();
    other.lock().unwrap();
    assert!(it.records().await.is_empty());
    open(it.state.path().to_owned());
    assert_eq!(it.folders(), [".new-other"]);
    other.unlock().unwrap();
    assert!(it.records().await.is_empty());
    assert!(it.folders().is_empty());
}

/// Where the writer that is to be killed finds its directory; without it, the writer does nothing.
const WRITER: &str = "CREWCALL_TEST_WRITER";

/// Not a test of its own: what [`a_killed_writer_loses_nothing_that_it_was_told_is_written`] kills.
#[tokio::test]
async fn writer() {
    let Some(state) = std::env::var_os(WRITER) else { return };
    let store = open(state.into());
    let mut newest = record("demo", 1);
    store.create(&newest).await.unwrap();
    for uid in 2.. {
        newest = revised(&newest);
        store.replace(&newest).await.unwrap();
        store.append_events(&newest.key(), &[event("a")]).await.unwrap();
        store.create(&record("brief", uid)).await.unwrap();
        store.remove(&key("brief", uid)).await.unwrap();
        // In one piece, as the kill may come at any time.
        std::io::stdout().write_all(format!("\nwritten {}\n", newest.revision).as_bytes()).unwrap();
    }
}

#[tokio::test]
async fn a_killed_writer_loses_nothing_that_it_was_told_is_written() {
    for rounds in [1, 2, 3, 5, 8, 13] {
        let it = fixture();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::directory::tests::crash::writer", "--nocapture"])
            .env(WRITER, it.state.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut revisions = output.filter_map(|line| line.strip_prefix("written ")?.parse::<u64>().ok());
        let seen = revisions.nth(rounds - 1).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let written = revisions.last().unwrap_or(seen);

        let again = open(it.state.path().to_owned());
        let found: Vec<_> = again.list().await.unwrap().into_iter().map(Result::unwrap).collect();
        let demo = found.iter().find(|found| found.name().as_str() == "demo").unwrap();
        assert!((written..=written + 1).contains(&demo.revision), "{written} {}", demo.revision);
        let events = again.events(&demo.key(), usize::MAX).await.unwrap().len();
        assert!(events as u64 >= written - 1, "{events} events after revision {written}");

        for one in found {
            assert!(!names(it.cluster(one.name().as_str())).iter().any(|name| name.starts_with(".tmp-")));
            again.remove(&one.key()).await.unwrap();
        }
        assert!(it.folders().is_empty());
    }
}
