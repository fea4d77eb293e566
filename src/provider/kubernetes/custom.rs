//! Clusters as custom resources, with a person's own rights. Thin: what the objects mean is for others.

use std::collections::BTreeMap;

use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{ApiResource, ListParams, Patch, PatchParams},
    core::{DynamicObject, GroupVersionKind, Request},
    runtime::{WatchStreamExt as _, watcher},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::{Call, Created, KubernetesClient, Resource, Verb, absent_is_none},
    connection::Connection,
    error, logs,
    names::{self, FIELD_MANAGER},
    prepare,
};
use crate::{
    model::{ClusterUid, ErrorKind, KubernetesContext, NodeName, ObjectUid},
    provider::{Caller, LogRequest, LogStream, ProviderError},
    spec::{ClusterName, ComputeCluster, EnvironmentSpec},
};

/// The custom resources of one namespace.
pub struct CustomResources {
    connection: Connection,
}

/// Whether a call is to change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rehearsal {
    /// It says what would come of it.
    DryRun,
    /// It does it.
    ForReal,
}

/// What a watch shows of one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Sighting {
    /// It is like this now.
    There(Box<Value>),
    /// There is none of its name.
    Gone,
}

/// A step of following the events of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// It was told before.
    Before(Box<Value>),
    /// It is news.
    News(Box<Value>),
}

impl Rehearsal {
    fn parameter(self) -> &'static str {
        match self {
            Self::DryRun => "&dryRun=All",
            Self::ForReal => "",
        }
    }
}

/// The names of a Secret's keys for what a client shows and checks: authority, certificate, key.
const IDENTITY: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];

impl CustomResources {
    /// Those of a context's namespace. Nothing is asked yet.
    pub fn new(context: KubernetesContext) -> Self {
        Self { connection: Connection::new(context) }
    }

    /// Which API server and namespace.
    pub fn context(&self) -> &KubernetesContext {
        self.connection.context()
    }

    async fn client(&self) -> Result<KubernetesClient, ProviderError> {
        Ok(self.connection.client().await?.0)
    }

    /// One object; `None` when it is not there.
    pub async fn get(&self, name: &ClusterName) -> Result<Option<Value>, ProviderError> {
        let client = self.client().await?;
        let call = client.call(Verb::Get, Resource::ComputeClusters, Some(name.as_str()));
        let request = Request::new(Resource::ComputeClusters.path(client.namespace()));
        let found = client.request(call, request.get(name.as_str(), &kube::api::GetParams::default())).await;
        absent_is_none(found)
    }

    /// All objects.
    pub async fn list(&self) -> Result<Vec<Value>, ProviderError> {
        listed(&self.client().await?, Resource::ComputeClusters, &ListParams::default()).await
    }

    /// Makes an object; `None` when its name is taken. Fields that the server does not know are refused.
    pub async fn create(&self, object: &Value, rehearsal: Rehearsal) -> Result<Option<Value>, ProviderError> {
        let client = self.client().await?;
        match client.post(Resource::ComputeClusters, object, rehearsal.parameter()).await? {
            Created::New(made) => Ok(Some(made)),
            Created::Taken => Ok(None),
        }
    }

