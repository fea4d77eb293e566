//! The clusters of an operator over HTTP on a Unix socket, in the words of the controller's own interface, for
//! programs that speak to that.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::header,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use serde::Serialize;
use tokio::net::UnixListener;

use super::{
    Answering, ApiError, ErrorCode, WatchMessage, lines,
    process::Activity,
    routes::{Asked, Queried, node},
    types::{EventsQuery, LogQuery},
};
use crate::{
    controller::{ClusterView, Listed, ScaleRequest},
    model::{Event, NodeName},
    provider::Follow,
    spec::ClusterName,
};

/// A gateway of which nobody has asked anything for so long ends; whoever wants one starts another.
const LINGER: Duration = Duration::from_secs(10);

/// A gateway that cannot begin, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// There is no place for its socket.
    #[error("cannot listen on {}: {cause}", path.display())]
    Listen {
        /// Where.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// It does not go on.
    #[error("the gateway cannot go on: {0}")]
    Serve(io::Error),
}

/// Answers until nobody asks any more, or it is dropped. The folder of the socket keeps others out.
pub async fn serve_gateway(
    clusters: Answering,
    socket: PathBuf,
    announce: impl FnOnce(&std::path::Path),
) -> Result<(), GatewayError> {
    let listener =
        UnixListener::bind(&socket).map_err(|cause| GatewayError::Listen { path: socket.clone(), cause })?;
    announce(&socket);
    let activity = Activity::new();
    tokio::select! {
        served = axum::serve(listener, router(clusters, activity.clone())).into_future() => {
            served.map_err(GatewayError::Serve)
        }
        () = activity.unasked_for(LINGER) => Ok(()),
    }
}

type Shared = State<Answering>;
type Answer<T> = Result<Json<T>, ApiError>;

fn router(clusters: Answering, activity: Arc<Activity>) -> Router {
    Router::new()
        .route("/v1/clusters", get(list))
        .route("/v1/clusters/{name}", get(one).delete(delete))
        .route("/v1/clusters/{name}/watch", get(watch))
        .route("/v1/clusters/{name}/events", get(events))
        .route("/v1/clusters/{name}/scale", post(scale))
        .route("/v1/clusters/{name}/logs", get(logged_nodes))
        .route("/v1/clusters/{name}/logs/{node}", get(logs))
        .layer(middleware::from_fn_with_state(activity, counted))
        .with_state(clusters)
}

/// Counts a request as under way until its answer is sent, or nobody wants it any more.
async fn counted(State(activity): State<Arc<Activity>>, request: Request, next: Next) -> Response {
    let Some(busy) = activity.begin() else {
        return ApiError::new(ErrorCode::Unreachable, "the gateway is ending").into_response();
    };
    busy.until_sent(next.run(request).await)
}

fn cluster(name: &str) -> Result<ClusterName, ApiError> {
    name.parse().map_err(|error| ApiError::new(ErrorCode::Invalid, format!("{error}")))
}

async fn list(State(clusters): Shared) -> Answer<Vec<Listed>> {
    Ok(Json(clusters.list().await?))
}

/// Whoever asks means to connect.
async fn one(State(clusters): Shared, Path(name): Path<String>) -> Answer<ClusterView> {
    Ok(Json(clusters.reach(clusters.get(&cluster(&name)?).await?).await?))
}

async fn delete(State(clusters): Shared, Path(name): Path<String>) -> Answer<ClusterView> {
    Ok(Json(clusters.delete(&cluster(&name)?).await?))
}

async fn scale(
    State(clusters): Shared,
    Path(name): Path<String>,
    Asked(request): Asked<ScaleRequest>,
) -> Answer<ClusterView> {
    Ok(Json(clusters.scale(&cluster(&name)?, &request).await?))
}

async fn events(
    State(clusters): Shared,
    Path(name): Path<String>,
    Queried(query): Queried<EventsQuery>,
) -> Answer<Vec<Event>> {
    Ok(Json(clusters.events(&cluster(&name)?, query.limit).await?))
}

async fn watch(State(clusters): Shared, Path(name): Path<String>) -> Result<Response, ApiError> {
    let messages = clusters.watch(&cluster(&name)?);
    let reached = messages.then(move |message| {
        let clusters = clusters.clone();
        async move {
            match message? {
                WatchMessage::Cluster(view) => {
                    Ok(WatchMessage::Cluster(Box::new(clusters.reach(*view).await?)))
                }
                other => Ok(other),
            }
        }
    });
    Ok(streamed(reached.boxed()))
}

async fn logged_nodes(State(clusters): Shared, Path(name): Path<String>) -> Answer<Vec<NodeName>> {
    Ok(Json(clusters.logged_nodes(&cluster(&name)?).await?))
}

async fn logs(
    State(clusters): Shared,
    Path((name, node)): Path<(String, String)>,
    Queried(query): Queried<LogQuery>,
) -> Result<Response, ApiError> {
    let follow = if query.follow { Follow::Yes } else { Follow::No };
    let log = clusters.logs(&cluster(&name)?, &self::node(&node)?, query.tail, follow);
    let log = log.map_ok(Bytes::from).map_err(io::Error::other);
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], Body::from_stream(log)).into_response())
}

fn streamed<T: Serialize + Send + 'static>(messages: BoxStream<'static, Result<T, ApiError>>) -> Response {
    let body = Body::from_stream(lines::write(messages));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
