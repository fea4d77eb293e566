//! From JSON Schema to the form that the API server takes for a custom resource.
//!
//! A structural schema has no references and says each field's type once, outside of `oneOf` and the like.
//! Maps have no `propertyNames`, and objects no `additionalProperties: false`: unknown keys are refused
//! under strict validation, and dropped without it.

use serde_json::{Map, Value, json};

use super::rules::{self, Rule};

/// Keywords that both forms have, with the same meaning.
const SAME: [&str; 16] = [
    "description",
    "enum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
    "required",
    "type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-preserve-unknown-fields",
];

/// The structural form of a JSON Schema, whose root has the `$defs` that it refers to.
///
/// Each type gets its rules and constant defaults from [`rules`].
pub(super) fn structural(root: &Value) -> Value {
    Transformer { root }.schema(root, None)
}

struct Transformer<'s> {
    root: &'s Value,
}

impl Transformer<'_> {
    /// `name` is that of the Rust type, where it has one.
    fn schema(&self, schema: &Value, name: Option<&str>) -> Value {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
            return Value::Object(self.object(schema, name));
        };
        // References are made by schemars, and always have their target.
        let target = self.root.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
        let mut inlined = self.object(target, reference.rsplit('/').next());
        if let Some(description) = schema.get("description") {
            inlined.insert("description".to_owned(), description.clone());
        }
        Value::Object(inlined)
    }

    fn object(&self, schema: &Value, name: Option<&str>) -> Map<String, Value> {
        let keywords = schema.as_object().cloned().unwrap_or_default();
        let same = |(key, _): &(&String, &Value)| SAME.contains(&key.as_str());
        let mut made: Map<String, Value> =
            keywords.iter().filter(same).map(|(key, value)| (key.clone(), value.clone())).collect();
        // Of Rust's own formats, such as `uint32`, the API server knows nothing.
        made.retain(|key, value| key != "format" || value == "date-time");
        let mut found = Vec::new();
        if let Some(properties) = keywords.get("properties").and_then(Value::as_object) {
            made.insert("properties".to_owned(), self.properties(properties));
        }
        if let Some(items) = keywords.get("items") {
            made.insert("items".to_owned(), self.schema(items, None));
        }
        match keywords.get("additionalProperties") {
            Some(Value::Bool(true)) => {
                made.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
            }
            Some(Value::Bool(false)) | None => {}
            Some(values) => {
                made.insert("additionalProperties".to_owned(), self.schema(values, None));
            }
        }
        if let Some(least) = keywords.get("exclusiveMinimum") {
            made.extend([
                ("minimum".to_owned(), least.clone()),
                ("exclusiveMinimum".to_owned(), json!(true)),
            ]);
        }
        if let Some(options) = keywords.get("oneOf").and_then(Value::as_array) {
            self.one_of(options, &mut made, &mut found);
        }
        if keywords.get("type").is_some_and(Value::is_array) {
            int_or_string(&mut made);
        }
        // What is free-form is not seen by CEL, keys and all.
        let opaque = made.contains_key("x-kubernetes-preserve-unknown-fields");
        if let Some(names) = keywords.get("propertyNames").filter(|_| !opaque) {
            found.extend(self.keys(names));
        }
        // A rule says what was meant, where the API server would repeat the pattern.
        if let Some(form) = name.and_then(rules::form) {
            let pattern = made.remove("pattern");
            found.extend(rules::written(&form, pattern.as_ref().and_then(Value::as_str).unwrap_or_default()));
        }
        found.extend(name.into_iter().flat_map(rules::of));
        if !found.is_empty() {
            let all = found.iter().map(Rule::to_json).collect();
            made.insert("x-kubernetes-validations".to_owned(), Value::Array(all));
        }
        for (property, default) in name.into_iter().flat_map(rules::defaults) {
            let place = made.get_mut("properties").and_then(|properties| properties.get_mut(property));
            debug_assert!(place.is_some(), "`{property}` has a default and is not there");
            if let Some(field) = place.and_then(Value::as_object_mut) {
                field.insert("default".to_owned(), default);
            }
        }
        if let (Some("PodTemplate"), Some(fields)) =
            (name, made.get_mut("properties").and_then(|properties| properties.get_mut("podSpec")))
            && let Some(fields) = fields.as_object_mut()
        {
            fields.extend(rules::own_fields_of_pods());
        }
        made
    }

    fn properties(&self, properties: &Map<String, Value>) -> Value {
        let made = properties.iter().map(|(key, schema)| (key.clone(), self.schema(schema, None)));
        Value::Object(made.collect())
    }

    /// Variants: of a text, its values; of an object, keys of which there is one.
    fn one_of(&self, options: &[Value], made: &mut Map<String, Value>, found: &mut Vec<Rule>) {
        let constants: Vec<Value> =
            options.iter().filter_map(|option| option.get("const")).cloned().collect();
        if constants.len() == options.len() {
            made.extend([("type".to_owned(), json!("string")), ("enum".to_owned(), Value::Array(constants))]);
            return;
        }
        let mut variants = Map::new();
        for option in options {
            for (key, schema) in option.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let mut variant = self.schema(schema, None);
                if let (Some(fields), Some(description)) =
                    (variant.as_object_mut(), option.get("description"))
                {
                    fields.insert("description".to_owned(), description.clone());
                }
                variants.insert(key.clone(), variant);
            }
        }
        let names: Vec<String> = variants.keys().cloned().collect();
        if let [only] = names.as_slice() {
            made.insert("required".to_owned(), json!([only]));
        } else {
            found.push(rules::exactly_one(&names));
        }
        made.extend([
            ("type".to_owned(), json!("object")),
            ("properties".to_owned(), Value::Object(variants)),
        ]);
    }

    /// The rules for the keys of a map.
    fn keys(&self, names: &Value) -> Vec<Rule> {
        let all = names.get("allOf").and_then(Value::as_array).cloned();
        let mut found = Vec::new();
        for names in all.unwrap_or_else(|| vec![names.clone()]) {
            let names = match names.get("$ref").and_then(Value::as_str) {
                Some(reference) => {
                    self.root.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null)
                }
                None => &names,
            };
            let taken = names.pointer("/not/enum").and_then(Value::as_array).into_iter().flatten();
            found.extend(taken.filter_map(Value::as_str).map(rules::no_key));
            if let Some(most) = names.get("maxLength").and_then(Value::as_u64) {
                found.push(rules::key_length(most));
            }
            if let Some(pattern) = names.get("pattern").and_then(Value::as_str) {
                found.push(rules::key_pattern(pattern));
            }
        }
        found
    }
}

/// What may be written as a number too; CEL and the API server know whole ones only.
fn int_or_string(made: &mut Map<String, Value>) {
    made.remove("type");
    made.insert("x-kubernetes-int-or-string".to_owned(), json!(true));
    // The least of a number is said by the rule for the form.
    for key in ["minimum", "exclusiveMinimum"] {
        made.remove(key);
    }
}
