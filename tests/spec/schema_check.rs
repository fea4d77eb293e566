//! As much of JSON Schema as our schema uses; any other keyword fails the test.

use regex::Regex;
use serde_json::Value;

/// Where the value breaks the schema; empty: it does not.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Checker { root: schema }.check(schema, value, "", &mut found);
    found
}

struct Checker<'s> {
    root: &'s Value,
}

impl Checker<'_> {
    fn accepts(&self, schema: &Value, value: &Value) -> bool {
        let mut found = Vec::new();
        self.check(schema, value, "", &mut found);
        found.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
        let keywords = match schema {
            Value::Bool(true) => return,
            Value::Bool(false) => return found.push(format!("{path}: not allowed")),
            Value::Object(keywords) => keywords,
            other => panic!("{other} is no schema"),
        };
        for (keyword, rule) in keywords {
            if !self.holds(keyword, rule, schema, value, path, found) {
                found.push(format!("{path}: {keyword} {rule}"));
            }
        }
    }

    /// Whether the keyword is satisfied; what is found deeper goes to `found`.
    fn holds(
        &self,
        keyword: &str,
        rule: &Value,
        schema: &Value,
        value: &Value,
        path: &str,
        found: &mut Vec<String>,
    ) -> bool {
        let list = || rule.as_array().unwrap();
        let accepting = || list().iter().filter(|option| self.accepts(option, value)).count();
        let length = |at_least: bool, measured: Option<usize>| {
            let bound = usize::try_from(rule.as_u64().unwrap()).unwrap();
            measured.is_none_or(|measured| if at_least { measured >= bound } else { measured <= bound })
        };
        let characters = value.as_str().map(|text| text.chars().count());
        match keyword {
            "$schema"
            | "$id"
            | "$defs"
            | "title"
            | "description"
            | "default"
            | "examples"
            | "format"
            | "x-kubernetes-preserve-unknown-fields" => true,
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                self.check(self.root.pointer(pointer).unwrap(), value, path, found);
                true
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| is(name.as_str().unwrap(), value)),
                name => is(name.as_str().unwrap(), value),
            },
            "enum" => list().contains(value),
            "const" => rule == value,
            "oneOf" => accepting() == 1,
            "anyOf" => accepting() > 0,
            "allOf" => accepting() == list().len(),
            "not" => !self.accepts(rule, value),
            "minLength" => length(true, characters),
            "maxLength" => length(false, characters),
            "minItems" => length(true, value.as_array().map(Vec::len)),
            "maxItems" => length(false, value.as_array().map(Vec::len)),
            "maxProperties" => length(false, value.as_object().map(serde_json::Map::len)),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "pattern" => {
                value.as_str().is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
            }
            "required" => value
                .as_object()
                .is_none_or(|map| list().iter().all(|key| map.contains_key(key.as_str().unwrap()))),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.check(rule, item, &format!("{path}[{index}]"), found);
                }
                true
            }
            "propertyNames" => {
                for key in value.as_object().into_iter().flat_map(serde_json::Map::keys) {
                    self.check(rule, &Value::String(key.clone()), &format!("{path}.{key}"), found);
                }
                true
            }
            "properties" => {
                for (key, rule) in rule.as_object().unwrap() {
                    if let Some(inner) = value.get(key) {
                        self.check(rule, inner, &format!("{path}.{key}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                for (key, inner) in value.as_object().into_iter().flatten() {
                    if schema.get("properties").is_none_or(|known| known.get(key).is_none()) {
                        self.check(rule, inner, &format!("{path}.{key}"), found);
                    }
                }
                true
            }
            other => panic!("the schema uses `{other}`, which this check does not know"),
        }
    }
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}
