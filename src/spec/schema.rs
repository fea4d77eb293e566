//! The JSON Schema of a document, for editors and other tools.

use schemars::{generate::SchemaSettings, transform::Transform as _};
use serde_json::{Value, json};

use super::ComputeCluster;

const ID: &str = "https://crewcall.dev/schema/v1alpha1.json";

/// The schema of a document in a file, by JSON Schema's draft 2020-12.
///
/// It is that of the plain types, but admits what only files may have: numbers for `cpu` and
/// `memory`. It says what a single value may be; what values mean together only `load` checks.
pub fn json_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<ComputeCluster>();
    schemars::transform::RestrictFormats::default().transform(&mut schema);
    let mut value = schema.to_value();
    if let Some(root) = value.as_object_mut() {
        root.insert("$id".to_owned(), json!(ID));
        root.insert("title".to_owned(), json!("ComputeCluster (crewcall.dev/v1alpha1)"));
    }
    for (name, least) in [("Memory", json!({"minimum": 1})), ("Cpu", json!({"exclusiveMinimum": 0}))] {
        if let Some(definition) = value.pointer_mut(&format!("/$defs/{name}")).and_then(Value::as_object_mut)
        {
            let number = if name == "Memory" { "integer" } else { "number" };
            definition.insert("type".to_owned(), json!(["string", number]));
            definition.extend(least.as_object().cloned().unwrap_or_default());
        }
    }
    value
}
