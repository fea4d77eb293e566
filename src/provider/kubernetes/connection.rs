//! The client of a context, made anew when what it was made from changes.

use std::{fs, path::PathBuf, sync::Arc, time::SystemTime};

use futures_util::future::BoxFuture;
use hyper::http::Method;
use kube::{Client, Config, client::ClientBuilder};
use tokio::{
    sync::{Mutex, Semaphore},
    time::Duration,
};

use super::{client::KubernetesClient, context::configuration, error::whom};
use crate::{
    model::{ErrorKind, KubernetesContext},
    provider::ProviderError,
};

/// How long an API server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Writing calls that are under way at a time, of all clusters together.
const WRITES: usize = 32;

/// The way to one API server.
pub struct Connection {
    context: KubernetesContext,
    made: Mutex<Option<Made>>,
    /// Whether the client is never made anew.
    fixed: bool,
}

#[derive(Clone)]
struct Made {
    from: Vec<(PathBuf, Option<SystemTime>)>,
    number: u64,
    client: KubernetesClient,
}

impl Connection {
    /// For a context; nothing is read yet.
    pub fn new(context: KubernetesContext) -> Self {
        Self { context, made: Mutex::new(None), fixed: false }
    }

    /// With a client that stays.
    pub fn with_client(context: KubernetesContext, client: Client) -> Self {
        let client = KubernetesClient::new(client, context.clone());
        Self { context, made: Mutex::new(Some(Made { from: Vec::new(), number: 1, client })), fixed: true }
    }

    /// Which API server and namespace.
    pub fn context(&self) -> &KubernetesContext {
        &self.context
    }

    /// The client, and a number that changes with it.
    pub async fn client(&self) -> Result<(KubernetesClient, u64), ProviderError> {
        let mut made = self.made.lock().await;
        let from = if self.fixed { Vec::new() } else { self.files() };
        if let Some(known) = made.as_ref().filter(|known| known.from == from) {
            return Ok((known.client.clone(), known.number));
        }
        let config = settings(&self.context).await?;
        let client = Client::try_from(config).map_err(|error| unusable(&self.context, &error))?;
        let number = made.as_ref().map_or(1, |known| known.number + 1);
        let client = KubernetesClient::new(client, self.context.clone());
        *made = Some(Made { from, number, client: client.clone() });
        Ok((client, number))
    }

    /// When the files were written that say how to connect.
    fn files(&self) -> Vec<(PathBuf, Option<SystemTime>)> {
        let written = |path: &PathBuf| fs::metadata(path).and_then(|found| found.modified()).ok();
        self.context.kubeconfig.iter().map(|path| (path.clone(), written(path))).collect()
    }
}

async fn settings(context: &KubernetesContext) -> Result<Config, ProviderError> {
    let mut config = configuration(context).await?;
    config.connect_timeout = Some(CONNECT);
    Ok(config)
}

fn unusable(context: &KubernetesContext, error: &kube::Error) -> ProviderError {
    ProviderError::new(ErrorKind::Auth, format!("cannot speak to {}: {error}", whom(context)))
}

/// Hears of every call: its method, and the status of the answer; `None` when there was none.
pub type CallListener = Arc<dyn Fn(&str, Option<u16>) + Send + Sync>;

/// A client for whoever keeps one, whose calls are listened to.
pub async fn connect(context: &KubernetesContext, listener: CallListener) -> Result<Client, ProviderError> {
    let config = settings(context).await?;
    let builder = ClientBuilder::try_from(config).map_err(|error| unusable(context, &error))?;
    let writes = Arc::new(Semaphore::new(WRITES));
    let layer = tower::layer::layer_fn(move |inner| Listened {
        inner,
        listener: listener.clone(),
        writes: writes.clone(),
    });
    Ok(builder.with_layer(&layer).build())
}

/// A service whose calls are listened to.
#[derive(Clone)]
struct Listened<S> {
    inner: S,
    listener: CallListener,
    writes: Arc<Semaphore>,
}

impl<S, A, B> tower::Service<hyper::http::Request<A>> for Listened<S>
where
    S: tower::Service<hyper::http::Request<A>, Response = hyper::http::Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: hyper::http::Request<A>) -> Self::Future {
        let method = request.method().clone();
        let listener = self.listener.clone();
        let answered = self.inner.call(request);
        // Leases are replaced, by PUT, and wait for nobody.
        let waits = [Method::POST, Method::PATCH, Method::DELETE].contains(&method);
        let writes = self.writes.clone();
        Box::pin(async move {
            // It is never closed.
            let _turn = if waits { writes.acquire().await.ok() } else { None };
            let answer = answered.await;
            listener(method.as_str(), answer.as_ref().ok().map(|answer| answer.status().as_u16()));
            answer
        })
    }
}
