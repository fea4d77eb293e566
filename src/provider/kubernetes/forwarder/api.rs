//! What the forwarder asks of the API server.

use std::{sync::Arc, time::Duration};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    core::{PartialObjectMeta, Request},
};
use tokio::{sync::Mutex, time::timeout};
use tokio_tungstenite::WebSocketStream;

use super::kubeconfig::{self, KubeconfigError};
use crate::{
    model::{CallerEnvironment, ClusterUid, label},
    provider::{
        forwarder::{ApiTarget, Refuser},
        kubernetes::credentials,
    },
};

/// How long the API server may take to answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A connection to a port of a pod.
pub type PodSocket = WebSocketStream<TokioIo<Upgraded>>;

/// A question that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no client to ask with.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The API server said no.
    #[error("the API server at {server} refused to {doing}: {message}")]
    Refused {
        /// Which.
        server: String,
        /// What was asked.
        doing: String,
        /// The HTTP status.
        code: u16,
        /// Its words.
        message: String,
    },
    /// There was no answer, or none that makes sense.
    #[error("cannot {doing} through the API server at {server}: {cause}")]
    Unreachable {
        /// Which.
        server: String,
        /// What was asked.
        doing: String,
        /// What went wrong.
        cause: String,
    },
}

impl ApiError {
    /// Whose answer this is.
    pub fn refuser(&self) -> Refuser {
        match self {
            Self::Refused { .. } => Refuser::Answered,
            Self::Kubeconfig(_) | Self::Unreachable { .. } => Refuser::Silent,
        }
    }

    /// Whether the same question may be answered soon.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused { code, .. } => !matches!(code, 401 | 403),
            Self::Kubeconfig(_) => false,
            Self::Unreachable { .. } => true,
        }
    }
}

/// Whether the anchor of a cluster is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// It is.
    There,
    /// It is not, or what has its name is another cluster's.
    Gone,
}

/// The API server, with a client that is made when it is needed and again when its credentials have expired.
#[derive(Clone)]
pub struct ApiServer {
    target: Arc<ApiTarget>,
    lent: Arc<CallerEnvironment>,
    client: Arc<Mutex<Option<Client>>>,
}

impl ApiServer {
    /// Nothing is asked yet.
    pub fn new(target: ApiTarget, lent: CallerEnvironment) -> Self {
        Self { target: Arc::new(target), lent: Arc::new(lent), client: Arc::default() }
    }

    /// A client with credentials that were good when it was made.
    pub async fn client(&self) -> Result<Client, KubeconfigError> {
        let mut kept = self.client.lock().await;
        if let Some(client) = kept.as_ref().filter(|client| !has_expired(client)) {
            return Ok(client.clone());
        }
        let client = kubeconfig::client(&self.target, &self.lent).await?;
        *kept = Some(client.clone());
        Ok(client)
    }

    /// Has the next question asked with credentials read anew.
    pub async fn renew(&self) {
        *self.client.lock().await = None;
    }

    /// The pods of the namespace.
    pub async fn pods(&self) -> Result<Api<Pod>, KubeconfigError> {
        Ok(Api::namespaced(self.client().await?, &self.target.namespace))
    }

    /// What all `ConfigMap`s of the namespace have in common.
    pub async fn config_maps(&self) -> Result<Api<PartialObjectMeta<ConfigMap>>, KubeconfigError> {
        Ok(Api::namespaced(self.client().await?, &self.target.namespace))
    }

    /// Looks for the anchor of that name. A name that was never there is gone, too.
    pub async fn anchor(&self, name: &str, cluster: &ClusterUid) -> Result<Anchor, ApiError> {
        let doing = format!("look for the ConfigMap {name}");
        let asked = self.config_maps().await?;
        let answer = timeout(ANSWER, asked.get_metadata(name)).await.map_err(|_| self.late(&doing))?;
        match answer {
            Ok(found) => {
                let is_ours =
                    found.labels().get(label::CLUSTER_UID).is_some_and(|uid| uid == cluster.as_str());
                Ok(if is_ours { Anchor::There } else { Anchor::Gone })
            }
            // The reason, not the code: a proxy that does not find its API server says 404, too.
            Err(kube::Error::Api(status)) if status.reason == "NotFound" => Ok(Anchor::Gone),
            Err(error) => Err(self.failed(doing, error).await),
        }
    }

    /// A connection to a port of a pod.
    pub async fn forward(&self, pod: &str, port: u16) -> Result<PodSocket, ApiError> {
        let doing = format!("forward port {port} of pod {pod}");
        let client = self.client().await?;
        let path = Pod::url_path(&(), Some(&self.target.namespace));
        let request =
            Request::new(path).portforward(pod, &[port]).map_err(|error| ApiError::Unreachable {
                server: self.target.server.clone(),
                doing: doing.clone(),
                cause: error.to_string(),
            })?;
        match timeout(ANSWER, client.connect(request)).await {
            Ok(Ok(connection)) => Ok(connection.into_stream()),
            Ok(Err(error)) => Err(with_verbs(self.failed(doing, error).await)),
            Err(_) => Err(self.late(&doing)),
        }
    }

    fn late(&self, doing: &str) -> ApiError {
        let cause = format!("no answer within {} s", ANSWER.as_secs());
        ApiError::Unreachable { server: self.target.server.clone(), doing: doing.to_owned(), cause }
    }

    async fn failed(&self, doing: String, error: kube::Error) -> ApiError {
        let server = self.target.server.clone();
        match error {
            kube::Error::Api(status) => {
                if status.code == 401 {
                    self.renew().await;
                }
                ApiError::Refused { server, doing, code: status.code, message: status.message }
            }
            kube::Error::Auth(error) => {
                self.renew().await;
                ApiError::Unreachable { server, doing, cause: credentials::failure(&error, None) }
            }
            error => ApiError::Unreachable { server, doing, cause: innermost(&error) },
        }
    }
}

/// A port-forward over a web socket is a GET that is checked as a POST as well, and for the second of the two
/// Kubernetes 1.36 refuses without a reason.
fn with_verbs(error: ApiError) -> ApiError {
    match error {
        ApiError::Refused { server, doing, code: 403, message } => {
            let message = message.trim_end_matches([':', ' ']);
            let message = format!("{message} (it takes the verbs get and create on pods/portforward)");
            ApiError::Refused { server, doing, code: 403, message }
        }
        other => other,
    }
}

/// The cause at the bottom: what is above it says only that something went wrong.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[expect(clippy::disallowed_methods, reason = "the forwarder has no controller that could hand it a clock")]
fn has_expired(client: &Client) -> bool {
    client.valid_until().is_some_and(|until| until <= jiff::Timestamp::now())
}
