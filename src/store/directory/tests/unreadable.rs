//! Records that are there and cannot be used.

use std::{fs, os::unix::fs::symlink};

use super::fixture::*;
use crate::store::{SecretName, Store, StoreError, Unreadable};

/// Puts `text` where the record of `name` is.
fn put(it: &Fixture, name: &str, text: &str) {
    fs::create_dir_all(it.cluster(name)).unwrap();
    fs::write(it.cluster(name).join("record.json"), text).unwrap();
}

fn text_of(name: &str) -> String {
    serde_json::to_string(&record(name, 1)).unwrap()
}

async fn refused(it: &Fixture) -> Unreadable {
    it.records().await.into_iter().find_map(Result::err).unwrap()
}

#[tokio::test]
async fn records_that_are_known_are_not_read_to_find_those_that_cannot_be_used() {
    let it = fixture();
    it.store.create(&record("good", 7)).await.unwrap();
    put(&it, "bad", "{");
    put(&it, "known", "{");
    let known = ["good", "known", "vanished"].map(|name| name.parse().unwrap());
    let strangers = it.store.strangers(&known.into()).await.unwrap();
    let names: Vec<_> =
        strangers.found.iter().map(|found| found.as_ref().unwrap_err().name.as_str()).collect();
    assert_eq!(names, ["bad"]);
    assert_eq!(strangers.gone, ["vanished".parse().unwrap()].into());
}

#[tokio::test]
async fn a_record_that_cannot_be_used_is_reported_beside_the_others_and_never_overwritten() {
    let newer = text_of("bad").replace(r#""format":1"#, r#""format":2"#);
    let cases = [
        (String::new(), "it is empty"),
        (text_of("bad")[..300].to_owned(), "it is cut off: "),
        ("\0\0\0\0".to_owned(), "it is not JSON: "),
        ("{}".to_owned(), "it does not hold what a record holds: missing field"),
        (text_of("other"), "it is that of cluster other"),
        (newer, "its format is 2, and this crewcall knows formats up to 1"),
        (r#"{"format": 9, "all": "else"}"#.to_owned(), "its format is 9, and this crewcall knows"),
        (text_of("bad").replace(r#""format":1"#, r#""format":0"#), "its format is 0, which no crewcall has"),
    ];
    for (text, problem) in cases {
        let it = fixture();
        it.store.create(&record("good", 7)).await.unwrap();
        put(&it, "bad", &text);

        let records = it.records().await;
        assert_eq!(records.len(), 2);
        assert_eq!(records[1], Ok(record("good", 7)));
        let found = refused(&it).await;
        assert!(found.problem.starts_with(problem), "{found}");
        assert_eq!((found.name.as_str(), &found.path), ("bad", &it.cluster("bad").join("record.json")));
        assert!(!found.hint.is_empty());

        let first = record("bad", 1);
        for result in [
            it.store.create(&first).await,
            it.store.replace(&revised(&first)).await,
            it.store.remove(&first.key()).await,
        ] {
            assert_eq!(result, Err(StoreError::Unreadable(found.clone())));
        }
        assert_eq!(fs::read_to_string(it.cluster("bad").join("record.json")).unwrap(), text);
    }
}

#[tokio::test]
async fn nothing_is_added_to_a_cluster_whose_record_cannot_be_used() {
    let it = fixture();
    put(&it, "bad", "{");
    let cluster = key("bad", 1);
    let is_unreadable = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Unreadable(_)));
    assert!(is_unreadable(it.store.append_events(&cluster, &[event("a")]).await));
    assert!(is_unreadable(it.store.put_secret(&cluster, SecretName::ClientKey, "k").await));
    assert!(is_unreadable(it.store.events(&cluster, 1).await.map(drop)));
    assert!(is_unreadable(it.store.secret(&cluster, SecretName::ClientKey).await.map(drop)));
    assert_eq!(names(it.cluster("bad")), ["record.json"]);
}

#[tokio::test]
async fn a_hint_says_what_to_do() {
    let it = fixture();
    put(&it, "bad", "{");
    let hint = refused(&it).await.hint;
    assert!(hint.contains(&format!("move {} elsewhere", it.cluster("bad").display())), "{hint}");
    put(&it, "bad", r#"{"format": 2}"#);
    assert_eq!(refused(&it).await.hint, "use the crewcall that wrote it, or a newer one");
}

#[tokio::test]
async fn a_record_that_the_system_does_not_give_is_reported_too() {
    let it = fixture();
    it.store.create(&record("good", 7)).await.unwrap();
    fs::create_dir_all(it.cluster("bad").join("record.json")).unwrap();
    let found = refused(&it).await;
    assert_eq!(found.problem, "it cannot be read: Is a directory (os error 21)");
    assert!(matches!(it.store.create(&record("bad", 1)).await, Err(StoreError::Io { doing: "read", .. })));
    assert_eq!(it.records().await.len(), 2);
}

#[tokio::test]
async fn what_is_no_clusters_is_left_out_and_left_alone() {
    let it = fixture();
    let clusters = it.state.path().join("clusters");
    fs::write(clusters.join("notes.txt"), "mine").unwrap();
    fs::create_dir(clusters.join("empty")).unwrap();
    fs::create_dir(clusters.join(".hidden")).unwrap();
    symlink("nowhere", clusters.join("link")).unwrap();
    assert!(it.records().await.is_empty());
    assert_eq!(it.folders(), [".hidden", "empty", "link", "notes.txt"]);
}

#[tokio::test]
async fn a_folder_whose_name_no_cluster_can_have_is_reported() {
    let it = fixture();
    put(&it, "Demo_1", &text_of("demo"));
    assert_eq!(refused(&it).await.problem, "it is that of cluster demo");
}

#[tokio::test]
async fn a_record_of_another_format_is_not_written() {
    let it = fixture();
    let mut odd = record("demo", 1);
    odd.format = 2;
    let error = it.store.create(&odd).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreadable(_)), "{error}");
    assert!(it.folders().is_empty());
}
