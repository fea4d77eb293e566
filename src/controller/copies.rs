//! Copies of records, kept where the clusters are: from a record and its certificates to text, and back.

use std::io::{Read as _, Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};

use crate::{
    model::{ClusterRecord, ClusterUid, Progress, RECORD_FORMAT},
    provider::{Provider, ProviderError, RecordCopy},
    store::{SecretName, Store, StoreError},
};

/// Most bytes of a copy, unpacked: a guard against nonsense.
const MOST: u64 = 4 << 20;

/// What a copy holds of a cluster's secrets. The authority's key stays where it is: with it anybody could be let in, and
/// what is there has its certificates.
const KEPT: [SecretName; 9] = [
    SecretName::AuthorityCertificate,
    SecretName::SchedulerCertificate,
    SecretName::SchedulerKey,
    SecretName::WorkerCertificate,
    SecretName::WorkerKey,
    SecretName::ClientCertificate,
    SecretName::ClientKey,
    SecretName::ControllerCertificate,
    SecretName::ControllerKey,
];

/// A copy that could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The store did not give what is to be copied.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The provider did not take it.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// It cannot be written down, or read.
    #[error("the copy of the record cannot be used: {0}")]
    Form(String),
}

/// What is in a copy.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    record: ClusterRecord,
    /// In the order of [`KEPT`]; empty without TLS.
    secrets: Vec<String>,
}

/// A record that was lost, with its secrets.
pub(super) struct Recalled {
    pub record: ClusterRecord,
    pub secrets: Vec<(SecretName, String)>,
}

/// Keeps a copy of a record where its cluster is.
pub(super) async fn keep(
    store: &dyn Store,
    provider: &dyn Provider,
    record: &ClusterRecord,
) -> Result<(), CopyError> {
    let cluster = record.key();
    let mut secrets = Vec::new();
    if record.wanted.document.spec.tls {
        for name in KEPT {
            let secret = store.secret(&cluster, name).await?;
            secrets
                .push(secret.ok_or_else(|| CopyError::Form("its certificates are not made yet".to_owned()))?);
        }
    }
    // What says nothing of what is wanted is left out: the same state is the same copy.
    let record = ClusterRecord { revision: 0, progress: Progress::default(), ..record.clone() };
    let generation = record.wanted.generation;
    let text = packed(&Content { record, secrets })?;
    Ok(provider.keep_copy(&cluster, &RecordCopy { generation, text }).await?)
}

/// What was kept of a cluster; `None`: nothing.
pub(super) async fn recall(
    provider: &dyn Provider,
    cluster: &ClusterUid,
) -> Result<Option<Recalled>, CopyError> {
    let Some(copy) = provider.copy_of(cluster).await? else { return Ok(None) };
    let Content { record, secrets } = unpacked(&copy.text)?;
    if record.format > RECORD_FORMAT {
        return Err(CopyError::Form(format!("it is of the format {}, of a newer release", record.format)));
    }
    if record.wanted.uid != *cluster {
        return Err(CopyError::Form(format!("it is of the cluster {}", record.wanted.uid)));
    }
    Ok(Some(Recalled { record, secrets: KEPT.into_iter().zip(secrets).collect() }))
}

fn packed(content: &Content) -> Result<String, CopyError> {
    let form = |error: &dyn std::fmt::Display| CopyError::Form(error.to_string());
    let json = serde_json::to_vec(content).map_err(|error| form(&error))?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&json).map_err(|error| form(&error))?;
    Ok(STANDARD.encode(encoder.finish().map_err(|error| form(&error))?))
}

fn unpacked(text: &str) -> Result<Content, CopyError> {
    let form = |error: &dyn std::fmt::Display| CopyError::Form(error.to_string());
    let bytes = STANDARD.decode(text).map_err(|error| form(&error))?;
    let mut json = Vec::new();
    GzDecoder::new(&*bytes).take(MOST).read_to_end(&mut json).map_err(|error| form(&error))?;
    serde_json::from_slice(&json).map_err(|error| form(&error))
}
