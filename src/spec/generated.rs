//! Files that are made from the types, as YAML for machines.

use serde_json::Value;

/// A value that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the generated file as YAML")]
pub struct GeneratedError(#[from] serde_yaml::Error);

/// JSON as YAML, for generated files only: words such as `yes` stay unquoted, which a YAML 1.1
/// reader takes for something else. What people read back is written by [`super::to_yaml`].
pub fn generated_yaml(value: &Value) -> Result<String, GeneratedError> {
    Ok(serde_yaml::to_string(value)?)
}
