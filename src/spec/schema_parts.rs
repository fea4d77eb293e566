//! Schemas of the maps, lists and texts whose limits their Rust types do not carry.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::{GroupName, WorkerGroupSpec, limits};

/// Names of environment variables, as POSIX has them.
pub(super) const ENV_NAME_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
const LABEL_KEY_PATTERN: &str =
    "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
const LABEL_PATTERN: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";

pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": limits::LABELS,
        "propertyNames": {"minLength": 1, "maxLength": limits::LABEL_KEY, "pattern": LABEL_KEY_PATTERN},
        "additionalProperties": {"type": "string", "maxLength": limits::LABEL, "pattern": LABEL_PATTERN},
    })
}

pub(super) fn env(_: &mut SchemaGenerator) -> Schema {
    env_map(&json_schema!({"type": "string", "maxLength": limits::ENV_VALUE}))
}

pub(super) fn secret_env(_: &mut SchemaGenerator) -> Schema {
    let name = json_schema!({
        "type": "string", "minLength": 1, "maxLength": limits::ENV_NAME, "pattern": ENV_NAME_PATTERN,
    });
    env_map(&name)
}

fn env_map(value: &Schema) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": limits::ENV,
        "propertyNames": {"minLength": 1, "maxLength": limits::ENV_NAME, "pattern": ENV_NAME_PATTERN},
        "additionalProperties": value,
    })
}

pub(super) fn worker_groups(generator: &mut SchemaGenerator) -> Schema {
    let name = generator.subschema_for::<GroupName>();
    let group = generator.subschema_for::<WorkerGroupSpec>();
    json_schema!({
        "type": "object",
        "maxProperties": limits::GROUPS,
        "propertyNames": {"allOf": [name, {"not": {"enum": ["workers", "scheduler"]}}]},
        "additionalProperties": group,
    })
}

pub(super) fn resources(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": limits::RESOURCES,
        "propertyNames": {"minLength": 1, "maxLength": limits::RESOURCE},
        "additionalProperties": {"type": "number", "minimum": 0},
    })
}

pub(super) fn config(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": limits::CONFIG,
        "propertyNames": {"minLength": 1, "maxLength": limits::CONFIG_KEY},
        "additionalProperties": true,
    })
}

pub(super) fn preloads(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": limits::PRELOADS,
        "items": {"type": "string", "minLength": 1, "maxLength": limits::PATH},
    })
}

pub(super) fn packages(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": limits::PACKAGES,
        "items": {"type": "string", "minLength": 1, "maxLength": limits::REFERENCE, "pattern": "^[^-]"},
    })
}

pub(super) fn path(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": limits::PATH})
}

pub(super) fn image(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": limits::REFERENCE, "pattern": r"^\S+$"})
}

pub(super) fn region(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 32, "pattern": "^[a-z]{2}(-[a-z]+)+-[0-9]+$"})
}
