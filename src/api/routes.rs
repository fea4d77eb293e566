//! What can be asked, and of whom.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Query, Request, State},
    http::{StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    ApiError, ControllerStatus, CreateMessage, ErrorCode, lines,
    process::Activity,
    types::{EventsQuery, LogQuery},
    watch::Story,
};
use crate::{
    controller::{
        ClusterSummary, ClusterView, CreateRequest, Fleet, Leftover, Listed, Meeting, ScaleRequest, Sweep,
    },
    model::{Event, NodeName},
    provider::{Follow, LogRequest},
    spec::ClusterName,
};

/// The largest body of a request: a document, and an environment as large as a kernel allows.
const MAX_REQUEST_BYTES: usize = 16 << 20;

/// How long a client may take to send what it asks.
const REQUEST_BOUND: Duration = Duration::from_secs(30);

/// How many steps of a create may be unread before further ones are left out.
const PROGRESS_BACKLOG: usize = 256;

/// Answers requests.
pub struct Service {
    fleet: Arc<Fleet>,
    activity: Arc<Activity>,
    /// But for the numbers of clusters and changes.
    status: ControllerStatus,
}

type Shared = State<Arc<Service>>;
type Answer<T> = Result<Json<T>, ApiError>;

impl Service {
    /// For that fleet.
    pub(super) fn new(fleet: Arc<Fleet>, activity: Arc<Activity>, status: ControllerStatus) -> Arc<Self> {
        Arc::new(Self { fleet, activity, status })
    }
}

/// All that can be asked.
pub(super) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/stop", post(stop))
        .route("/v1/gc", post(gc))
        .route("/v1/meet", post(meet))
        .route("/v1/clusters", get(list).post(create))
        .route("/v1/summaries", get(summaries))
        .route("/v1/clusters/{name}", get(one).delete(delete))
        .route("/v1/clusters/{name}/watch", get(watch))
        .route("/v1/clusters/{name}/events", get(events))
        .route("/v1/clusters/{name}/scale", post(scale))
        .route("/v1/clusters/{name}/logs", get(logged_nodes))
        .route("/v1/clusters/{name}/logs/{node}", get(logs))
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(service.clone(), counted))
        .with_state(service)
}

/// Counts a request as under way until its answer is sent, or nobody wants it any more.
async fn counted(State(service): Shared, request: Request, next: Next) -> Response {
    let Some(busy) = service.activity.begin() else {
        return ApiError::new(ErrorCode::Unreachable, "the controller is ending")
            .with_hint("run the command again: it starts a new one")
            .into_response();
    };
    busy.until_sent(next.run(request).await)
}

async fn status(State(service): Shared) -> Json<ControllerStatus> {
    let (clusters, changes) = (service.fleet.size(), service.activity.changes());
    Json(ControllerStatus { clusters, changes, ..service.status.clone() })
}

async fn stop(State(service): Shared) -> Json<()> {
    service.activity.stop();
    Json(())
}

async fn meet(State(service): Shared, Asked(meeting): Asked<Meeting>) -> Answer<()> {
    Ok(Json(service.fleet.meet(&meeting)?))
}

async fn gc(State(service): Shared, Asked(sweep): Asked<Sweep>) -> Answer<Vec<Leftover>> {
    let fleet = service.fleet.clone();
    to_its_end(&service, async move { Ok(fleet.gc(sweep).await?) }).await
}

async fn list(State(service): Shared) -> Answer<Vec<Listed>> {
    Ok(Json(service.fleet.list().await?))
}

async fn summaries(State(service): Shared) -> Answer<Vec<Listed<ClusterSummary>>> {
    Ok(Json(service.fleet.summaries().await?))
}

async fn one(State(service): Shared, Path(name): Path<String>) -> Answer<ClusterView> {
    Ok(Json(service.fleet.get(&cluster(&service.fleet, &name).await?)?))
}

async fn delete(State(service): Shared, Path(name): Path<String>) -> Answer<ClusterView> {
    let fleet = service.fleet.clone();
    to_its_end(&service, async move { Ok(fleet.delete(&cluster(&fleet, &name).await?).await?) }).await
}

async fn scale(
    State(service): Shared,
    Path(name): Path<String>,
    Asked(request): Asked<ScaleRequest>,
) -> Answer<ClusterView> {
    let fleet = service.fleet.clone();
    to_its_end(&service, async move { Ok(fleet.scale(&cluster(&fleet, &name).await?, &request).await?) })
        .await
}

async fn events(
    State(service): Shared,
    Path(name): Path<String>,
    Queried(query): Queried<EventsQuery>,
) -> Answer<Vec<Event>> {
    Ok(Json(service.fleet.events(&cluster(&service.fleet, &name).await?, query.limit).await?))
}

