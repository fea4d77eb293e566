//! The contract of every store.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt};

use super::fixture::*;
use crate::{
    model::{ClusterKey, MachineId},
    store::{DirectoryStore, SecretName, Store, StoreError},
};

#[tokio::test]
async fn a_record_is_there_after_it_was_created_and_gone_after_it_was_removed() {
    let it = fixture();
    it.store.create(&record("demo", 1)).await.unwrap();
    assert_eq!(it.only().await, record("demo", 1));
    it.store.remove(&key("demo", 1)).await.unwrap();
    assert!(it.records().await.is_empty());
    assert!(it.folders().is_empty());
    it.store.remove(&key("demo", 1)).await.unwrap();
}

#[tokio::test]
async fn records_are_listed_by_name_and_survive_the_store_that_wrote_them() {
    let it = fixture();
    for (name, uid) in [("b", 2), ("c", 3), ("a", 1)] {
        it.store.create(&record(name, uid)).await.unwrap();
    }
    let again = open(it.state.path().to_owned());
    let names: Vec<String> =
        again.list().await.unwrap().into_iter().map(|found| found.unwrap().name().to_string()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_name_is_given_once() {
    let it = fixture();
    it.store.create(&record("demo", 1)).await.unwrap();
    let error = it.store.create(&record("demo", 2)).await.unwrap_err();
    assert_eq!(error.to_string(), "a cluster named demo exists already");
    assert_eq!(it.only().await, record("demo", 1));
    assert_eq!(it.folders(), ["demo"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_creates_exactly_one_wins() {
    let it = fixture();
    // Every second one through a store of its own, as another process would have it.
    let attempts: Vec<_> = (0..32)
        .map(|uid| {
            let store = if uid % 2 == 0 { it.store.clone() } else { open(it.state.path().to_owned()) };
            tokio::spawn(async move { store.create(&record("demo", uid)).await.map(|()| uid) })
        })
        .collect();
    let mut winners = Vec::new();
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(uid) => winners.push(uid),
            Err(error) => assert!(matches!(error, StoreError::Exists(_)), "{error}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(it.only().await, record("demo", winners[0]));
    assert_eq!(it.folders(), ["demo"]);
}

#[tokio::test]
async fn a_record_is_replaced_by_the_next_revision_only() {
    let it = fixture();
    let first = record("demo", 1);
    assert_stale(&it.store.replace(&revised(&first)).await, "there is none");
    it.store.create(&first).await.unwrap();
    assert_stale(&it.store.replace(&first).await, "its revision is 1, and 1 was to follow it");
    let second = revised(&first);
    assert_stale(&it.store.replace(&revised(&second)).await, "its revision is 1, and 3 was to follow it");
    it.store.replace(&second).await.unwrap();
    assert_stale(&it.store.replace(&second).await, "its revision is 2, and 2");
    assert_eq!(it.only().await, second);
    assert_eq!(names(it.cluster("demo")), ["logs", "record.json", "tls"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_replacements_exactly_one_wins() {
    let it = fixture();
    it.store.create(&record("demo", 1)).await.unwrap();
    let attempts: Vec<_> = (0..16)
        .map(|generation| {
            let mut next = revised(&record("demo", 1));
            next.wanted.generation = generation;
            let store = if generation % 2 == 0 { it.store.clone() } else { open(it.state.path().to_owned()) };
            tokio::spawn(async move { store.replace(&next).await.map(|()| generation) })
        })
        .collect();
    let mut winners = Vec::new();
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(generation) => winners.push(generation),
            Err(error) => assert!(matches!(error, StoreError::Stale { .. }), "{error}"),
        }
    }
    assert_eq!(winners, [it.only().await.wanted.generation]);
}

#[tokio::test]
async fn a_cluster_of_the_same_name_is_not_mistaken_for_the_one_that_was_meant() {
    let it = fixture();
    it.store.create(&record("demo", 1)).await.unwrap();
    it.store.put_secret(&key("demo", 1), SecretName::ClientKey, "k").await.unwrap();
    it.store.append_events(&key("demo", 1), &[event("a")]).await.unwrap();

    let other = key("demo", 2);
    assert_stale(&it.store.replace(&revised(&record("demo", 2))).await, "its uid is 0000000000000001, not");
    assert_stale(&it.store.append_events(&other, &[event("b")]).await, "its uid is");
    assert_stale(&it.store.put_secret(&other, SecretName::ClientKey, "o").await, "its uid is");
    assert_eq!(it.store.secret(&other, SecretName::ClientKey).await.unwrap(), None);
    assert!(it.store.events(&other, 10).await.unwrap().is_empty());
    it.store.remove(&other).await.unwrap();

    assert_eq!(it.only().await, record("demo", 1));
    let secret = it.store.secret(&key("demo", 1), SecretName::ClientKey).await.unwrap();
    assert_eq!(secret.as_deref(), Some("k"));
}

#[tokio::test]
async fn events_are_kept_with_their_cluster_and_go_with_it() {
    let it = fixture();
    let cluster: ClusterKey = key("demo", 1);
    assert_stale(&it.store.append_events(&cluster, &[event("a")]).await, "there is none");
    it.store.create(&record("demo", 1)).await.unwrap();
    it.store.append_events(&cluster, &[event("a"), event("b")]).await.unwrap();
    it.store.append_events(&cluster, &[]).await.unwrap();
    it.store.append_events(&cluster, &[event("c")]).await.unwrap();
    assert_eq!(it.store.events(&cluster, 2).await.unwrap(), [event("b"), event("c")]);
    it.store.remove(&cluster).await.unwrap();
    it.store.create(&record("demo", 2)).await.unwrap();
    assert!(it.store.events(&key("demo", 2), 2).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_long_history_is_cut_while_it_grows() {
    let it = fixture();
    let cluster = key("demo", 1);
    it.store.create(&record("demo", 1)).await.unwrap();
    let message = "x".repeat(1 << 10);
    let batch: Vec<_> = (0..500).map(|_| event(&message)).collect();
    for _ in 0..8 {
        it.store.append_events(&cluster, &batch).await.unwrap();
    }
    it.store.append_events(&cluster, &[event("last")]).await.unwrap();
    assert!(it.cluster("demo").join("events.jsonl").metadata().unwrap().len() <= 2 << 20);
    assert_eq!(it.store.events(&cluster, 1).await.unwrap(), [event("last")]);
}

#[tokio::test]
async fn every_secret_has_a_file_of_its_own_that_only_its_owner_can_read() {
    let it = fixture();
    let cluster = key("demo", 1);
    it.store.create(&record("demo", 1)).await.unwrap();
    assert_eq!(it.store.secret(&cluster, SecretName::ClientKey).await.unwrap(), None);
    let mut paths = BTreeSet::new();
    for name in SecretName::ALL {
        it.store.put_secret(&cluster, name, "old").await.unwrap();
        it.store.put_secret(&cluster, name, &format!("{name:?}")).await.unwrap();
        let path = it.store.secret_path(&cluster, name).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{name:?}"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        paths.insert(path);
    }
    assert_eq!(paths.len(), SecretName::ALL.len());
    for name in SecretName::ALL {
        assert_eq!(it.store.secret(&cluster, name).await.unwrap(), Some(format!("{name:?}")));
    }
    it.store.remove(&cluster).await.unwrap();
    assert!(it.folders().is_empty());
}

#[tokio::test]
async fn all_that_is_stored_is_closed_to_others() {
    let it = fixture();
    it.store.create(&record("demo", 1)).await.unwrap();
    it.store.append_events(&key("demo", 1), &[event("a")]).await.unwrap();
    let mode = |path: &str| it.state.path().join(path).metadata().unwrap().permissions().mode() & 0o777;
    for directory in ["clusters", "clusters/demo", "clusters/demo/tls", "clusters/demo/logs"] {
        assert_eq!(mode(directory), 0o700, "{directory}");
    }
    for file in ["store.lock", "clusters/demo/record.json", "clusters/demo/events.jsonl"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    assert!(it.store.logs_directory(&key("demo", 1).name).is_dir());
}

#[tokio::test]
async fn the_record_of_another_machine_is_listed_and_not_touched() {
    let it = fixture();
    let first = record("demo", 1);
    it.store.create(&first).await.unwrap();
    it.store.put_secret(&first.key(), SecretName::ClientKey, "k").await.unwrap();
    let there = DirectoryStore::new(it.state.path().to_owned(), MachineId::new("there")).unwrap();
    assert_eq!(there.list().await.unwrap(), [Ok(first.clone())]);
    assert!(there.secret(&first.key(), SecretName::ClientKey).await.unwrap().is_some());
    let refusal = "machine here looks after it, and this is machine there";
    assert_stale(&there.replace(&revised(&first)).await, refusal);
    assert_stale(&there.remove(&first.key()).await, refusal);
    assert_stale(&there.append_events(&first.key(), &[event("a")]).await, refusal);
    assert_stale(&there.put_secret(&first.key(), SecretName::ClientKey, "o").await, refusal);
    assert_eq!(it.only().await, first);
}
