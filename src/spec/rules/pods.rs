//! Pod templates: names, limits, and what is Crewcall's own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Problem,
    names::{at_most, has_control, is_object_name, label_key, label_value, labels},
    pod_spec,
};
use crate::spec::{
    FieldPath, Fragment, PodResources, PodTemplate, Quantity, TaintEffect, Toleration, TolerationOperator,
    limits, text::code,
};

/// The labels by which Crewcall finds its own, beside those of its own prefix.
const OWN_LABELS: [&str; 3] =
    ["app.kubernetes.io/managed-by", "app.kubernetes.io/name", "app.kubernetes.io/instance"];

/// The template of all pods, which others go over.
pub(super) struct Base<'t> {
    pub(super) path: FieldPath,
    pub(super) template: &'t PodTemplate,
    /// Whether it is small enough to be merged.
    pub(super) fits: bool,
}

/// Whether all limits are kept. What has more is not looked at as a whole: that would take too long.
pub(super) fn fits(template: &PodTemplate) -> bool {
    let lists = [
        (template.tolerations.len(), limits::TOLERATIONS),
        (template.image_pull_secrets.len(), limits::PULL_SECRETS),
        (template.volumes.len(), limits::VOLUMES),
        (template.volume_mounts.len(), limits::VOLUME_MOUNTS),
    ];
    let pieces = [
        &template.affinity,
        &template.security_context,
        &template.container_security_context,
        &template.pod_spec,
    ];
    let pieces = pieces.into_iter().chain(&template.volumes).chain(&template.volume_mounts);
    lists.iter().all(|(count, most)| count <= most)
        && pieces.into_iter().all(|piece| size(piece) <= limits::FRAGMENT_BYTES)
}

/// Bytes of a piece, as JSON.
fn size(piece: &Fragment) -> usize {
    serde_json::to_string(piece).map_or(usize::MAX, |text| text.len())
}

/// Checks a template that goes over the base.
pub(super) fn check(path: &FieldPath, template: &PodTemplate, base: &Base<'_>, found: &mut Vec<Problem>) {
    let labels_path = path.key("labels");
    labels(&labels_path, &template.labels, found);
    for key in template.labels.keys().filter(|key| OWN_LABELS.contains(&key.as_str())) {
        found.push(
            Problem::error(format!("the label {} is Crewcall's own to set", code(key)))
                .at_key(&labels_path.key(key), "")
                .help("use another key, such as `app.kubernetes.io/part-of`"),
        );
    }
    annotations(&path.key("annotations"), &template.annotations, found);
    labels(&path.key("nodeSelector"), &template.node_selector, found);
    tolerations(&path.key("tolerations"), &template.tolerations, found);
    let names = [
        ("priorityClassName", template.priority_class_name.as_deref()),
        ("serviceAccountName", template.service_account_name.as_deref()),
    ];
    for (key, name) in names {
        if let Some(name) = name {
            object_name(&path.key(key), name, found);
        }
    }
    let secrets = path.key("imagePullSecrets");
    if at_most(&secrets, template.image_pull_secrets.len(), limits::PULL_SECRETS, "pull secrets", found) {
        for (index, secret) in template.image_pull_secrets.iter().enumerate() {
            object_name(&secrets.index(index).key("name"), &secret.name, found);
        }
    }
    let fragments = [
        ("affinity", &template.affinity),
        ("securityContext", &template.security_context),
        ("containerSecurityContext", &template.container_security_context),
        ("podSpec", &template.pod_spec),
    ];
    for (key, piece) in fragments {
        fragment(&path.key(key), piece, found);
    }
    resources(&path.key("resources"), template, base, found);
    volumes(&path.key("volumes"), &template.volumes, found);
    if !base.fits || !fits(template) {
        at_most(
            &path.key("volumeMounts"),
            template.volume_mounts.len(),
            limits::VOLUME_MOUNTS,
            "mounts",
            found,
        );
        return;
    }
    let whole = template.over(base.template);
    let known = Known { names: volume_names(&whole), rests_on: vec![path.key("volumes"), base.path.clone()] };
    let mounts = path.key("volumeMounts");
    for (index, mount) in template.volume_mounts.iter().enumerate() {
        volume_mount(&mounts.index(index), &|key| mount.get(key), &known, found);
    }
    pod_spec::check(&path.key("podSpec"), &template.pod_spec, &known, found);
}

pub(super) fn annotations(path: &FieldPath, map: &BTreeMap<String, String>, found: &mut Vec<Problem>) {
    if !at_most(path, map.len(), limits::ANNOTATIONS, "annotations", found) {
        return;
    }
    for (key, value) in map {
        let path = path.key(key);
        label_key(&path, key, found);
        if value.len() > limits::ANNOTATION || has_control(value) {
            let message = if has_control(value) {
                format!("the value of {} has control characters", code(key))
            } else {
                format!(
                    "the value of {} has {} bytes; the most is {}",
                    code(key),
                    value.len(),
                    limits::ANNOTATION
                )
            };
            found.push(Problem::error(message).at(&path, "").help("write a short text"));
        }
    }
}

