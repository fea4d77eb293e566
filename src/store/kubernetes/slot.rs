//! What the store knows of one object: which version of it was read or written last.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::object::text;
use crate::{
    model::{ClusterUid, ObjectUid, label},
    store::SecretName,
};

/// One object.
pub struct Slot {
    pub place: Place,
    /// Held across writes: at most one at a time.
    pub state: Mutex<State>,
}

/// Where an object is, and which.
#[derive(Debug, Clone)]
pub struct Place {
    pub namespace: String,
    pub name: String,
    pub uid: ObjectUid,
    pub cluster: ClusterUid,
}

/// What is known of it.
#[derive(Debug, Default)]
pub struct State {
    /// Its version, which the next write replaces.
    pub version: String,
    /// The revision of the notes in that version.
    pub revision: u64,
    /// What people are to see of it, and do not see yet.
    pub pending: Option<Value>,
    /// What they see.
    pub shown: Option<Value>,
    /// Whether it is no more.
    pub gone: bool,
    /// The cluster's secrets, once they were read.
    pub secrets: Option<BTreeMap<SecretName, String>>,
}

/// The metadata of an object that belongs to the cluster of a custom resource, and goes with it.
pub fn belonging(object: &Value, name: &str) -> Value {
    Place::of(object).metadata(name)
}

impl Place {
    /// That of an object.
    pub fn of(object: &Value) -> Self {
        let uid = ObjectUid::new(text(object, "/metadata/uid").unwrap_or_default());
        Self {
            namespace: text(object, "/metadata/namespace").unwrap_or_default().to_owned(),
            name: text(object, "/metadata/name").unwrap_or_default().to_owned(),
            cluster: super::object::cluster_uid(&uid),
            uid,
        }
    }

    /// The object, for a person.
    pub fn described(&self) -> String {
        format!("computecluster {}/{}", self.namespace, self.name)
    }

    /// The metadata of an object that belongs to the cluster, and goes with it.
    pub fn metadata(&self, name: &str) -> Value {
        json!({
            "name": name,
            "labels": {
                label::MANAGED_BY: label::CREWCALL,
                label::NAME: label::CREWCALL,
                label::INSTANCE: self.name,
                label::CLUSTER: self.name,
                label::CLUSTER_UID: self.cluster,
                label::INSTALLATION: label::OPERATOR,
            },
            "ownerReferences": [{
                "apiVersion": "crewcall.dev/v1alpha1",
                "kind": "ComputeCluster",
                "name": self.name,
                "uid": self.uid,
                "controller": true,
                "blockOwnerDeletion": false,
            }],
        })
    }
}

impl State {
    /// Takes note of an object that somebody has read; whether it holds what this store has written, or what came of
    /// it. Where another writer's notes are in it, its version is not taken over, so that the next write fails.
    pub fn note(&mut self, object: &Value) {
        let version = text(object, "/metadata/resourceVersion").unwrap_or_default();
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        if number(version) <= number(&self.version) {
            return;
        }
        if revision_in(object) == self.revision {
            version.clone_into(&mut self.version);
        }
    }
}

/// The revision of the notes in an object; 0 where there are none.
pub fn revision_in(object: &Value) -> u64 {
    #[derive(serde::Deserialize)]
    struct Head {
        revision: u64,
    }
    text(object, "/status/ledger")
        .and_then(|text| serde_json::from_str::<Head>(text).ok())
        .map_or(0, |head| head.revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(version: &str, revision: u64) -> Value {
        let ledger = json!({ "revision": revision }).to_string();
        json!({ "metadata": { "resourceVersion": version }, "status": { "ledger": ledger } })
    }

    #[test]
    fn a_version_that_others_made_without_touching_the_notes_is_taken_over() {
        let mut state = State { version: "9".to_owned(), revision: 3, ..State::default() };
        state.note(&object("10", 3));
        assert_eq!(state.version, "10");
        state.note(&object("9", 3));
        assert_eq!(state.version, "10", "an older one comes late");
    }

    #[test]
    fn a_version_with_another_writers_notes_is_not_so_that_the_next_write_fails() {
        let mut state = State { version: "9".to_owned(), revision: 3, ..State::default() };
        state.note(&object("10", 4));
        assert_eq!(state.version, "9");
    }
}
