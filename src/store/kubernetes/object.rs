//! From a custom resource to the record of its cluster. Pure.

use std::{fmt::Write as _, path::PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::notes::Notes;
use crate::{
    model::{
        BootId, CallerContext, ClusterRecord, ClusterUid, Condition, EndReason, Ending, Interpreter,
        KubernetesContext, MachineId, ObjectUid, Presence, Progress, RECORD_FORMAT, SoftwareVersions, Wanted,
        label,
    },
    spec::{ComputeCluster, EnvironmentSpec, FieldChange, Namespace, ProviderKind, crd::document_of},
};

/// Who looks after clusters that are custom resources, where another record names a machine.
const OPERATOR: &str = "kubernetes";

/// What it takes to read objects.
#[derive(Debug, Clone)]
pub struct ObjectReader {
    /// The API server; the namespace is each object's own.
    pub context: KubernetesContext,
    /// The image of clusters that name none.
    pub default_image: Option<String>,
}

/// An object that is a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The record.
    pub record: ClusterRecord,
    /// What the object asks for, and no cluster can follow during its life.
    pub refused: Vec<FieldChange>,
}

/// Why an object is no cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which condition says so.
    pub condition: &'static str,
    /// Why, in one word.
    pub reason: &'static str,
    /// Why, for a person.
    pub message: String,
}

impl Refusal {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { condition: "Accepted", reason, message: message.into() }
    }
}

/// The uid of the cluster that an object wants: it is that of the object, in our form.
pub fn cluster_uid(object: &ObjectUid) -> ClusterUid {
    let digest = Sha256::digest(object.as_str());
    let bits = digest.iter().take(8).fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
    ClusterUid::from_random(bits)
}

/// A text of the object.
pub fn text<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    object.pointer(path).and_then(Value::as_str)
}

impl ObjectReader {
    /// The record in an object.
    ///
    /// # Errors
    /// Why the object can be no cluster here; others are not concerned.
    pub fn read(&self, object: &Value) -> Result<Read, Refusal> {
        self.read_with(object, |document| self.complete(document))
    }

    /// The record in an object, for those who do not act on it: what the operator would fill in or refuse is left
    /// as it is.
    pub fn look(&self, object: &Value) -> Result<ClusterRecord, Refusal> {
        let read = self.read_with(object, |document| {
            say_a_size(document);
            Ok(())
        });
        Ok(read?.record)
    }

    fn read_with(
        &self,
        object: &Value,
        complete: impl FnOnce(&mut ComputeCluster) -> Result<(), Refusal>,
    ) -> Result<Read, Refusal> {
        let namespace = namespace_of(object)?;
        let uid = ObjectUid::new(text(object, "/metadata/uid").unwrap_or_default());
        let created_at = moment(object, "/metadata/creationTimestamp").unwrap_or(Timestamp::UNIX_EPOCH);
        let notes = match text(object, "/status/ledger") {
            None => None,
            Some(text) => {
                Some(Notes::parse(text).map_err(|error| Refusal::new("NotesUnreadable", error.to_string()))?)
            }
        };
        let mut document = parse(object)?;
        let refused = match &notes {
            Some(notes) => notes.settle(&mut document),
            None => Vec::new(),
        };
        complete(&mut document)?;
        let deleted =
            moment(object, "/metadata/deletionTimestamp").map(|at| Ending { at, reason: EndReason::Deleted });
        let ending = deleted.or_else(|| notes.as_ref()?.ending.clone());
        let generation = object.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or(1);
        let wanted = Wanted {
            uid: cluster_uid(&uid),
            document,
            generation,
            created_at,
            presence: ending.map_or(Presence::Present, Presence::Absent),
            machine: MachineId::new(OPERATOR),
            boot: BootId::new(OPERATOR),
            context: CallerContext {
                kubernetes: Some(KubernetesContext { namespace, ..self.context.clone() }),
                custom_resource: Some(uid),
                interpreter: client_of(object),
                ..CallerContext::default()
            },
            interpreter: None,
            forced_generation: None,
            asked_at: notes.as_ref().and_then(|notes| notes.asked_at),
        };
        let progress = Progress {
            conditions: conditions(object),
            observed_generation: object
                .pointer("/status/observedGeneration")
                .and_then(Value::as_u64)
                .unwrap_or(0),
            ledger: notes.as_ref().map(|notes| notes.ledger.clone()).unwrap_or_default(),
        };
        let revision = notes.map_or(0, |notes| notes.revision);
        Ok(Read { record: ClusterRecord { format: RECORD_FORMAT, revision, wanted, progress }, refused })
    }

