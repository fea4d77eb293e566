//! A document as the YAML that a person reads back.

use super::ComputeCluster;

/// A document that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the document of cluster `{name}` as YAML")]
pub struct EmitError {
    name: String,
    source: serde_saphyr::ser_error::Error,
}

/// The document as YAML: quantities in canonical form, defaults left out where the type leaves
/// them out, and words quoted that any reader might take for something else (`yes`, `1e3`).
/// [`super::load`] reads it back as the same document.
pub fn to_yaml(cluster: &ComputeCluster) -> Result<String, EmitError> {
    serde_saphyr::to_string(cluster)
        .map_err(|source| EmitError { name: cluster.metadata.name.to_string(), source })
}
