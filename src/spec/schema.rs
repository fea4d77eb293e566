//! The JSON Schema of a document, for editors and other tools.

use schemars::{generate::SchemaSettings, transform::Transform as _};
use serde_json::{Value, json};

use super::ComputeCluster;

const ID: &str = "https://crewcall.dev/schema/v1alpha1.json";

/// The schema of a document in a file, by JSON Schema's draft 2020-12.
///
/// It is that of the plain types, but admits what only files may have: numbers for `cpu`,
/// `memory` and resources, and no nulls. It says what a single value may be; what values mean together only `load` checks.
pub fn json_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<ComputeCluster>();
    schemars::transform::RestrictFormats::default().transform(&mut schema);
    let mut value = schema.to_value();
    without_null(&mut value);
    if let Some(root) = value.as_object_mut() {
        root.insert("$id".to_owned(), json!(ID));
        root.insert("title".to_owned(), json!("ComputeCluster (crewcall.dev/v1alpha1)"));
    }
    let least = [
        ("Memory", json!({"minimum": 1})),
        ("Cpu", json!({"exclusiveMinimum": 0})),
        ("Quantity", json!({"minimum": 0})),
    ];
    for (name, least) in least {
        if let Some(definition) = value.pointer_mut(&format!("/$defs/{name}")).and_then(Value::as_object_mut)
        {
            let number = if name == "Memory" { "integer" } else { "number" };
            definition.insert("type".to_owned(), json!(["string", number]));
            definition.extend(least.as_object().cloned().unwrap_or_default());
        }
    }
    value
}

/// What is not said is left out of a file: a key without a value is a mistake there.
pub(super) fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(keywords) => {
            if let Some(Value::Array(types)) = keywords.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    keywords.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(mut options)) = keywords.remove("anyOf") {
                options.retain(|option| option.get("type") != Some(&json!("null")));
                match options.as_slice() {
                    [Value::Object(only)] => keywords.extend(only.clone()),
                    _ => {
                        keywords.insert("anyOf".to_owned(), Value::Array(options));
                    }
                }
            }
            keywords.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::spec::reader::SHAPES;

    /// Keys of an object, or the names of an enum's variants.
    fn keys(schema: &Value) -> BTreeSet<&str> {
        let variants = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
        let objects = std::iter::once(schema).chain(variants);
        objects
            .filter_map(|object| object.get("properties")?.as_object())
            .flatten()
            .map(|(key, _)| key.as_str())
            .collect()
    }

    #[test]
    fn reader_and_schema_know_the_same_keys() {
        let schema = json_schema();
        for shape in SHAPES {
            let pointer = format!("/$defs/{}", shape.schema_name);
            let definition =
                if shape.schema_name == "ComputeCluster" { Some(&schema) } else { schema.pointer(&pointer) };
            let definition =
                definition.unwrap_or_else(|| panic!("{} is not in the schema", shape.schema_name));
            assert_eq!(keys(definition), shape.keys.iter().copied().collect(), "{}", shape.schema_name);
        }
        let objects =
            schema["$defs"].as_object().unwrap().values().filter(|definition| !keys(definition).is_empty());
        let empty = 1;
        assert_eq!(objects.count() + 1 + empty, SHAPES.len(), "a type of the schema is not read");
    }

    #[test]
    fn every_map_list_and_text_has_a_most() {
        fn visit(schema: &Value, path: &str) {
            let has = |key: &str| schema.get(key).is_some();
            let closed =
                has("enum") || has("const") || schema.get("additionalProperties") == Some(&json!(false));
            let kind = schema.get("type").map(ToString::to_string).unwrap_or_default();
            if !closed {
                assert!(!kind.contains("string") || has("maxLength"), "{path} is a text without a most");
                assert!(!kind.contains("array") || has("maxItems"), "{path} is a list without a most");
                assert!(!kind.contains("object") || has("maxProperties"), "{path} is a map without a most");
            }
            for key in ["properties", "$defs"] {
                for (name, inner) in schema.get(key).and_then(Value::as_object).into_iter().flatten() {
                    visit(inner, &format!("{path}/{name}"));
                }
            }
            for key in ["oneOf", "anyOf"] {
                for inner in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
                    visit(inner, path);
                }
            }
            for key in ["items", "additionalProperties"] {
                schema.get(key).into_iter().for_each(|inner| visit(inner, &format!("{path}/*")));
            }
        }
        visit(&json_schema(), "");
    }
}