    /// Fills in what the object leaves open, and refuses what cannot run here.
    fn complete(&self, document: &mut ComputeCluster) -> Result<(), Refusal> {
        let kind = document.spec.provider.kind();
        if kind != ProviderKind::Kubernetes {
            let message = format!(
                "`provider: {{{}: …}}` is not for the operator, which runs pods: write `kubernetes: {{}}`, or use \
                 `crewcall create` on your own machine",
                kind.as_str()
            );
            return Err(Refusal::new("ProviderRefused", message));
        }
        say_a_size(document);
        let unmatched =
            |reason, message: String| Refusal { condition: "EnvironmentMatched", reason, message };
        if document.spec.environment.is_none() {
            let Some(image) = &self.default_image else {
                let message = "the object names no image and the operator has no default: write \
                               `environment: {image: …}`, or set `defaultImage` in the chart's values";
                return Err(unmatched("NoImage", message.to_owned()));
            };
            document.spec.environment = Some(EnvironmentSpec::Image(image.clone()));
        }
        match &document.spec.environment {
            Some(EnvironmentSpec::Image(image)) if image.contains('{') => {
                let message = format!(
                    "the image {image} has places for a client's versions, and there is no client to ask: name them"
                );
                Err(unmatched("NoClient", message))
            }
            _ => Ok(()),
        }
    }
}

/// A new cluster whose size nobody says has one worker.
fn say_a_size(document: &mut ComputeCluster) {
    if document.spec.workers.size().is_none() {
        document.spec.workers.replicas = Some(1);
    }
}

/// What the client ran that made the object, if it said so. What cannot be read is nobody's harm: nothing is compared.
fn client_of(object: &Value) -> Option<Interpreter> {
    let noted = object.pointer("/metadata/annotations")?.get(label::CLIENT)?.as_str()?;
    let versions = serde_json::from_str(noted).ok()?;
    Some(Interpreter { path: PathBuf::new(), versions })
}

/// Notes in a new object what the client runs that makes it.
pub fn note_client(object: &mut Value, versions: &SoftwareVersions) {
    let Ok(text) = serde_json::to_string(versions) else { return };
    let metadata = object.as_object_mut().map(|object| object.entry("metadata").or_insert_with(|| json!({})));
    let metadata = metadata.and_then(Value::as_object_mut);
    let Some(metadata) = metadata else { return };
    if let Some(annotations) = metadata.entry("annotations").or_insert_with(|| json!({})).as_object_mut() {
        annotations.insert(label::CLIENT.to_owned(), Value::String(text));
    }
}

/// The namespace of an object.
pub fn namespace_of(object: &Value) -> Result<Namespace, Refusal> {
    let found = text(object, "/metadata/namespace").unwrap_or_default();
    found.parse().map_err(|error| Refusal::new("Invalid", format!("its namespace cannot be used: {error}")))
}

fn parse(object: &Value) -> Result<ComputeCluster, Refusal> {
    let refused = |error: crate::spec::LoadError| {
        let mut message = String::new();
        for diagnostic in error.diagnostics() {
            if diagnostic.severity != crate::spec::Severity::Error {
                continue;
            }
            let separator = if message.is_empty() { "" } else { "; " };
            // Writing to a string cannot fail.
            let _ = write!(message, "{separator}{}", diagnostic.message);
            if let Some(help) = &diagnostic.help {
                let _ = write!(message, " ({help})");
            }
        }
        Refusal::new("Invalid", message)
    };
    document_of(object).map(|document| document.cluster).map_err(refused)
}

fn moment(object: &Value, path: &str) -> Option<Timestamp> {
    text(object, path)?.parse().ok()
}

/// Those of the conditions that the loop keeps up; since when they hold is known from here.
fn conditions(object: &Value) -> Vec<Condition> {
    let all = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|condition| serde_json::from_value(condition.clone()).ok()).collect()
}

