//! What a machine fetches when it boots: secrets in one parameter, files in others.

use std::{collections::BTreeMap, io::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, GzBuilder, write::GzEncoder};
use serde_json::json;

use crate::{
    engine::dask::{TlsPaths, configuration, python},
    provider::{ErrorKind, ProviderError},
    security::Identity,
    spec::{ComputeCluster, EngineSpec},
};

/// Where the container sees its files.
pub const FILES: &str = "/etc/crewcall";

/// Most bytes of a standard parameter, which costs nothing.
pub const MAX_PARAMETER: usize = 4_096;

/// Most parameters with files: one call reads ten, and one of them holds the secrets.
const MOST_FILES: usize = 9;

/// What a machine fetches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Certificate, key, and values of secret environment variables, as JSON. A secret.
    pub secrets: String,
    /// Pieces of a compressed JSON object of texts by file name.
    pub files: Vec<String>,
}

/// What cannot be sent to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Secrets that are too long for their parameter.
    #[error("the cluster's secrets have {0} bytes, and the parameter that holds them takes {MAX_PARAMETER}")]
    Secrets(usize),
    /// Configuration that is too long for its parameters.
    #[error("the configuration of Dask takes {0} parameters, and a machine reads {MOST_FILES}")]
    Files(usize),
    /// User data that is too long.
    #[error("what a machine is started with has {0} bytes, and EC2 takes {most}", most = super::MAX_USER_DATA)]
    UserData(usize),
}

impl From<BuildError> for ProviderError {
    fn from(error: BuildError) -> Self {
        let hint = match error {
            BuildError::Secrets(_) => "shorten the values that `secretEnv` names, or have tasks fetch them",
            BuildError::Files(_) | BuildError::UserData(_) => {
                "move environment variables and configuration that are long into the image"
            }
        };
        Self::new(ErrorKind::Invalid, error.to_string()).with_hint(hint)
    }
}

/// Where the container has its TLS files.
pub fn tls_paths() -> TlsPaths {
    let path = |name| format!("{FILES}/tls/{name}");
    TlsPaths { ca: path("ca.crt"), cert: path("tls.crt"), key: path("tls.key") }
}

/// What the machines of a role fetch. `secret_environment`: values by the names they get in the container.
pub fn contents(
    document: &ComputeCluster,
    identity: &Identity,
    secret_environment: &BTreeMap<String, String>,
) -> Result<Contents, BuildError> {
    let secrets = json!({
        "tls": { "ca.crt": identity.ca, "tls.crt": identity.cert, "tls.key": identity.key.expose() },
        "env": secret_environment,
    })
    .to_string();
    if secrets.len() > MAX_PARAMETER {
        return Err(BuildError::Secrets(secrets.len()));
    }
    let EngineSpec::Dask(dask) = &document.spec.engine;
    let files = json!({
        "dask.yaml": configuration(&dask.config, Some(&tls_paths())),
        python::PRELOAD: python::PRELOAD_TEXT,
    });
    let text = STANDARD.encode(compressed(files.to_string().as_bytes()));
    let mut pieces = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(MAX_PARAMETER));
        pieces.push(piece.to_owned());
        rest = after;
    }
    if pieces.len() > MOST_FILES {
        return Err(BuildError::Files(pieces.len()));
    }
    Ok(Contents { secrets, files: pieces })
}

/// As gzip, without a time: the same text always gives the same bytes.
pub(super) fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder: GzEncoder<Vec<u8>> = GzBuilder::new().write(Vec::new(), Compression::best());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
