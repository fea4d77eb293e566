//! A store in a new directory, and records for it.

use std::{fs, path::PathBuf};

use serde_json::json;

use crate::{
    model::{ClusterKey, ClusterRecord, ClusterUid, Event, EventKind, MachineId, Severity},
    store::{DirectoryStore, Store, StoreError, Unreadable},
};

pub(super) struct Fixture {
    pub(super) state: tempfile::TempDir,
    pub(super) store: DirectoryStore,
}

pub(super) fn fixture() -> Fixture {
    let state = tempfile::tempdir().unwrap();
    let store = open(state.path().to_owned());
    Fixture { state, store }
}

pub(super) fn open(state: PathBuf) -> DirectoryStore {
    DirectoryStore::new(state, MachineId::new("here")).unwrap()
}

/// Revision 1 of a cluster's record.
pub(super) fn record(name: &str, uid: u64) -> ClusterRecord {
    serde_json::from_value(json!({
        "format": 1,
        "revision": 1,
        "wanted": {
            "uid": ClusterUid::from_random(uid),
            "document": {
                "apiVersion": "crewcall.dev/v1alpha1",
                "kind": "ComputeCluster",
                "metadata": {"name": name},
                "spec": {"provider": {"local": {}}},
            },
            "generation": 1,
            "createdAt": "2026-01-02T03:04:05.678Z",
            "presence": "present",
            "machine": "here",
            "boot": "b",
            "context": {"workingDirectory": "/home/someone"},
            "interpreter": null,
        },
        "progress": {"ledger": {}, "conditions": [], "observedGeneration": 0},
    }))
    .unwrap()
}

pub(super) fn revised(record: &ClusterRecord) -> ClusterRecord {
    ClusterRecord { revision: record.revision + 1, ..record.clone() }
}

pub(super) fn key(name: &str, uid: u64) -> ClusterKey {
    record(name, uid).key()
}

pub(super) fn event(message: &str) -> Event {
    Event {
        at: jiff::Timestamp::UNIX_EPOCH,
        severity: Severity::Normal,
        kind: EventKind::Scaled,
        node: None,
        message: message.to_owned(),
    }
}

impl Fixture {
    pub(super) fn cluster(&self, name: &str) -> PathBuf {
        self.state.path().join("clusters").join(name)
    }

    /// The names in the directory of the clusters.
    pub(super) fn folders(&self) -> Vec<String> {
        let mut names = names(self.state.path().join("clusters"));
        names.retain(|name| name != ".since");
        names
    }

    pub(super) async fn records(&self) -> Vec<Result<ClusterRecord, Unreadable>> {
        self.store.list().await.unwrap()
    }

    pub(super) async fn only(&self) -> ClusterRecord {
        let records = self.records().await;
        assert_eq!(records.len(), 1, "{records:?}");
        records.into_iter().next().unwrap().unwrap()
    }
}

pub(super) fn names(path: PathBuf) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[track_caller]
pub(super) fn assert_stale(result: &Result<(), StoreError>, found: &str) {
    match result {
        Err(error @ StoreError::Stale { .. }) if error.to_string().contains(found) => {}
        other => panic!("not stale for {found:?}: {other:?}"),
    }
}

/// Says loudly that a test does not test; in CI, that is a failure.
pub(super) fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "cannot be skipped in CI: {reason}");
    eprintln!("SKIPPED: {reason}");
}
