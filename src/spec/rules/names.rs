//! Names of groups, labels and environment variables, and how many there may be.

use std::collections::BTreeMap;

use super::Problem;
use crate::spec::{
    ComputeCluster, FieldPath, GroupName, ProviderKind, limits,
    text::{code, printable},
};

pub(super) fn check(cluster: &ComputeCluster, found: &mut Vec<Problem>) {
    let spec = &cluster.spec;
    let base = FieldPath::of("spec");
    namespace(cluster, found);
    labels(&FieldPath::of("metadata.labels"), &cluster.metadata.labels, found);
    environment(&base, &spec.env, &spec.secret_env, found);
    environment(&base.key("scheduler"), &spec.scheduler.env, &BTreeMap::new(), found);
    environment(&base.key("workers"), &spec.workers.env, &spec.workers.secret_env, found);
    let groups = base.key("workerGroups");
    if !at_most(&groups, spec.worker_groups.len(), limits::GROUPS, "groups", found) {
        return;
    }
    for (name, group) in &spec.worker_groups {
        let path = groups.key(name.as_str());
        if name.is_scheduler() || *name == GroupName::workers() {
            let help = if name.is_scheduler() {
                "choose another name; the scheduler is described by `spec.scheduler`"
            } else {
                "choose another name; the default group is described by `spec.workers`"
            };
            found.push(
                Problem::error(format!("the group name `{name}` is taken")).at_key(&path, "").help(help),
            );
        }
        environment(&path, &group.env, &group.secret_env, found);
    }
}

/// Reports more of something than there may be. The items are then not looked at: `false`.
pub(super) fn at_most(
    path: &FieldPath,
    count: usize,
    most: usize,
    what: &str,
    found: &mut Vec<Problem>,
) -> bool {
    if count > most {
        let message = format!("{count} {what} are too many; the most is {most}");
        found.push(Problem::error(message).at_key(path, "").help("remove some of them"));
    }
    count <= most
}

fn namespace(cluster: &ComputeCluster, found: &mut Vec<Problem>) {
    let kind = cluster.spec.provider.kind();
    if cluster.metadata.namespace.is_some() && kind != ProviderKind::Kubernetes {
        found.push(
            Problem::error(format!("the provider `{}` has no namespaces", kind.as_str()))
                .at(&FieldPath::of("metadata.namespace"), "only Kubernetes has them")
                .rests_on(&FieldPath::of("spec.provider"))
                .help("remove `namespace`"),
        );
    }
}

/// Kubernetes' rules, everywhere: the same document should go to any provider.
pub(super) fn labels(path: &FieldPath, labels: &BTreeMap<String, String>, found: &mut Vec<Problem>) {
    if !at_most(path, labels.len(), limits::LABELS, "labels", found) {
        return;
    }
    for (key, value) in labels {
        let path = path.key(key);
        label_key(&path, key, found);
        label_value(&path, value, found);
    }
}

/// Reports what is no key of a label, or one of Crewcall's own. Whether it is neither.
pub(super) fn label_key(path: &FieldPath, key: &str, found: &mut Vec<Problem>) -> bool {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefix_fits = prefix.is_none_or(is_object_name);
    if name.is_empty() || !is_label(name) || !prefix_fits {
        found.push(
            Problem::error(format!("{} is no key of a label", code(key)))
                .at_key(path, "")
                .help("use letters, digits, '-', '_' and '.', at most 63 characters, and before it a domain and '/' if you like"),
        );
        return false;
    }
    if prefix.is_some_and(|prefix| prefix == "crewcall.dev" || prefix.ends_with(".crewcall.dev")) {
        found.push(
            Problem::error(format!("the label {} is Crewcall's own to set", code(key)))
                .at_key(path, "")
                .help("use another prefix than `crewcall.dev/`, or none"),
        );
        return false;
    }
    true
}

/// Reports what is no value of a label.
pub(super) fn label_value(path: &FieldPath, value: &str, found: &mut Vec<Problem>) {
    if !value.is_empty() && !is_label(value) {
        found.push(
            Problem::error(format!("{} is no value of a label", code(value)))
                .at(path, "")
                .help("use letters, digits, '-', '_' and '.', at most 63 characters, starting and ending with a letter or digit"),
        );
    }
}

fn is_label(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= limits::LABEL
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Whether Kubernetes takes it as an object's name: an RFC 1123 subdomain.
pub(super) fn is_object_name(text: &str) -> bool {
    text.len() <= limits::OBJECT_NAME
        && text.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'))
        })
}

fn environment(
    path: &FieldPath,
    plain: &BTreeMap<String, String>,
    secret: &BTreeMap<String, String>,
    found: &mut Vec<Problem>,
) {
    let (plain_path, secret_path) = (path.key("env"), path.key("secretEnv"));
    let few = at_most(&plain_path, plain.len(), limits::ENV, "environment variables", found);
    if !at_most(&secret_path, secret.len(), limits::ENV, "environment variables", found) || !few {
        return;
    }
    for (name, value) in plain {
        let path = plain_path.key(name);
        variable_name(&path, name, found);
        if value.len() > limits::ENV_VALUE {
            let (length, most) = (value.len(), limits::ENV_VALUE);
            found.push(
                Problem::error(format!("the value of {} has {length} bytes; the most is {most}", code(name)))
                    .at(&path, "")
                    .help("pass it as a file"),
            );
        } else if has_control(value) {
            found.push(
                Problem::error(format!("the value of {} has control characters", code(name)))
                    .at(&path, "")
                    .help("remove them; line breaks and tabs may stay"),
            );
        }
    }
    for (name, holder) in secret {
        let path = secret_path.key(name);
        variable_name(&path, name, found);
        if !is_variable(holder) {
            found.push(
                Problem::error(format!("`secretEnv` of {} does not name an environment variable", code(name)))
                    // The value may be the secret: it is not repeated.
                    .at_key(&path, "")
                    .help(format!("write the name of the variable of yours that holds the secret, such as `{}: MY_SECRET`; never the secret itself", printable(name))),
            );
        }
        if plain.contains_key(name) {
            found.push(
                Problem::error(format!(
                    "the variable {} is given both in `env` and in `secretEnv`",
                    code(name)
                ))
                .at_key(&path, "secret here")
                .at_key(&plain_path.key(name), "in the clear here")
                .help("keep one of the two"),
            );
        }
    }
}

fn variable_name(path: &FieldPath, name: &str, found: &mut Vec<Problem>) {
    if !is_variable(name) {
        found.push(
            Problem::error(format!("{} is no name of an environment variable", code(name)))
                .at_key(path, "")
                .help("use letters, digits and '_', not starting with a digit"),
        );
    }
}

pub(in crate::spec) fn is_variable(name: &str) -> bool {
    name.len() <= limits::ENV_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Control characters other than those of plain text.
pub(super) fn has_control(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
}
