//! Calls to the API server. Thin: one call each, bounded, with errors that people understand.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::AsyncBufRead;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::{
    Api, Client,
    api::{DeleteParams, GetParams, ListParams, LogParams, Preconditions},
    core::{ListMeta, ObjectMeta, Request},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{error, names::FIELD_MANAGER};
use crate::{
    model::{ErrorKind, KubernetesContext},
    provider::{ProviderError, images::DockerConfig},
};

/// How long a call may take, retries of a busy server included.
const ANSWER: Duration = Duration::from_secs(30);

/// A question that changes nothing is asked again when the server fails, so often, unless that takes long.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);
const TRYING: Duration = Duration::from_secs(5);

/// Kinds of objects that clusters are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Anchors.
    ConfigMaps,
    /// Nodes.
    Pods,
    /// What nodes print.
    PodLogs,
    /// Ways to a node from outside.
    PodForwards,
    /// Certificates, secret variables.
    Secrets,
    /// Ways to schedulers.
    Services,
    /// Who may connect to whom.
    NetworkPolicies,
    /// What the operator makes clusters of.
    ComputeClusters,
    /// What happened to them.
    Events,
}

impl Resource {
    /// Those of which a cluster has objects, nodes first.
    pub const OWNED: [Self; 5] =
        [Self::Pods, Self::Services, Self::NetworkPolicies, Self::Secrets, Self::ConfigMaps];

    /// The name in rules and paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMaps => "configmaps",
            Self::Pods => "pods",
            Self::PodLogs => "pods/log",
            Self::PodForwards => "pods/portforward",
            Self::Secrets => "secrets",
            Self::Services => "services",
            Self::NetworkPolicies => "networkpolicies",
            Self::ComputeClusters => "computeclusters",
            Self::Events => "events",
        }
    }

    /// The API group; empty for the core group.
    pub fn group(self) -> &'static str {
        match self {
            Self::NetworkPolicies => "networking.k8s.io",
            Self::ComputeClusters => "crewcall.dev",
            Self::Events => "events.k8s.io",
            _ => "",
        }
    }

    pub(super) fn path(self, namespace: &str) -> String {
        let (root, plural) = match self {
            Self::NetworkPolicies => ("apis/networking.k8s.io/v1", self.as_str()),
            Self::ComputeClusters => ("apis/crewcall.dev/v1alpha1", self.as_str()),
            Self::Events => ("apis/events.k8s.io/v1", self.as_str()),
            Self::PodLogs | Self::PodForwards => ("api/v1", "pods"),
            _ => ("api/v1", self.as_str()),
        };
        format!("/{root}/namespaces/{namespace}/{plural}")
    }
}

/// What is done to an object, by the name that rules have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Create,
    Delete,
    Get,
    List,
    Patch,
    Watch,
}

impl Verb {
    /// The name in rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Watch => "watch",
        }
    }
}

/// A call, for those who read of its failure.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// What is done.
    pub verb: Verb,
    /// To what kind of object.
    pub resource: Resource,
    /// To which; `None` where it is to many.
    pub name: Option<&'a str>,
    /// In which namespace.
    pub namespace: &'a str,
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.as_str(), self.resource.as_str())?;
        if let Some(name) = self.name {
            write!(f, " {name}")?;
        }
        write!(f, " in namespace {}", self.namespace)
    }
}

/// What is known of an object without its contents.
pub type Metadata = ObjectMeta;

/// What a list has found.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    /// The objects.
    pub items: Vec<T>,
    /// The resource version that it shows.
    pub version: u64,
}