    /// Changes an object by a merge patch; `None` when it is not the version that the patch names any more.
    pub async fn patch(
        &self,
        name: &ClusterName,
        patch: &Value,
        rehearsal: Rehearsal,
    ) -> Result<Option<Value>, ProviderError> {
        let client = self.client().await?;
        let call = client.call(Verb::Patch, Resource::ComputeClusters, Some(name.as_str()));
        let parameters = PatchParams {
            dry_run: rehearsal == Rehearsal::DryRun,
            ..PatchParams::apply(FIELD_MANAGER).validation_strict()
        };
        let request = Request::new(Resource::ComputeClusters.path(client.namespace()));
        let request = request.patch(name.as_str(), &parameters, &Patch::Merge(patch));
        match client.request(call, request).await {
            Ok(changed) => Ok(Some(changed)),
            Err(error) if error.kind == ErrorKind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has an object deleted, if it is the one that is meant; what belongs to it follows.
    pub async fn delete(&self, name: &ClusterName, uid: &ObjectUid) -> Result<(), ProviderError> {
        let client = self.client().await?;
        client.delete::<Value>(Resource::ComputeClusters, name.as_str(), uid.as_str(), None).await.map(drop)
    }

    /// Follows the object of a name. After an error it goes on.
    pub async fn watch(
        &self,
        name: &ClusterName,
    ) -> Result<BoxStream<'static, Result<Sighting, ProviderError>>, ProviderError> {
        let client = self.client().await?;
        let fields = format!("metadata.name={name}");
        let events = watched(&client, Resource::ComputeClusters, &fields);
        let sightings = events.scan(false, |seen, event| {
            let sighting = match event {
                Ok(watcher::Event::Init) => {
                    *seen = false;
                    None
                }
                Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                    *seen = true;
                    Some(Ok(Sighting::There(Box::new(as_value(&object)))))
                }
                Ok(watcher::Event::InitDone) if *seen => None,
                Ok(watcher::Event::InitDone | watcher::Event::Delete(_)) => Some(Ok(Sighting::Gone)),
                Err(error) => Some(Err(error)),
            };
            std::future::ready(Some(sighting))
        });
        Ok(sightings.filter_map(std::future::ready).boxed())
    }

    /// The Kubernetes Events of the objects of a name, in no order.
    pub async fn events(&self, name: &ClusterName) -> Result<Vec<Value>, ProviderError> {
        let parameters = ListParams::default().fields(&regarding(name));
        listed(&self.client().await?, Resource::Events, &parameters).await
    }

    /// Follows the Kubernetes Events of the objects of a name, from those that there are on.
    pub async fn follow_events(
        &self,
        name: &ClusterName,
    ) -> Result<BoxStream<'static, Result<Told, ProviderError>>, ProviderError> {
        let events = watched(&self.client().await?, Resource::Events, &regarding(name));
        let told = events.scan(true, |first, event| {
            let told = match event {
                Ok(watcher::Event::InitApply(object)) if *first => {
                    Some(Ok(Told::Before(Box::new(as_value(&object)))))
                }
                Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                    Some(Ok(Told::News(Box::new(as_value(&object)))))
                }
                Ok(watcher::Event::InitDone) => {
                    *first = false;
                    None
                }
                Ok(watcher::Event::Init | watcher::Event::Delete(_)) => None,
                Err(error) => Some(Err(error)),
            };
            std::future::ready(Some(told))
        });
        Ok(told.filter_map(std::future::ready).boxed())
    }

    /// What clients of a cluster show and check, as PEM: authority, certificate, key. `None` while the operator has
    /// not made it.
    pub async fn identity(&self, name: &ClusterName) -> Result<Option<[String; 3]>, ProviderError> {
        let client = self.client().await?;
        let secret = names::client_secret(name);
        let call = client.call(Verb::Get, Resource::Secrets, Some(&secret));
        let found = client.bounded(call, client.api::<Secret>().get_opt(&secret)).await;
        let found = found.map_err(|error| match error.kind {
            ErrorKind::Auth => error.with_hint(format!(
                "the Role {secret} allows it: have yourself bound to it with `kubectl create rolebinding {secret} \
                 --role={secret} --user=… -n {}`",
                client.namespace()
            )),
            _ => error,
        })?;
        let Some(mut data) = found.and_then(|found| found.data) else { return Ok(None) };
        let mut text = |key: &str| String::from_utf8(data.remove(key)?.0).ok();
        let [Some(ca), Some(cert), Some(key)] = IDENTITY.map(&mut text) else {
            let message = format!(
                "secret {secret} in namespace {} has no ca.crt, tls.crt, tls.key",
                client.namespace()
            );
            return Err(ProviderError::new(ErrorKind::Invalid, message));
        };
        Ok(Some([ca, cert, key]))
    }

    /// Makes the Secret with the values of `secretEnv`. One that is there stays, as do the nodes that were made with
    /// it.
    pub async fn keep_secret_variables(
        &self,
        metadata: &Value,
        values: &BTreeMap<String, String>,
    ) -> Result<(), ProviderError> {
        let client = self.client().await?;
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "Opaque",
            "stringData": values,
        });
        client.create::<Value>(Resource::Secrets, &secret).await.map(drop)
    }

    /// Names of a cluster's pods.
    pub async fn pods(&self, cluster: &ClusterUid) -> Result<Vec<NodeName>, ProviderError> {
        let mut found = self.client().await?.list(Resource::Pods, &names::selector(cluster)).await?.items;
        found.sort_by(|one, other| one.creation_timestamp.cmp(&other.creation_timestamp));
        Ok(found.into_iter().filter_map(|pod| pod.name).map(NodeName::new).collect())
    }

    /// The log of a pod.
    pub async fn log(&self, node: &NodeName, request: LogRequest) -> Result<LogStream, ProviderError> {
        logs::of_pod(&self.client().await?, node, request).await
    }

    /// The image that matches the caller's versions, where the document leaves that open.
    pub async fn resolve_image(
        &self,
        cluster: &ComputeCluster,
        caller: &Caller,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Option<EnvironmentSpec>, ProviderError> {
        prepare::resolve_image(&self.client().await?, cluster, caller, progress).await
    }
}