/// The status of an object that is no cluster, as a patch.
pub fn refused_status(object: &Value, refusal: &Refusal, now: Timestamp) -> Value {
    let generation = object.pointer("/metadata/generation").and_then(Value::as_u64);
    let before = object.pointer("/status/conditions").and_then(Value::as_array);
    let since = |kind: &str| {
        let same = before.into_iter().flatten().find(|condition| {
            text(condition, "/type") == Some(kind) && text(condition, "/status") == Some("False")
        });
        same.and_then(|condition| text(condition, "/lastTransitionTime"))
            .map_or_else(|| moment_text(now), str::to_owned)
    };
    let condition = |kind: &str| {
        json!({
            "type": kind,
            "status": "False",
            "observedGeneration": generation,
            "lastTransitionTime": since(kind),
            "reason": refusal.reason,
            "message": refusal.message,
        })
    };
    let mut conditions = vec![condition("Accepted")];
    if refusal.condition != "Accepted" {
        conditions.push(condition(refusal.condition));
    }
    json!({ "phase": "Pending", "observedGeneration": generation, "conditions": conditions })
}

/// Whether a status says all of that already.
pub fn says(shown: &Value, status: &Value) -> bool {
    let mut wanted = status.as_object().into_iter().flatten();
    wanted.all(|(key, value)| shown.get(key) == Some(value))
}

