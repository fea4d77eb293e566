//! What is to be seen to before anything of a new cluster is stored.

use super::{
    client::{KubernetesClient, Resource, Verb},
    error::role_hint,
};
use crate::{
    model::ErrorKind,
    provider::{Caller, ProviderError},
    spec::{ComputeCluster, EnvironmentSpec},
};

/// All that a cluster's life takes.
pub const NEEDED: [(Verb, Resource); 24] = [
    (Verb::Create, Resource::Pods),
    (Verb::List, Resource::Pods),
    (Verb::Watch, Resource::Pods),
    (Verb::Delete, Resource::Pods),
    (Verb::DeleteCollection, Resource::Pods),
    (Verb::Get, Resource::PodLogs),
    (Verb::Create, Resource::PodForwards),
    (Verb::Create, Resource::ConfigMaps),
    (Verb::Get, Resource::ConfigMaps),
    (Verb::List, Resource::ConfigMaps),
    (Verb::Watch, Resource::ConfigMaps),
    (Verb::DeleteCollection, Resource::ConfigMaps),
    (Verb::Create, Resource::Secrets),
    (Verb::Get, Resource::Secrets),
    (Verb::List, Resource::Secrets),
    (Verb::DeleteCollection, Resource::Secrets),
    (Verb::Create, Resource::Services),
    (Verb::Get, Resource::Services),
    (Verb::List, Resource::Services),
    (Verb::DeleteCollection, Resource::Services),
    (Verb::Create, Resource::NetworkPolicies),
    (Verb::Get, Resource::NetworkPolicies),
    (Verb::List, Resource::NetworkPolicies),
    (Verb::DeleteCollection, Resource::NetworkPolicies),
];

/// Whether the caller may do in the namespace what is needed there.
pub async fn check_rights(client: &KubernetesClient) -> Result<(), ProviderError> {
    let missing = client.forbidden(&NEEDED).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let context = client.context();
    let mut each: Vec<String> =
        missing.iter().map(|(verb, resource)| format!("{} {}", verb.as_str(), resource.as_str())).collect();
    let all = each.len();
    each.truncate(4);
    let more = if all > each.len() { format!(" and {} more", all - each.len()) } else { String::new() };
    let message = format!(
        "no permission in namespace {} ({}) to {}{more}",
        context.namespace,
        context.described(),
        each.join(", ")
    );
    Err(ProviderError::new(ErrorKind::Auth, message).with_hint(role_hint(&missing, context)))
}

/// The image that nodes run.
pub fn check_environment(cluster: &ComputeCluster) -> Result<(), ProviderError> {
    match &cluster.spec.environment {
        Some(EnvironmentSpec::Image(_)) => Ok(()),
        _ => Err(ProviderError::new(
            ErrorKind::Invalid,
            "a cluster on Kubernetes needs an image with Dask for its pods",
        )
        .with_hint("write, below `spec`: `environment: {image: \"ghcr.io/dask/dask:2026.8.0-py3.13\"}`")),
    }
}

/// Whether the caller has what `secretEnv` names.
pub fn check_secrets(cluster: &ComputeCluster, caller: &Caller) -> Result<(), ProviderError> {
    let environment = &caller.environment.0;
    let missing: Vec<&str> =
        secret_variables(cluster).filter(|name| !environment.contains_key(*name)).collect();
    match missing.first() {
        None => Ok(()),
        Some(first) => Err(ProviderError::new(
            ErrorKind::Invalid,
            format!("`secretEnv` takes the value of {first}, which is not set"),
        )
        .with_hint(format!("export {first}, then run the same command again"))),
    }
}

/// Names of the caller's variables that hold secrets of the cluster.
pub fn secret_variables(cluster: &ComputeCluster) -> impl Iterator<Item = &str> {
    let groups = cluster.spec.worker_groups.values().chain([&cluster.spec.workers]);
    let all = groups.flat_map(|group| group.secret_env.values()).chain(cluster.spec.secret_env.values());
    all.map(String::as_str)
}
