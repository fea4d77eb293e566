//! What is to be seen to before anything of a new cluster is stored.

use serde_json::json;

use super::{
    client::{KubernetesClient, Metadata, Resource, Verb},
    error::role_hint,
    names::{self, label},
};
use crate::{
    model::{ErrorKind, KubernetesContext},
    provider::{
        Caller, ProviderError,
        images::{self, RegistryOptions, ResolveError},
    },
    spec::{ComputeCluster, EnvironmentSpec, GroupName},
};

/// All that a cluster's life takes.
pub const NEEDED: [(Verb, Resource); 24] = [
    (Verb::Create, Resource::Pods),
    (Verb::List, Resource::Pods),
    (Verb::Watch, Resource::Pods),
    (Verb::Delete, Resource::Pods),
    (Verb::Get, Resource::PodLogs),
    // Forwarding upgrades a GET to a WebSocket, which API servers ask both verbs for.
    (Verb::Create, Resource::PodForwards),
    (Verb::Get, Resource::PodForwards),
    (Verb::Create, Resource::ConfigMaps),
    (Verb::Get, Resource::ConfigMaps),
    (Verb::List, Resource::ConfigMaps),
    (Verb::Watch, Resource::ConfigMaps),
    (Verb::Delete, Resource::ConfigMaps),
    (Verb::Create, Resource::Secrets),
    (Verb::Get, Resource::Secrets),
    (Verb::List, Resource::Secrets),
    (Verb::Delete, Resource::Secrets),
    (Verb::Create, Resource::Services),
    (Verb::Get, Resource::Services),
    (Verb::List, Resource::Services),
    (Verb::Delete, Resource::Services),
    (Verb::Create, Resource::NetworkPolicies),
    (Verb::Get, Resource::NetworkPolicies),
    (Verb::List, Resource::NetworkPolicies),
    (Verb::Delete, Resource::NetworkPolicies),
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

/// Whether the anchor can be made in the namespace: that is there, and not being deleted, and nobody else has
/// something of that name.
pub async fn check_namespace(
    client: &KubernetesClient,
    cluster: &ComputeCluster,
    installation: &str,
) -> Result<(), ProviderError> {
    let name = names::anchor(&cluster.metadata.name);
    let probe = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
    if client.can_create(Resource::ConfigMaps, &probe).await? {
        return Ok(());
    }
    let found = client.metadata(Resource::ConfigMaps, &name).await?;
    // One of ours is about to go.
    let own = |found: &Metadata| {
        let labels = found.labels.as_ref();
        labels.and_then(|labels| labels.get(label::INSTALLATION)).is_some_and(|id| id == installation)
    };
    match found.filter(|found| !own(found)) {
        None => Ok(()),
        Some(found) => Err(taken(client.context(), Resource::ConfigMaps, &name, &found)),
    }
}

/// That a name is somebody else's.
pub fn taken(context: &KubernetesContext, resource: Resource, name: &str, found: &Metadata) -> ProviderError {
    let whose = found.labels.as_ref().and_then(|labels| labels.get(label::CLUSTER_UID)).map_or_else(
        || "which is not Crewcall's".to_owned(),
        |uid| format!("which belongs to another cluster ({uid})"),
    );
    let message =
        format!("namespace {} has {} {name} already, {whose}", context.namespace, resource.as_str());
    ProviderError::new(ErrorKind::Conflict, message)
        .with_hint("give the cluster another name, or remove that object yourself; it is never touched")
}

/// The image that nodes run, where it depends on the caller's versions or the document names none.
pub async fn resolve_image(
    client: &KubernetesClient,
    cluster: &ComputeCluster,
    caller: &Caller,
    progress: &(dyn Fn(String) + Send + Sync),
) -> Result<Option<EnvironmentSpec>, ProviderError> {
    if let Some(EnvironmentSpec::Packages(_) | EnvironmentSpec::Interpreter(_)) = &cluster.spec.environment {
        let message = "pods run an image; packages and interpreters are for clusters on this machine";
        return Err(
            ProviderError::new(ErrorKind::Invalid, message).with_hint("write `environment: {image: ...}`")
        );
    }
    let mut options = RegistryOptions::of_caller(&caller.environment).await.map_err(ResolveError::from)?;
    for secret in cluster.spec.pod_template(&GroupName::scheduler()).image_pull_secrets {
        if let Some(logins) = client.logins(&secret.name).await? {
            options = options.with_logins(logins);
        }
    }
    images::environment(cluster.spec.environment.as_ref(), caller, options, progress).await
}

/// Whether the caller has what `secretEnv` names.
pub fn check_secrets(cluster: &ComputeCluster, caller: &Caller) -> Result<(), ProviderError> {
    let environment = &caller.environment.0;
    let missing: Vec<&str> =
        cluster.spec.secret_variables().filter(|name| !environment.contains_key(*name)).collect();
    match missing.first() {
        None => Ok(()),
        Some(first) => Err(ProviderError::new(
            ErrorKind::Invalid,
            format!("`secretEnv` takes the value of {first}, which is not set"),
        )
        .with_hint(format!("export {first}, then run the same command again"))),
    }
}