fn tolerations(path: &FieldPath, list: &[Toleration], found: &mut Vec<Problem>) {
    if !at_most(path, list.len(), limits::TOLERATIONS, "tolerations", found) {
        return;
    }
    for (index, toleration) in list.iter().enumerate() {
        let path = path.index(index);
        let exists = toleration.operator == Some(TolerationOperator::Exists);
        if let Some(key) = &toleration.key {
            taint_key(&path.key("key"), key, found);
        } else if !exists {
            found.push(
                Problem::error("a toleration without a key needs the operator `Exists`")
                    .at(&path, "")
                    .help("add the taint's `key`, or `operator: Exists` to tolerate every taint"),
            );
        }
        if let Some(value) = &toleration.value {
            label_value(&path.key("value"), value, found);
            if exists {
                found.push(
                    Problem::error("the operator `Exists` looks at no value")
                        .at(&path.key("value"), "")
                        .rests_on(&path.key("operator"))
                        .help("remove `value`, or write `operator: Equal`"),
                );
            }
        }
        if toleration.toleration_seconds.is_some() && toleration.effect != Some(TaintEffect::NoExecute) {
            found.push(
                Problem::error("only a taint with the effect `NoExecute` is tolerated for a time")
                    .at(&path.key("tolerationSeconds"), "")
                    .rests_on(&path.key("effect"))
                    .help("add `effect: NoExecute`, or remove `tolerationSeconds`"),
            );
        }
    }
}

/// Taints have the keys of labels; here the field is the value.
fn taint_key(path: &FieldPath, key: &str, found: &mut Vec<Problem>) {
    let mut flaws = Vec::new();
    if !label_key(path, key, &mut flaws) {
        let help = "write it as the taint has it, such as `nvidia.com/gpu`";
        found.push(Problem::error(format!("{} is no key of a taint", code(key))).at(path, "").help(help));
    }
}

pub(super) fn object_name(path: &FieldPath, name: &str, found: &mut Vec<Problem>) {
    if !is_object_name(name) {
        found.push(
            Problem::error(format!("{} is no name of a Kubernetes object", code(name)))
                .at(path, "")
                .help("use a-z, 0-9, '-' and '.', starting and ending with a letter or digit"),
        );
    }
}

/// What is Kubernetes' own is checked by its API server; here only that there is not too much of it.
fn fragment(path: &FieldPath, piece: &Fragment, found: &mut Vec<Problem>) {
    if !at_most(path, piece.len(), limits::FRAGMENT, "keys", found) {
        return;
    }
    let bytes = size(piece);
    if bytes > limits::FRAGMENT_BYTES {
        let most = limits::FRAGMENT_BYTES;
        found.push(
            Problem::error(format!("{bytes} bytes are too many here; the most is {most}"))
                .at_key(path, "")
                .help("put large texts into a ConfigMap, and mount it"),
        );
    }
}

fn resources(path: &FieldPath, template: &PodTemplate, base: &Base<'_>, found: &mut Vec<Problem>) {
    let PodResources { requests, limits: most } = &template.resources;
    for (key, map) in [("requests", requests), ("limits", most)] {
        let path = path.key(key);
        if at_most(&path, map.len(), limits::POD_RESOURCES, "resources", found) {
            for (name, quantity) in map {
                resource(&path.key(name), name, quantity, found);
            }
        }
    }
    // Kubernetes wants both the same of what it cannot share out.
    let inherited = &base.template.resources.limits;
    for (name, wanted) in requests.iter().filter(|(name, _)| is_extended(name)) {
        if most.get(name).or_else(|| inherited.get(name)) != Some(wanted) {
            found.push(
                Problem::error(format!("{} is asked for without the same limit", code(name)))
                    .at(&path.key("requests").key(name), "")
                    .rests_on(&path.key("limits"))
                    .help("write it below `limits` only: that much is then asked for too"),
            );
        }
    }
}

/// Whether it comes from a device plugin or the like, in whole pieces.
fn is_extended(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(domain, _)| domain != "kubernetes.io" && !domain.ends_with(".kubernetes.io"))
}

