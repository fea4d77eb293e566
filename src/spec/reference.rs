//! The field reference, made from the schema.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    json_schema,
    reader::{SHAPES, Shape},
};

/// Every field of a document as a page of Markdown: one table per type.
pub fn reference_markdown() -> String {
    let schema = json_schema();
    let definitions = schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut page = String::from(
        "# ComputeCluster, field by field\n\n\
         `apiVersion: crewcall.dev/v1alpha1`. This page is made from the types that read the document; \
         [the JSON Schema](../schema/computecluster.v1alpha1.json) says the same to an editor.\n",
    );
    for shape in SHAPES {
        let definition = if shape.schema_name == "ComputeCluster" {
            Some(&schema)
        } else {
            definitions.get(shape.schema_name)
        };
        if let Some(definition) = definition {
            section(&mut page, shape, definition, &definitions);
        }
    }
    page.push_str("\n## Quantities\n\n| type | written as |\n|---|---|\n");
    for (name, definition) in &definitions {
        if let Some(examples) = definition.get("examples").and_then(Value::as_array) {
            let examples: Vec<_> =
                examples.iter().filter_map(Value::as_str).map(|text| format!("`{text}`")).collect();
            let _ = writeln!(page, "| {name} | {} |", examples.join(", "));
        }
    }
    page
}

fn section(page: &mut String, shape: &Shape, schema: &Value, definitions: &Map<String, Value>) {
    let _ = write!(page, "\n## {}\n\n", shape.schema_name);
    if let Some(text) = description(schema) {
        let _ = writeln!(page, "{text}\n");
    }
    let variants = schema.get("oneOf").and_then(Value::as_array);
    let row = |key: &&str| match variants {
        None => row(schema, key, definitions),
        Some(variants) => variants.iter().find_map(|variant| row(variant, key, definitions)),
    };
    let rows: Vec<String> = shape.keys.iter().filter_map(row).collect();
    if rows.is_empty() {
        page.push_str("No fields; written `{}`.\n");
        return;
    }
    if variants.is_some() {
        page.push_str("Exactly one of:\n\n");
    }
    page.push_str("| field | type | default | meaning |\n|---|---|---|---|\n");
    page.push_str(&rows.concat());
}

/// The row of one key; `None` when the schema does not have it.
fn row(schema: &Value, key: &str, definitions: &Map<String, Value>) -> Option<String> {
    let field = schema.get("properties")?.get(key)?;
    // A variant is described by the schema around its only key.
    let text = description(field).or_else(|| description(schema)).unwrap_or_default();
    let (text, said) = split_default(&text);
    let is_variant = description(field).is_none();
    let required =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().any(|name| name == key);
    let default = match (said, field.get("default")) {
        _ if required && !is_variant => "required".to_owned(),
        (Some(said), _) => said,
        (None, Some(value)) if is_plain(value) => format!("`{value}`"),
        _ => String::new(),
    };
    let kind = type_of(field, definitions).replace('|', "\\|");
    Some(format!("| `{key}` | {kind} | {default} | {text} |\n"))
}

/// Descriptions name defaults as their last sentences: "Default: 10m."
fn split_default(text: &str) -> (String, Option<String>) {
    match text.split_once("Default: ") {
        None => (text.to_owned(), None),
        Some((before, after)) => {
            let (said, rest) = after.split_once(". ").unwrap_or((after.trim_end_matches('.'), ""));
            (format!("{before}{rest}").trim_end().to_owned(), Some(said.to_owned()))
        }
    }
}

fn is_plain(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_))
}

fn description(schema: &Value) -> Option<String> {
    let text = schema.get("description")?.as_str()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn type_of(schema: &Value, definitions: &Map<String, Value>) -> String {
    if let Some(name) =
        schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"))
    {
        return named(name, definitions);
    }
    if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
        let is_null = |option: &&Value| option.get("type").and_then(Value::as_str) == Some("null");
        let types: Vec<_> = options
            .iter()
            .filter(|option| !is_null(option))
            .map(|option| type_of(option, definitions))
            .collect();
        return types.join(" or ");
    }
    let types = match schema.get("type") {
        Some(Value::Array(types)) => {
            types.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
        }
        Some(Value::String(name)) => vec![name.as_str()],
        _ => vec!["any"],
    };
    let inner =
        |key: &str| schema.get(key).map_or_else(|| "any".to_owned(), |inner| type_of(inner, definitions));
    let types: Vec<String> = types
        .into_iter()
        .map(|name| match name {
            "array" => format!("list of {}", inner("items")),
            "object" => format!("map of {}", inner("additionalProperties")),
            "integer" => format!("integer{}", range(schema)),
            other => other.to_owned(),
        })
        .collect();
    types.join(" or ")
}

fn range(schema: &Value) -> String {
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    match (bound("minimum"), bound("maximum")) {
        (least, Some(most)) => format!(", {} to {most}", least.unwrap_or(0)),
        _ => String::new(),
    }
}

fn named(name: &str, definitions: &Map<String, Value>) -> String {
    match definitions
        .get(name)
        .and_then(|definition| definition.get("enum").or_else(|| definition.get("oneOf")))
    {
        Some(Value::Array(values)) => {
            let words: Vec<_> = values
                .iter()
                .filter_map(|value| value.as_str().or_else(|| value.get("const")?.as_str()))
                .collect();
            if words.is_empty() { link(name) } else { format!("`{}`", words.join("` or `")) }
        }
        _ if SHAPES.iter().any(|shape| shape.schema_name == name) => link(name),
        _ => name.to_owned(),
    }
}

fn link(name: &str) -> String {
    format!("[{name}](#{})", name.to_lowercase())
}