/// A resource version; versions of one resource can be compared as numbers, 0 where there is none.
pub fn version(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[derive(Debug, Clone, serde::Deserialize)]
struct MetadataOnly {
    metadata: ObjectMeta,
}

/// How a creating call went.
#[derive(Debug)]
pub enum Created<T> {
    /// The object is new.
    New(T),
    /// The name is taken.
    Taken,
}

/// The API server behind a context, for its namespace.
#[derive(Clone)]
pub struct KubernetesClient {
    client: Client,
    context: KubernetesContext,
    /// Whether the credentials were of no use for the last call.
    refused: Arc<AtomicBool>,
}

impl KubernetesClient {
    pub(super) fn new(client: Client, context: KubernetesContext) -> Self {
        Self { client, context, refused: Arc::default() }
    }

    /// Whether the credentials were of no use for the last call.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// The objects of a kind, for what needs more than one call.
    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), self.context.namespace.as_str())
    }

    pub(super) fn context(&self) -> &KubernetesContext {
        &self.context
    }

    pub(super) fn raw(&self) -> &Client {
        &self.client
    }

    pub(super) fn namespace(&self) -> &str {
        self.context.namespace.as_str()
    }

    pub(super) fn call<'a>(&'a self, verb: Verb, resource: Resource, name: Option<&'a str>) -> Call<'a> {
        Call { verb, resource, name, namespace: self.namespace() }
    }

    pub(super) async fn bounded<T>(
        &self,
        call: Call<'_>,
        made: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ProviderError> {
        let outcome = tokio::time::timeout(ANSWER, made).await;
        if let Ok(answered) = &outcome {
            let refused = match answered {
                Err(kube::Error::Auth(_)) => true,
                Err(kube::Error::Api(status)) => status.code == 401,
                _ => false,
            };
            self.refused.store(refused, Ordering::Relaxed);
        }
        match outcome {
            Ok(outcome) => outcome.map_err(|cause| error::failure(cause, call, &self.context)),
            Err(_) => Err(error::too_long(call, &self.context, ANSWER.as_secs())),
        }
    }

    pub(super) async fn request<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        request: Result<hyper::http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, ProviderError> {
        let request = request.map_err(kube::Error::BuildRequest);
        self.bounded(call, async { self.client.request(request?).await }).await
    }

    /// Whether an object could be made, without making it; not if its name is taken.
    pub async fn can_create(&self, resource: Resource, object: &Value) -> Result<bool, ProviderError> {
        let mut patience = Patience::default();
        loop {
            match self.post::<Value>(resource, object, "&dryRun=All").await {
                Err(error) if patience.allows(&error) => patience.pause().await,
                made => return Ok(matches!(made?, Created::New(_))),
            }
        }
    }

    /// Makes an object, without a look before. The server refuses fields that it does not know.
    pub async fn create<T: DeserializeOwned>(
        &self,
        resource: Resource,
        object: &Value,
    ) -> Result<Created<T>, ProviderError> {
        self.post(resource, object, "").await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        resource: Resource,
        object: &Value,
        more: &str,
    ) -> Result<Created<T>, ProviderError> {
        let name = object.pointer("/metadata/name").and_then(Value::as_str);
        let call = self.call(Verb::Create, resource, name);
        let path = resource.path(self.namespace());
        let uri = format!("{path}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict{more}");
        let request = hyper::http::Request::post(uri)
            .header(hyper::http::header::CONTENT_TYPE, "application/json")
            .body(object.to_string().into_bytes())
            .map_err(kube::core::request::Error::BuildRequest);
        match self.request(call, request).await {
            Ok(made) => Ok(Created::New(made)),
            // A quarrel about something else than the name has another reason.
            Err(error) if error.kind == ErrorKind::Conflict && error.message.contains("already exists") => {
                Ok(Created::Taken)
            }
            Err(error) => Err(error),
        }
    }

    /// What is known of an object; `None` when it is not there.
    pub async fn metadata(&self, resource: Resource, name: &str) -> Result<Option<Metadata>, ProviderError> {
        let call = self.call(Verb::Get, resource, Some(name));
        let request = Request::new(resource.path(self.namespace()));
        let found: Result<MetadataOnly, _> =
            self.request(call, request.get_metadata(name, &GetParams::default())).await;
        absent_is_none(found.map(|found| found.metadata))
    }

    /// What is known of all objects that a selector finds.
    pub async fn list(&self, resource: Resource, selector: &str) -> Result<Listed<Metadata>, ProviderError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            metadata: ListMeta,
            /// Null instead of an empty list.
            items: Option<Vec<MetadataOnly>>,
        }
        let call = self.call(Verb::List, resource, None);
        let request = Request::new(resource.path(self.namespace()));
        let parameters = ListParams::default().labels(selector);
        let answer: Answer = self.request(call, request.list_metadata(&parameters)).await?;
        let items = answer.items.into_iter().flatten().map(|item| item.metadata).collect();
        Ok(Listed { items, version: version(answer.metadata.resource_version.as_deref()) })
    }

    /// The logins for registries that a Secret holds; `None` when it is not there, or holds something else.
    pub async fn logins(&self, secret: &str) -> Result<Option<DockerConfig>, ProviderError> {
        let call = self.call(Verb::Get, Resource::Secrets, Some(secret));
        let api = self.api::<Secret>();
        let found = self.bounded(call, api.get_opt(secret)).await?;
        let data = found.and_then(|found| found.data?.remove(".dockerconfigjson"));
        Ok(data.and_then(|data| DockerConfig::parse(&String::from_utf8(data.0).ok()?).ok()))
    }

    /// A Service; `None` when it is not there.
    pub async fn service(&self, name: &str) -> Result<Option<Service>, ProviderError> {
        let call = self.call(Verb::Get, Resource::Services, Some(name));
        let api = self.api::<Service>();
        self.bounded(call, api.get_opt(name)).await
    }

    /// The pods that a selector finds.
    pub async fn pods(&self, selector: &str) -> Result<Listed<Pod>, ProviderError> {
        let call = self.call(Verb::List, Resource::Pods, None);
        let parameters = ListParams::default().labels(selector);
        let api = self.api::<Pod>();
        let found = self.bounded(call, api.list(&parameters)).await?;
        Ok(Listed { items: found.items, version: version(found.metadata.resource_version.as_deref()) })
    }

    /// Has an object deleted, if it is the one that is meant. Returns what it is like from then on, or `None`
    /// when it is gone or another one.
    pub async fn delete<T: DeserializeOwned>(
        &self,
        resource: Resource,
        name: &str,
        uid: &str,
        grace: Option<Duration>,
    ) -> Result<Option<T>, ProviderError> {
        let call = self.call(Verb::Delete, resource, Some(name));
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let mut parameters = DeleteParams::background().preconditions(preconditions);
        parameters.grace_period_seconds = grace.map(whole_seconds);
        let request = Request::new(resource.path(self.namespace())).delete(name, &parameters);
        match self.request(call, request).await {
            Ok(answer) => Ok(serde_json::from_value(answer).ok()),
            // Under that name there is something else, which nobody meant.
            Err(error) if error.kind == ErrorKind::Conflict => Ok(None),
            Err(error) => absent_is_none(Err(error)),
        }
    }

    /// Gives an object an owner that it did not have when it was made.
    pub async fn own(&self, resource: Resource, name: &str, owner: Value) -> Result<(), ProviderError> {
        let call = self.call(Verb::Patch, resource, Some(name));
        let patch = json!({ "metadata": { "ownerReferences": [owner] } });
        let parameters =
            kube::api::PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
        let request = Request::new(resource.path(self.namespace())).patch(
            name,
            &parameters,
            &kube::api::Patch::Merge(patch),
        );
        let _: MetadataOnly = self.request(call, request).await?;
        Ok(())
    }

    /// The log of a pod's container, from its beginning or its last lines on.
    pub async fn log(
        &self,
        pod: &str,
        parameters: &LogParams,
    ) -> Result<impl AsyncBufRead + use<>, ProviderError> {
        let call = self.call(Verb::Get, Resource::PodLogs, Some(pod));
        let api = self.api::<Pod>();
        self.bounded(call, api.log_stream(pod, parameters)).await
    }

    /// Which of these the caller may not do.
    pub async fn forbidden(
        &self,
        wanted: &[(Verb, Resource)],
    ) -> Result<Vec<(Verb, Resource)>, ProviderError> {
        let asked = wanted.iter().map(|(verb, resource)| self.may(*verb, *resource));
        let answers = futures_util::future::try_join_all(asked).await?;
        Ok(wanted.iter().zip(answers).filter(|(_, allowed)| !allowed).map(|(what, _)| *what).collect())
    }

    async fn may(&self, verb: Verb, resource: Resource) -> Result<bool, ProviderError> {
        let mut patience = Patience::default();
        loop {
            match self.ask_whether(verb, resource).await {
                Err(error) if patience.allows(&error) => patience.pause().await,
                answered => return answered,
            }
        }
    }

    async fn ask_whether(&self, verb: Verb, resource: Resource) -> Result<bool, ProviderError> {
        let (name, subresource) = resource.as_str().split_once('/').unwrap_or((resource.as_str(), ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "namespace": self.namespace(),
                "verb": verb.as_str(),
                "group": resource.group(),
                "resource": name,
                "subresource": subresource,
            } },
        });
        let request = hyper::http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .header(hyper::http::header::CONTENT_TYPE, "application/json")
            .body(review.to_string().into_bytes())
            .map_err(kube::core::request::Error::BuildRequest);
        let answer: Value = self.request(self.call(verb, resource, None), request).await?;
        Ok(answer.pointer("/status/allowed").and_then(Value::as_bool).unwrap_or(false))
    }
}

/// With a server that fails: a question may be asked again, a few times, with longer and longer pauses.
struct Patience {
    begun: tokio::time::Instant,
    tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { begun: tokio::time::Instant::now(), tries: 1 }
    }
}

impl Patience {
    fn allows(&self, error: &ProviderError) -> bool {
        error.kind == ErrorKind::Transient && self.tries < TRIES && self.begun.elapsed() < TRYING
    }

    async fn pause(&mut self) {
        tokio::time::sleep(PAUSE * self.tries).await;
        self.tries += 1;
    }
}

fn whole_seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}

/// What is not there is no error.
pub(super) fn absent_is_none<T>(found: Result<T, ProviderError>) -> Result<Option<T>, ProviderError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
