//! The part of a `PodSpec` that goes over everything: what in it is Crewcall's.

use serde_json::Value;

use super::{
    Problem,
    pods::{Known, text, volume_mount, volumes},
};
use crate::spec::{FieldPath, Fragment, PodTemplate, text::code};

/// Keys of a `PodSpec` that are not to be set, and where it is said instead.
const OWN_FIELDS: [(&str, &str); 4] = [
    ("restartPolicy", "a node that ends is replaced by a new one, so its pod is never restarted"),
    ("activeDeadlineSeconds", "write `maxLifetime` in `spec`"),
    ("terminationGracePeriodSeconds", "write `drainGrace` in `spec`: the grace period follows it"),
    ("ephemeralContainers", "add them to a pod that runs, with `kubectl debug`"),
];

/// Keys of the main container that are not to be set, and where it is said instead.
const OWN_CONTAINER_FIELDS: [(&str, &str); 4] = [
    ("command", "write preloads and settings of Dask in `spec.engine.dask`"),
    ("args", "write preloads and settings of Dask in `spec.engine.dask`"),
    ("image", "write `image` in `spec.environment`"),
    ("ports", "scheduler and workers choose them themselves"),
];

pub(super) fn check(path: &FieldPath, spec: &Fragment, known: &Known, found: &mut Vec<Problem>) {
    for (key, value) in spec {
        let path = path.key(key);
        if matches!(key.as_str(), "spec" | "metadata") {
            found.push(
                Problem::error(format!("`podSpec` is a pod's `spec` itself, and has no `{key}`"))
                    .at_key(&path, "")
                    .help("write the keys of `spec` here; labels and annotations have keys of their own beside `podSpec`"),
            );
        }
        own_field(&path, key, &OWN_FIELDS, found);
        match key.as_str() {
            "containers" => {
                items(&path, value, found).for_each(|(path, item)| main_container(&path, item, known, found));
            }
            "initContainers" => {
                items(&path, value, found).for_each(|(path, item)| init_container(&path, item, found));
            }
            "volumes" => {
                let list: Vec<Fragment> = items(&path, value, found)
                    .map(|(_, item)| item.as_object().into_iter().flatten())
                    .map(|map| map.map(|(key, value)| (key.clone(), value.clone())).collect())
                    .collect();
                volumes(&path, &list, found);
            }
            _ => {}
        }
    }
}

fn own_field(path: &FieldPath, key: &str, own: &[(&str, &str)], found: &mut Vec<Problem>) {
    if let Some((_, help)) = own.iter().find(|(name, _)| *name == key) {
        found.push(Problem::error(format!("`{key}` is not to be changed")).at_key(path, "").help(*help));
    }
}

/// The maps in a list; what is no list of maps is reported.
fn items<'v>(
    path: &FieldPath,
    value: &'v Value,
    found: &mut Vec<Problem>,
) -> impl Iterator<Item = (FieldPath, &'v Value)> + use<'v> {
    let list = value.as_array().filter(|list| list.iter().all(Value::is_object));
    if list.is_none() {
        let problem = Problem::error(format!("{} must be a list of maps", code(&path.to_string())));
        found.push(problem.at(path, "").help("write it as a PodSpec has it: `- name: ...` and so on"));
    }
    let path = path.clone();
    list.into_iter().flatten().enumerate().map(move |(index, item)| (path.index(index), item))
}

fn main_container(path: &FieldPath, container: &Value, known: &Known, found: &mut Vec<Problem>) {
    let Some(name) = text(path, "name", &|key| container.get(key), found) else { return };
    if name != PodTemplate::CONTAINER {
        found.push(
            Problem::error(format!("the container {} would keep the pod alive when Dask has ended", code(name)))
                .at(&path.key("name"), "")
                .help("write it below `initContainers` with `restartPolicy: Always`, which makes it a sidecar; the main container is `dask`"),
        );
        return;
    }
    for (key, value) in container.as_object().into_iter().flatten() {
        let path = path.key(key);
        own_field(&path, key, &OWN_CONTAINER_FIELDS, found);
        match key.as_str() {
            "volumeMounts" => {
                for (path, mount) in items(&path, value, found) {
                    volume_mount(&path, &|key| mount.get(key), known, found);
                }
            }
            "env" => {
                for (path, variable) in items(&path, value, found) {
                    own_variable(&path, variable, found);
                }
            }
            _ => {}
        }
    }
}

fn own_variable(path: &FieldPath, variable: &Value, found: &mut Vec<Problem>) {
    let Some(name) = text(path, "name", &|key| variable.get(key), found) else { return };
    if name.starts_with("CREWCALL_") || name == "DASK_CONFIG" {
        found.push(
            Problem::error(format!("the variable {} is Crewcall's own to set", code(name)))
                .at(&path.key("name"), "")
                .help("write settings of Dask in `spec.engine.dask.config`"),
        );
    }
}

fn init_container(path: &FieldPath, container: &Value, found: &mut Vec<Problem>) {
    let Some(name) = text(path, "name", &|key| container.get(key), found) else { return };
    if name == PodTemplate::CONTAINER || name.starts_with(PodTemplate::OWN_VOLUMES) {
        found.push(
            Problem::error(format!("the container {} would be one of Crewcall's own", code(name)))
                .at(&path.key("name"), "")
                .help("use another name"),
        );
    }
}