async fn create(State(service): Shared, Asked(request): Asked<CreateRequest>) -> Result<Response, ApiError> {
    let (sender, receiver) = mpsc::channel(PROGRESS_BACKLOG);
    let fleet = service.fleet.clone();
    let change = service.activity.begin_change();
    // A task of its own: a client that goes away does not leave half a cluster.
    tokio::spawn(async move {
        let steps = sender.clone();
        let progress = move |step| {
            // Nobody listens, or too slowly; the outcome matters, not the steps.
            let _ = steps.try_send(Ok(CreateMessage::Progress(step)));
        };
        let outcome = fleet.create(request, &progress).await;
        if let Err(error) = &outcome {
            tracing::info!("a create failed: {error}");
        }
        let message = outcome.map(|reply| CreateMessage::Done(Box::new(reply))).map_err(ApiError::from);
        let _ = sender.send(message).await;
        drop(change);
    });
    Ok(streamed(&service, ReceiverStream::new(receiver).boxed()))
}

async fn watch(State(service): Shared, Path(name): Path<String>) -> Result<Response, ApiError> {
    let story = Story::of(service.fleet.clone(), cluster(&service.fleet, &name).await?)?;
    Ok(streamed(&service, story.messages().map(Ok).boxed()))
}

async fn logged_nodes(State(service): Shared, Path(name): Path<String>) -> Answer<Vec<NodeName>> {
    Ok(Json(service.fleet.logged_nodes(&cluster(&service.fleet, &name).await?).await?))
}

async fn logs(
    State(service): Shared,
    Path((name, node)): Path<(String, String)>,
    Queried(query): Queried<LogQuery>,
) -> Result<Response, ApiError> {
    let follow = if query.follow { Follow::Yes } else { Follow::No };
    let request = LogRequest { tail: query.tail, follow };
    let log =
        service.fleet.logs(&cluster(&service.fleet, &name).await?, &self::node(&node)?, request).await?;
    let activity = service.activity.clone();
    let log = log.map_err(io::Error::other).take_until(async move { activity.stopping().await });
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], Body::from_stream(log.map_ok(Bytes::from)))
        .into_response())
}

/// Does what changes something in a task of its own: a client that goes away does not leave half of it.
async fn to_its_end<T: Send + 'static>(
    service: &Service,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Answer<T> {
    let change = service.activity.begin_change();
    let work = tokio::spawn(async move {
        let outcome = work.await;
        drop(change);
        outcome
    });
    match work.await {
        Ok(outcome) => Ok(Json(outcome?)),
        Err(error) => {
            tracing::error!("a request broke off: {error}");
            Err(ApiError::new(
                ErrorCode::Internal,
                "the controller could not finish what was asked; its log says more",
            ))
        }
    }
}

async fn unknown(request: Request) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("there is no {} {}", request.method(), request.uri().path()))
}

/// A stream of lines that ends when the controller does.
fn streamed<T: Serialize + Send + 'static>(
    service: &Service,
    messages: BoxStream<'static, Result<T, ApiError>>,
) -> Response {
    let activity = service.activity.clone();
    let messages = messages.take_until(async move { activity.stopping().await }).boxed();
    let body = Body::from_stream(lines::write(messages));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// The name of a cluster that is then known, if there is one, even if another machine has just made it.
async fn cluster(fleet: &Arc<Fleet>, name: &str) -> Result<ClusterName, ApiError> {
    let name = name.parse().map_err(|error| ApiError::new(ErrorCode::Invalid, format!("{error}")))?;
    if !fleet.is_current(&name) {
        fleet.look_around().await?;
    }
    Ok(name)
}

/// The name becomes part of a path: nothing that leads elsewhere.
pub(super) fn node(name: &str) -> Result<NodeName, ApiError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 253 || !name.bytes().all(fits) {
        let message = format!("`{}` cannot be the name of a node", name.escape_default());
        return Err(ApiError::new(ErrorCode::Invalid, message));
    }
    Ok(NodeName::new(name))
}

/// The body of a request, as JSON, of a sane size, within a bound.
pub(super) struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let invalid =
            |cause: String| ApiError::new(ErrorCode::Invalid, format!("the request cannot be read: {cause}"));
        let body = axum::body::to_bytes(request.into_body(), MAX_REQUEST_BYTES);
        let body = tokio::time::timeout(REQUEST_BOUND, body).await;
        let body = body
            .map_err(|_| invalid(format!("it was not complete after {} s", REQUEST_BOUND.as_secs())))?
            .map_err(|error| invalid(error.to_string()))?;
        serde_json::from_slice(&body).map(Self).map_err(|error| invalid(error.to_string()))
    }
}

/// What follows the question mark.
pub(super) struct Queried<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Queried<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|rejected| {
            ApiError::new(ErrorCode::Invalid, format!("the request cannot be read: {rejected}"))
        })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self)).into_response()
    }
}