fn resource(path: &FieldPath, name: &str, quantity: &Quantity, found: &mut Vec<Problem>) {
    if matches!(name, "cpu" | "memory") {
        found.push(
            Problem::error(format!("`{name}` is not said here"))
                .at_key(path, "")
                .help(format!("write `{name}` beside `kubernetes`, in `scheduler`, `workers` or the group")),
        );
        return;
    }
    let native = name == "ephemeral-storage" || name.starts_with("hugepages-");
    if !native && !name.contains('/') {
        let help = match name.to_ascii_lowercase().as_str() {
            "gpu" | "gpus" => "did you mean `nvidia.com/gpu`?",
            _ => {
                "Kubernetes has `ephemeral-storage` and `hugepages-<size>`; devices have a domain, such as `nvidia.com/gpu`"
            }
        };
        let message = format!("{} is no resource of Kubernetes", code(name));
        found.push(Problem::error(message).at_key(path, "").help(help));
    } else if label_key(path, name, found) && is_extended(name) && !quantity.is_count() {
        found.push(
            Problem::error(format!("{} is counted in whole pieces", code(name)))
                .at(path, "")
                .help("write a whole number, such as 1"),
        );
    }
}

/// The volumes that a mount may name.
pub(super) struct Known {
    names: BTreeSet<String>,
    rests_on: Vec<FieldPath>,
}

fn volume_names(template: &PodTemplate) -> BTreeSet<String> {
    let more = template.pod_spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let own = template.volumes.iter().filter_map(|volume| volume.get("name"));
    let names = own.chain(more.filter_map(|volume| volume.get("name")));
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(super) fn volumes(path: &FieldPath, list: &[Fragment], found: &mut Vec<Problem>) {
    if !at_most(path, list.len(), limits::VOLUMES, "volumes", found) {
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, volume) in list.iter().enumerate() {
        let path = path.index(index);
        fragment(&path, volume, found);
        let Some(name) = text(&path, "name", &|key| volume.get(key), found) else { continue };
        volume_name(&path.key("name"), name, found);
        if !seen.insert(name) {
            found.push(
                Problem::error(format!("there are two volumes {}", code(name)))
                    .at(&path.key("name"), "the second")
                    .help("give each its own name"),
            );
        }
        if volume.values().filter(|value| value.is_object()).count() != 1 {
            found.push(
                Problem::error(format!("the volume {} needs one source", code(name)))
                    .at(&path, "")
                    .help("such as `persistentVolumeClaim: {claimName: data}` or `emptyDir: {}`"),
            );
        }
    }
}

pub(super) fn volume_name(path: &FieldPath, name: &str, found: &mut Vec<Problem>) {
    if name.starts_with(PodTemplate::OWN_VOLUMES) {
        found.push(
            Problem::error(format!("the volume {} would be one of Crewcall's own", code(name)))
                .at(path, "")
                .help("use a name that does not begin with `crewcall-`"),
        );
    } else if name.contains('.') || name.len() > limits::LABEL || !is_object_name(name) {
        found.push(
            Problem::error(format!("{} is no name of a volume", code(name))).at(path, "").help(
                "use a-z, 0-9 and '-', at most 63 characters, starting and ending with a letter or digit",
            ),
        );
    }
}

/// Checks a mount, whose fields `get` finds.
pub(super) fn volume_mount<'m>(
    path: &FieldPath,
    get: &dyn Fn(&str) -> Option<&'m Value>,
    known: &Known,
    found: &mut Vec<Problem>,
) {
    if let Some(name) = text(path, "name", get, found)
        && !known.names.contains(name)
    {
        let problem = Problem::error(format!("there is no volume {}", code(name))).at(&path.key("name"), "");
        let problem = known.rests_on.iter().fold(problem, Problem::rests_on);
        let names: Vec<&str> = known.names.iter().map(String::as_str).collect();
        found.push(match crate::spec::text::closest(name, &names) {
            Some(meant) => problem.help(format!("did you mean {}?", code(meant))),
            None => problem.help("add it to `volumes`"),
        });
    }
    let Some(place) = text(path, "mountPath", get, found) else { return };
    let path = path.key("mountPath");
    let within =
        |own: &str| place == own || place.strip_prefix(own).is_some_and(|rest| rest.starts_with('/'));
    if !place.starts_with('/') {
        found.push(
            Problem::error(format!("the mount path {} is not absolute", code(place)))
                .at(&path, "")
                .help("start it with '/'"),
        );
    } else if within(PodTemplate::OWN_MOUNTS) {
        found.push(
            Problem::error(format!("{} is where Crewcall mounts its own", code(place)))
                .at(&path, "")
                .help("use another place"),
        );
    }
}

/// A text that must be there, and be one.
pub(super) fn text<'m>(
    path: &FieldPath,
    key: &str,
    get: &dyn Fn(&str) -> Option<&'m Value>,
    found: &mut Vec<Problem>,
) -> Option<&'m str> {
    let value = get(key);
    if let Some(text) = value.and_then(Value::as_str).filter(|text| text.len() <= limits::PATH) {
        return Some(text);
    }
    let problem = if value.is_none() {
        Problem::error(format!("there is no `{key}` here")).at(path, "")
    } else {
        Problem::error(format!("`{key}` must be a text")).at(&path.key(key), "")
    };
    found.push(problem.help(format!("write `{key}: ...`, with a text")));
    None
}
