//! Schemas of the maps, lists and texts whose limits their Rust types do not carry.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::{
    GroupName, InstanceType, NetworkPeer, PullSecret, Quantity, Toleration, WorkerGroupSpec, limits,
};

/// Names of environment variables, as POSIX has them.
pub(super) const ENV_NAME_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
const LABEL_KEY_PATTERN: &str =
    "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
const LABEL_PATTERN: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
const OBJECT_NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const ZONE_PATTERN: &str = "^[a-z]{2}(-[a-z0-9]+)+-[0-9]+[a-z]$";
const SUBNET_PATTERN: &str = "^subnet-[0-9a-f]{8,17}$";
const AMI_PATTERN: &str = "^(ami-[0-9a-f]{8,17}|resolve:ssm:[A-Za-z0-9_.:/-]+)$";
const TAG_PATTERN: &str = r"^[A-Za-z0-9+=._:,@-]+$";
const PROFILE_NAME_PATTERN: &str = r"^[A-Za-z0-9_+=,.@-]+$";
const CLIENT_PATTERN: &str = "^(anywhere|[0-9a-fA-F:.]+/[0-9]{1,3})$";
const CIDR_PATTERN: &str = "^[0-9a-fA-F:.]+/[0-9]{1,3}$";

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

pub(super) fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": limits::ANNOTATIONS,
        "propertyNames": {"minLength": 1, "maxLength": limits::LABEL_KEY, "pattern": LABEL_KEY_PATTERN},
        "additionalProperties": {"type": "string", "maxLength": limits::ANNOTATION},
    })
}

pub(super) fn label_key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": limits::LABEL_KEY, "pattern": LABEL_KEY_PATTERN,
    })
}

pub(super) fn label_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": limits::LABEL, "pattern": LABEL_PATTERN})
}

pub(super) fn object_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": limits::OBJECT_NAME, "pattern": OBJECT_NAME_PATTERN,
    })
}

pub(super) fn quantities(generator: &mut SchemaGenerator) -> Schema {
    let quantity = generator.subschema_for::<Quantity>();
    json_schema!({
        "type": "object",
        "maxProperties": limits::POD_RESOURCES,
        "propertyNames": {"minLength": 1, "maxLength": limits::LABEL_KEY, "pattern": LABEL_KEY_PATTERN},
        "additionalProperties": quantity,
    })
}

/// A piece of Kubernetes' own: its fields are for the API server to check.
pub(super) fn fragment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": limits::FRAGMENT,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

pub(super) fn volumes(_: &mut SchemaGenerator) -> Schema {
    fragments(limits::VOLUMES, &["name"])
}

pub(super) fn volume_mounts(_: &mut SchemaGenerator) -> Schema {
    fragments(limits::VOLUME_MOUNTS, &["name", "mountPath"])
}

fn fragments(most: usize, required: &[&str]) -> Schema {
    let texts: serde_json::Map<String, serde_json::Value> = required
        .iter()
        .map(|key| ((*key).to_owned(), serde_json::json!({"type": "string", "maxLength": limits::PATH})))
        .collect();
    json_schema!({
        "type": "array",
        "maxItems": most,
        "items": {
            "type": "object",
            "maxProperties": limits::FRAGMENT,
            "required": required,
            "properties": texts,
            "x-kubernetes-preserve-unknown-fields": true,
        },
    })
}

pub(super) fn tolerations(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<Toleration>();
    json_schema!({"type": "array", "maxItems": limits::TOLERATIONS, "items": item})
}

pub(super) fn pull_secrets(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<PullSecret>();
    json_schema!({"type": "array", "maxItems": limits::PULL_SECRETS, "items": item})
}

pub(super) fn network_peers(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<NetworkPeer>();
    json_schema!({"type": "array", "maxItems": limits::NETWORK_PEERS, "items": item})
}

pub(super) fn cidr(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": limits::CIDR, "pattern": CIDR_PATTERN})
}

pub(super) fn cidrs(generator: &mut SchemaGenerator) -> Schema {
    let item = cidr(generator);
    json_schema!({"type": "array", "maxItems": limits::NETWORK_EXCEPT, "items": item})
}

pub(super) fn zones(_: &mut SchemaGenerator) -> Schema {
    texts(limits::SUBNETS, 32, ZONE_PATTERN)
}

pub(super) fn subnets(_: &mut SchemaGenerator) -> Schema {
    texts(limits::SUBNETS, 32, SUBNET_PATTERN)
}

pub(super) fn client_cidrs(_: &mut SchemaGenerator) -> Schema {
    texts(limits::CLIENT_CIDRS, limits::CIDR, CLIENT_PATTERN)
}

fn texts(most: usize, characters: usize, pattern: &str) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": most,
        "items": {"type": "string", "minLength": 1, "maxLength": characters, "pattern": pattern},
    })
}

pub(super) fn instance_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": InstanceType::MAX_LENGTH, "pattern": InstanceType::PATTERN,
    })
}

pub(super) fn instance_types(_: &mut SchemaGenerator) -> Schema {
    texts(limits::INSTANCE_TYPES, InstanceType::MAX_LENGTH, InstanceType::PATTERN)
}

pub(super) fn ami(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": limits::REFERENCE, "pattern": AMI_PATTERN})
}

/// The name of a key pair or placement group.
pub(super) fn aws_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": limits::AWS_NAME, "pattern": "^[ -~]+$",
    })
}

pub(super) fn profile_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": limits::PROFILE_NAME, "pattern": PROFILE_NAME_PATTERN,
    })
}

pub(super) fn tags(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": limits::TAGS,
        "propertyNames": {"minLength": 1, "maxLength": limits::TAG_KEY, "pattern": TAG_PATTERN},
        "additionalProperties": {"type": "string", "maxLength": limits::TAG_VALUE},
    })
}

pub(super) fn prices(generator: &mut SchemaGenerator) -> Schema {
    let name = instance_type(generator);
    let amount = amount_of_money(generator);
    json_schema!({
        "type": "object",
        "maxProperties": limits::PRICES,
        "propertyNames": name,
        "additionalProperties": amount,
    })
}

pub(super) fn amount_of_money(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "number", "exclusiveMinimum": 0})
}
