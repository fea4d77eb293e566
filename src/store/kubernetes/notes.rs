//! The operator's own notes in an object's status: all that has to last beside what the object's spec says. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    model::{ClusterRecord, Ending, Ledger, Presence},
    spec::{
        ClusterSpec, ComputeCluster, EngineSpec, EnvironmentSpec, FieldChange, ProviderSpec, SchedulerSpec,
        Size, TimeLimit, compare, outlives_pods,
    },
};

/// The version of the notes' format; newer ones are not touched.
const FORMAT: u32 = 1;

/// What is noted of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notes {
    format: u32,
    /// The record's revision.
    pub revision: u64,
    /// Who wrote them: a leader, and which of its terms.
    pub writer: String,
    /// What of the spec stands for the cluster's life.
    pub fixed: Fixed,
    /// The default group's size: it stays when the spec no longer says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Set when the cluster has reached a limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// When somebody last asked for something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// Intents, drains, failures.
    pub ledger: Ledger,
}

/// The parts of a spec that no edit changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fixed {
    provider: ProviderSpec,
    engine: EngineSpec,
    environment: Option<EnvironmentSpec>,
    tls: bool,
    scheduler: SchedulerSpec,
    /// Where no longer one can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_lifetime: Option<TimeLimit>,
}

/// Notes that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotesError {
    /// Somebody else has changed them, or nobody has written them whole.
    #[error("the operator's notes in status.ledger cannot be read: {0}")]
    Unreadable(String),
    /// A newer operator has written them.
    #[error("a newer operator has written status.ledger (format {0}; this one knows up to {FORMAT})")]
    Newer(u32),
}

impl Notes {
    /// Those of a record, as `writer` notes them.
    pub fn of(record: &ClusterRecord, writer: &str) -> Self {
        let spec = &record.wanted.document.spec;
        Self {
            format: FORMAT,
            revision: record.revision,
            writer: writer.to_owned(),
            fixed: Fixed::of(spec),
            size: spec.workers.size(),
            ending: match &record.wanted.presence {
                Presence::Present => None,
                Presence::Absent(ending) => Some(ending.clone()),
            },
            asked_at: record.wanted.asked_at,
            ledger: record.progress.ledger.clone(),
        }
    }

    /// From the text in the status.
    pub fn parse(text: &str) -> Result<Self, NotesError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let unreadable = |error: serde_json::Error| NotesError::Unreadable(error.to_string());
        let version: Version = serde_json::from_str(text).map_err(unreadable)?;
        if version.format > FORMAT {
            return Err(NotesError::Newer(version.format));
        }
        serde_json::from_str(text).map_err(unreadable)
    }

    /// The text for the status.
    pub fn to_text(&self) -> Result<String, NotesError> {
        serde_json::to_string(self).map_err(|error| NotesError::Unreadable(error.to_string()))
    }

    /// Lets a document say only what may change: what it says otherwise is taken back, and returned.
    pub fn settle(&self, document: &mut ComputeCluster) -> Vec<FieldChange> {
        let asked = document.clone();
        self.fixed.impose(&mut document.spec);
        if document.spec.workers.size().is_none()
            && let Some(size) = self.size
        {
            let workers = &mut document.spec.workers;
            (workers.replicas, workers.min, workers.max) = match size {
                Size::Fixed(replicas) => (Some(replicas), None, None),
                Size::Adaptive { min, max } => (None, Some(min), Some(max)),
            };
        }
        let mut asked = asked;
        // The operator's default stands where the document names nothing.
        if asked.spec.environment.is_none() {
            asked.spec.environment.clone_from(&self.fixed.environment);
        }
        compare(document, &asked).fixed
    }
}

impl Fixed {
    fn of(spec: &ClusterSpec) -> Self {
        Self {
            provider: spec.provider.clone(),
            engine: spec.engine.clone(),
            environment: spec.environment.clone(),
            tls: spec.tls,
            scheduler: spec.scheduler.clone(),
            max_lifetime: spec.max_lifetime,
        }
    }

    fn impose(&self, spec: &mut ClusterSpec) {
        // A template of pods may change: its nodes are rolled.
        let pods = spec.kubernetes().map(|kubernetes| kubernetes.pods.clone());
        spec.provider = self.provider.clone();
        if let (ProviderSpec::Kubernetes(kubernetes), Some(pods)) = (&mut spec.provider, pods) {
            kubernetes.pods = pods;
        }
        spec.engine = self.engine.clone();
        spec.environment.clone_from(&self.environment);
        spec.tls = self.tls;
        spec.scheduler = self.scheduler.clone();
        let held = ClusterSpec { max_lifetime: self.max_lifetime, ..spec.clone() };
        if outlives_pods(&held, spec) {
            spec.max_lifetime = held.max_lifetime;
        }
    }
}
