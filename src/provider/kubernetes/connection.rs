//! The client of a context, made anew when what it was made from changes.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex as Lock, PoisonError},
    time::SystemTime,
};

use futures_util::future::BoxFuture;
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::http::Method;
use kube::{Client, Config, client::ClientBuilder};
use tokio::{
    sync::{Mutex, Semaphore},
    time::{Duration, timeout},
};

use super::{client::KubernetesClient, context::configuration, credentials, error};
use crate::{
    model::{CallerEnvironment, ErrorKind, KubernetesContext},
    provider::ProviderError,
};

/// How long an API server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Writing calls that are under way at a time, of all clusters together.
const WRITES: usize = 32;
/// How long a program may take to hand out credentials.
const CREDENTIALS: Duration = Duration::from_mins(1);

/// The way to one API server.
pub struct Connection {
    context: KubernetesContext,
    /// What the last caller had in its environment.
    lent: Lock<Arc<CallerEnvironment>>,
    made: Mutex<Option<Made>>,
    /// Whether the client is never made anew.
    fixed: bool,
}

#[derive(Clone)]
struct Made {
    from: Vec<(PathBuf, Option<SystemTime>)>,
    number: u64,
    lent: Arc<CallerEnvironment>,
    client: KubernetesClient,
}

impl Connection {
    /// For a context; nothing is read yet.
    pub fn new(context: KubernetesContext) -> Self {
        Self { context, lent: Lock::default(), made: Mutex::new(None), fixed: false }
    }

    /// With a client that stays.
    pub fn with_client(context: KubernetesContext, client: Client) -> Self {
        let client = KubernetesClient::new(client, context.clone());
        let made = Made { from: Vec::new(), number: 1, lent: Arc::default(), client };
        Self { context, lent: Lock::default(), made: Mutex::new(Some(made)), fixed: true }
    }

    /// Takes what programs that hand out credentials need of a caller; the last word counts.
    pub fn lend(&self, environment: &CallerEnvironment) {
        let kept = credentials::kept(environment);
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        if **lent != kept {
            *lent = Arc::new(kept);
        }
    }

    /// What was lent last.
    pub fn lent(&self) -> Arc<CallerEnvironment> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Which API server and namespace.
    pub fn context(&self) -> &KubernetesContext {
        &self.context
    }

    /// The client, and a number that changes with it.
    pub async fn client(&self) -> Result<(KubernetesClient, u64), ProviderError> {
        let mut made = self.made.lock().await;
        let from = if self.fixed { Vec::new() } else { self.files() };
        let lent = self.lent();
        let is_good = |known: &&Made| {
            // What another caller lends is tried when what the last one lent has failed.
            known.from == from && !(known.client.is_refused() && known.lent != lent)
        };
        if let Some(known) = made.as_ref().filter(is_good) {
            return Ok((known.client.clone(), known.number));
        }
        let mut config = settings(&self.context).await?;
        credentials::lend(&mut config, &lent);
        let client = self.connect(config).await?;
        let number = made.as_ref().map_or(1, |known| known.number + 1);
        let client = KubernetesClient::new(client, self.context.clone());
        *made = Some(Made { from, number, lent, client: client.clone() });
        Ok((client, number))
    }

    /// A client, for which a program may have to be run.
    async fn connect(&self, config: Config) -> Result<Client, ProviderError> {
        let program = credentials::program(&config).map(str::to_owned);
        let making = tokio::task::spawn_blocking(move || Client::try_from(config));
        let Ok(made) = timeout(CREDENTIALS, making).await else {
            let program = program.unwrap_or_default();
            let seconds = CREDENTIALS.as_secs();
            let cause =
                format!("the program {program}, which the kubeconfig names, gave none within {seconds} s");
            return Err(error::no_credentials(&cause, &self.context));
        };
        match made {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(kube::Error::Auth(cause))) => {
                Err(error::no_credentials(&credentials::failure(&cause, program.as_deref()), &self.context))
            }
            Ok(Err(cause)) => Err(unusable(&self.context, &cause)),
            Err(cause) => Err(unusable(&self.context, &cause)),
        }
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
    introduce(&mut config);
    Ok(config)
}

/// Has every request say who asks, for the audit log of the API server.
pub fn introduce(config: &mut Config) {
    let version = HeaderValue::from_static(concat!("crewcall/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, version));
}

fn unusable(context: &KubernetesContext, cause: &dyn std::error::Error) -> ProviderError {
    ProviderError::new(ErrorKind::Auth, format!("cannot speak to {}: {cause}", error::whom(context)))
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