/// A time as Kubernetes' conditions have it.
pub fn moment_text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Size;

    fn reader(default_image: Option<&str>) -> ObjectReader {
        let context = KubernetesContext {
            kubeconfig: Vec::new(),
            context: String::new(),
            namespace: "operators".parse().unwrap(),
            server: "https://server".to_owned(),
        };
        ObjectReader { context, default_image: default_image.map(str::to_owned) }
    }

    fn object(spec: &Value) -> Value {
        json!({
            "apiVersion": "crewcall.dev/v1alpha1", "kind": "ComputeCluster",
            "metadata": {
                "name": "demo", "namespace": "data", "uid": "a-b", "generation": 4, "resourceVersion": "17",
                "creationTimestamp": "2026-01-02T03:04:05Z",
            },
            "spec": spec,
        })
    }

    fn plain(replicas: u32) -> Value {
        json!({
            "provider": {"kubernetes": {}}, "environment": {"image": "r.io/dask:1"},
            "scheduler": {"kubernetes": {"podSpec": {"hostname": "one"}}}, "workers": {"replicas": replicas},
        })
    }

    /// The object as it is after its record was written.
    fn noted(mut object: Value, record: &ClusterRecord) -> Value {
        let text = Notes::of(record, "me/1").to_text().unwrap();
        object["status"] = json!({ "ledger": text, "observedGeneration": 3, "conditions": [
            {"type": "WorkersReady", "status": "True", "observedGeneration": 3, "reason": "AllThere", "message": "m",
             "lastTransitionTime": "2026-01-02T04:00:00Z"},
            {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "m",
             "lastTransitionTime": "2026-01-02T04:00:00Z"},
        ]});
        object
    }

    #[test]
    fn a_new_object_is_a_record_without_progress() {
        let Read { record, refused } = reader(None).read(&object(&plain(2))).unwrap();
        assert!(refused.is_empty());
        assert_eq!((record.revision, record.wanted.generation), (0, 4));
        assert_eq!(record.wanted.uid, cluster_uid(&ObjectUid::new("a-b")));
        let context = record.wanted.context;
        assert_eq!(context.kubernetes.unwrap().namespace.as_str(), "data");
        assert_eq!(context.custom_resource, Some(ObjectUid::new("a-b")));
        assert_eq!(record.wanted.presence, Presence::Present);
    }

    #[test]
    fn progress_and_conditions_are_found_again() {
        let reader = reader(None);
        let mut record = reader.read(&object(&plain(2))).unwrap().record;
        record.revision = 9;
        record.progress.ledger.unsatisfiable.insert("GPU".to_owned());
        let again = reader.read(&noted(object(&plain(2)), &record)).unwrap().record;
        assert_eq!((again.revision, &again.progress.ledger), (9, &record.progress.ledger));
        assert_eq!(again.progress.observed_generation, 3);
        let kinds: Vec<&str> = again.progress.conditions.iter().map(|c| c.reason.as_str()).collect();
        assert_eq!(kinds, ["AllThere"]);
    }

    #[test]
    fn what_is_fixed_stays_as_it_was_and_the_rest_is_followed() {
        let reader = reader(None);
        let record = reader.read(&object(&plain(2))).unwrap().record;
        let mut edited = plain(5);
        edited["scheduler"]["kubernetes"]["podSpec"]["hostname"] = json!("two");
        let Read { record: next, refused } = reader.read(&noted(object(&edited), &record)).unwrap();
        let paths: Vec<&str> = refused.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["spec.scheduler.kubernetes.podSpec.hostname"]);
        assert_eq!(next.wanted.document.spec.scheduler, record.wanted.document.spec.scheduler);
        assert_eq!(next.wanted.document.spec.workers.size(), Some(Size::Fixed(5)));
    }

    #[test]
    fn what_the_client_runs_is_known_where_it_said_so() {
        let reader = reader(None);
        let versions: SoftwareVersions =
            serde_json::from_value(json!({"python": "3.11.7", "numpy": null})).unwrap();
        let mut said = object(&plain(1));
        note_client(&mut said, &versions);
        let interpreter = reader.read(&said).unwrap().record.wanted.context.interpreter;
        assert_eq!(interpreter.map(|interpreter| interpreter.versions), Some(versions));
        for odd in [json!("{"), json!("[]"), json!(3)] {
            let mut object = object(&plain(1));
            object["metadata"]["annotations"] = json!({"crewcall.dev/client": odd});
            assert_eq!(reader.read(&object).unwrap().record.wanted.context.interpreter, None);
        }
        assert_eq!(reader.read(&object(&plain(1))).unwrap().record.wanted.context.interpreter, None);
    }

    #[test]
    fn a_lifetime_is_shortened_and_never_lengthened() {
        let reader = reader(None);
        let limited = |limit: &str| {
            let mut spec = plain(1);
            spec["maxLifetime"] = json!(limit);
            spec
        };
        let record = reader.read(&object(&limited("2h"))).unwrap().record;
        let longer = reader.read(&noted(object(&limited("3h")), &record)).unwrap();
        let paths: Vec<&str> = longer.refused.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["spec.maxLifetime"]);
        assert_eq!(longer.record.wanted.document.spec, record.wanted.document.spec);
        let shorter = reader.read(&noted(object(&limited("1h")), &record)).unwrap();
        assert!(shorter.refused.is_empty());
        let limit = shorter.record.wanted.document.spec.max_lifetime();
        assert_eq!(limit, Some(std::time::Duration::from_hours(1)));
    }

    #[test]
    fn a_size_that_is_no_longer_said_is_left_alone() {
        let reader = reader(None);
        let record = reader.read(&object(&plain(3))).unwrap().record;
        let mut edited = plain(3);
        edited["workers"] = json!({});
        let next = reader.read(&noted(object(&edited), &record)).unwrap().record;
        assert_eq!(next.wanted.document.spec.workers.size(), Some(Size::Fixed(3)));
        assert_eq!(
            reader.read(&object(&edited)).unwrap().record.wanted.document.spec.workers.replicas,
            Some(1)
        );
    }

    #[test]
    fn the_default_image_is_taken_once_and_for_all() {
        let mut without = plain(1);
        without.as_object_mut().unwrap().remove("environment");
        let refusal = reader(None).read(&object(&without)).unwrap_err();
        assert_eq!((refusal.condition, refusal.reason), ("EnvironmentMatched", "NoImage"));
        let record = reader(Some("r.io/dask:1")).read(&object(&without)).unwrap().record;
        let later = reader(Some("r.io/dask:2")).read(&noted(object(&without), &record)).unwrap();
        assert_eq!(
            later.record.wanted.document.spec.environment,
            Some(EnvironmentSpec::Image("r.io/dask:1".into()))
        );
        assert!(later.refused.is_empty());
    }

    #[test]
    fn what_is_no_cluster_here_says_why() {
        let reasons = [
            (json!({"provider": {"local": {}}}), "ProviderRefused"),
            (json!({"provider": {"kubernetes": {}}, "workers": {"memory": "much"}}), "Invalid"),
            (
                json!({"provider": {"kubernetes": {}}, "environment": {"image": "r.io/dask:{dask}"}}),
                "NoClient",
            ),
        ];
        for (spec, reason) in reasons {
            assert_eq!(reader(None).read(&object(&spec)).unwrap_err().reason, reason, "{spec}");
        }
        let mut broken = object(&plain(1));
        broken["status"] = json!({"ledger": "{}"});
        assert_eq!(reader(None).read(&broken).unwrap_err().reason, "NotesUnreadable");
    }

    #[test]
    fn a_refusal_that_is_shown_already_is_not_written_again() {
        let spec = json!({"provider": {"local": {}}});
        let mut object = object(&spec);
        let refusal = reader(None).read(&object).unwrap_err();
        let status = refused_status(&object, &refusal, "2026-01-02T05:00:00Z".parse().unwrap());
        assert!(!says(&json!({}), &status));
        object["status"] = status;
        let later = refused_status(&object, &refusal, "2026-01-02T06:00:00Z".parse().unwrap());
        assert!(says(&object["status"], &later));
    }
}
