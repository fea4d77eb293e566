//! Forwarders are made on Linux only, so far: elsewhere a person has no way to a cluster's pods.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::way::Way;
use crate::{
    model::{ClusterKey, ClusterUid, ErrorKind, KubernetesContext},
    provider::ProviderError,
};

/// The files of a client: authority, certificate, key.
pub type ClientPaths = [PathBuf; 3];

/// No ways.
pub struct Guest;

impl Guest {
    /// None.
    pub fn new(_: &Path, _: PathBuf, _: BTreeMap<String, String>) -> Result<Self, ProviderError> {
        Ok(Self)
    }

    /// Keeps nothing.
    pub fn keep(&self, _: &ClusterUid, _: &[String; 3]) -> Result<ClientPaths, ProviderError> {
        Err(unsupported())
    }

    /// There is none.
    pub async fn way(&self, _: &ClusterKey, _: &KubernetesContext, _: &str) -> Result<Way, ProviderError> {
        std::future::ready(Err(unsupported())).await
    }

    /// There is none.
    pub fn known(&self, _: &ClusterUid, _: &str) -> Option<(Way, ClientPaths)> {
        None
    }

    /// None.
    pub fn abandoned(&self) -> Result<Vec<ClusterUid>, ProviderError> {
        Ok(Vec::new())
    }

    /// Nothing is to be ended.
    pub async fn end(&self, _: &ClusterUid) -> Result<(), ProviderError> {
        std::future::ready(Ok(())).await
    }
}

fn unsupported() -> ProviderError {
    let message = "ways to clusters on Kubernetes are made on Linux only, so far";
    ProviderError::new(ErrorKind::Invalid, message)
}