/// The Secret that has the values of a cluster's `secretEnv`.
pub fn secret_variables_name(cluster: &ClusterName) -> String {
    names::environment_secret(cluster)
}

/// The caller's values of what `secretEnv` names.
///
/// # Errors
/// When one of them is not set.
pub fn secret_values(
    cluster: &ComputeCluster,
    caller: &Caller,
) -> Result<BTreeMap<String, String>, ProviderError> {
    prepare::check_secrets(cluster, caller)?;
    let value = |name: &str| Some((name.to_owned(), caller.environment.0.get(name)?.clone()));
    Ok(cluster.spec.secret_variables().filter_map(value).collect())
}

fn regarding(name: &ClusterName) -> String {
    format!("regarding.kind=ComputeCluster,regarding.name={name}")
}

async fn listed(
    client: &KubernetesClient,
    resource: Resource,
    parameters: &ListParams,
) -> Result<Vec<Value>, ProviderError> {
    #[derive(Deserialize)]
    struct Listed {
        /// Null instead of an empty list.
        items: Option<Vec<Value>>,
    }
    let call = client.call(Verb::List, resource, None);
    let request = Request::new(resource.path(client.namespace()));
    let listed: Listed = client.request(call, request.list(parameters)).await?;
    Ok(listed.items.unwrap_or_default())
}

/// Events of a watch, for ever, with a pause after each error.
fn watched(
    client: &KubernetesClient,
    resource: Resource,
    fields: &str,
) -> impl Stream<Item = Result<watcher::Event<DynamicObject>, ProviderError>> + Send + use<> {
    let (version, kind) = match resource {
        Resource::Events => ("v1", "Event"),
        _ => ("v1alpha1", "ComputeCluster"),
    };
    let kind = GroupVersionKind::gvk(resource.group(), version, kind);
    let resource_of_api = ApiResource::from_gvk_with_plural(&kind, resource.as_str());
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.raw().clone(), client.namespace(), &resource_of_api);
    let events = watcher(api, watcher::Config::default().fields(fields)).default_backoff();
    let client = client.clone();
    events.map(move |event| {
        event.map_err(|error| {
            let call = client.call(Verb::Watch, resource, None);
            of_watch(error, &client, call)
        })
    })
}

fn of_watch(error: watcher::Error, client: &KubernetesClient, call: Call<'_>) -> ProviderError {
    match error {
        watcher::Error::InitialListFailed(cause) => {
            error::failure(cause, Call { verb: Verb::List, ..call }, client.context())
        }
        watcher::Error::WatchStartFailed(cause) | watcher::Error::WatchFailed(cause) => {
            error::failure(cause, call, client.context())
        }
        other => ProviderError::unsure(format!("cannot {call}: {other}")),
    }
}

fn as_value(object: &DynamicObject) -> Value {
    // An object that was read from JSON has a form in it.
    serde_json::to_value(object).unwrap_or_default()
}
