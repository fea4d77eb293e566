//! The controller as its clients see it.

use std::{path::PathBuf, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::{
    ApiError, Clusters, ControllerStatus, CreateMessage, Hello, WatchMessage,
    connection::{Ask, Connection, went_away},
    lines,
    process::{self, ConnectError, Launcher},
    types::{EventsQuery, LogQuery},
};
use crate::{
    controller::{
        ClusterSummary, ClusterView, CreateRequest, Leftover, Listed, Meeting, ScaleRequest, Sweep,
        process::Locations,
    },
    model::{Event, NodeName},
    provider::Follow,
    spec::ClusterName,
};

/// How long an answer may take that only looks, or only writes down.
const ANSWER_BOUND: Duration = Duration::from_secs(30);

/// How long an answer may take that asks providers for everything.
const SWEEP_BOUND: Duration = Duration::from_mins(5);

/// How long a place may take to be noted.
const MEETING_BOUND: Duration = Duration::from_secs(10);

/// A controller that answers.
///
/// Streams ask only once they are polled; each request has a connection of its own.
#[derive(Debug, Clone)]
pub struct ApiClient {
    socket: PathBuf,
    hello: Hello,
}

impl ApiClient {
    /// The controller of these locations; `None` when there is none.
    ///
    /// One whose socket has vanished is asked to make it again.
    pub async fn connect(locations: &Locations) -> Result<Option<Self>, ConnectError> {
        process::connect(locations).await
    }

    /// The controller of these locations, started when there is none. One that is older than this
    /// program is replaced; its clusters live on.
    pub async fn connect_or_start(locations: &Locations) -> Result<Self, ConnectError> {
        process::connect_or_start(locations, &Launcher::of_this_process()?).await
    }

    pub(super) fn new(socket: PathBuf, hello: Hello) -> Self {
        Self { socket, hello }
    }

    /// Who answers.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// What the controller says about itself.
    pub async fn status(&self) -> Result<ControllerStatus, ApiError> {
        self.fetch(Ask::get("/v1/status")).await
    }

    /// Ends the controller, and waits until it is gone. Clusters live on.
    pub async fn stop(&self) -> Result<(), ApiError> {
        process::stop(&self.socket, &self.hello).await
    }

    async fn fetch<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, ApiError> {
        Connection::open(&self.socket).await?.fetch(&ask, ANSWER_BOUND).await
    }

    async fn open(&self, ask: &Ask) -> Result<Incoming, ApiError> {
        Ok(Connection::open(&self.socket).await?.send(ask).await?.into_body())
    }

    fn messages<T: DeserializeOwned + Send + 'static>(
        &self,
        ask: impl FnOnce() -> Result<Ask, ApiError> + Send + 'static,
        is_last: fn(&T) -> bool,
    ) -> BoxStream<'static, Result<T, ApiError>> {
        let client = self.clone();
        stream::once(async move {
            let body = client.open(&ask()?).await?;
            Ok::<_, ApiError>(lines::read(bytes(client.socket.clone(), body), client.socket, is_last))
        })
        .try_flatten()
        .boxed()
    }
}

#[async_trait]
impl Clusters for ApiClient {
    fn is_of_this_machine(&self) -> bool {
        true
    }

    fn create(&self, request: CreateRequest) -> BoxStream<'static, Result<CreateMessage, ApiError>> {
        self.messages(
            move || Ask::post("/v1/clusters", &request),
            |message| matches!(message, CreateMessage::Done(_)),
        )
    }

    async fn list(&self) -> Result<Vec<Listed>, ApiError> {
        self.fetch(Ask::get("/v1/clusters")).await
    }

    async fn summaries(&self) -> Result<Vec<Listed<ClusterSummary>>, ApiError> {
        self.fetch(Ask::get("/v1/summaries")).await
    }

    async fn get(&self, name: &ClusterName) -> Result<ClusterView, ApiError> {
        self.fetch(Ask::get(format!("/v1/clusters/{name}"))).await
    }

    async fn reach(&self, view: ClusterView) -> Result<ClusterView, ApiError> {
        // Its providers see to that by themselves.
        Ok(view)
    }

    fn watch(&self, name: &ClusterName) -> BoxStream<'static, Result<WatchMessage, ApiError>> {
        let ask = Ask::get(format!("/v1/clusters/{name}/watch"));
        self.messages(|| Ok(ask), |message| matches!(message, WatchMessage::Gone))
    }

    async fn events(&self, name: &ClusterName, limit: usize) -> Result<Vec<Event>, ApiError> {
        let EventsQuery { limit } = EventsQuery { limit };
        self.fetch(Ask::get(format!("/v1/clusters/{name}/events?limit={limit}"))).await
    }

    async fn scale(&self, name: &ClusterName, request: &ScaleRequest) -> Result<ClusterView, ApiError> {
        self.fetch(Ask::post(format!("/v1/clusters/{name}/scale"), request)?).await
    }

    async fn delete(&self, name: &ClusterName) -> Result<ClusterView, ApiError> {
        self.fetch(Ask::delete(format!("/v1/clusters/{name}"))).await
    }

    async fn logged_nodes(&self, name: &ClusterName) -> Result<Vec<NodeName>, ApiError> {
        self.fetch(Ask::get(format!("/v1/clusters/{name}/logs"))).await
    }

    fn logs(
        &self,
        name: &ClusterName,
        node: &NodeName,
        tail: Option<usize>,
        follow: Follow,
    ) -> BoxStream<'static, Result<Vec<u8>, ApiError>> {
        let query = LogQuery { tail, follow: follow == Follow::Yes };
        let tail = query.tail.map(|tail| format!("&tail={tail}")).unwrap_or_default();
        let ask = Ask::get(format!("/v1/clusters/{name}/logs/{node}?follow={}{tail}", query.follow));
        let client = self.clone();
        stream::once(async move { Ok::<_, ApiError>(bytes(client.socket.clone(), client.open(&ask).await?)) })
            .try_flatten()
            .boxed()
    }

    async fn meet(&self, meeting: &Meeting) -> Result<(), ApiError> {
        let ask = Ask::post("/v1/meet", meeting)?;
        Connection::open(&self.socket).await?.fetch(&ask, MEETING_BOUND).await
    }

    async fn gc(&self, sweep: Sweep) -> Result<Vec<Leftover>, ApiError> {
        let ask = Ask::post("/v1/gc", &sweep)?;
        Connection::open(&self.socket).await?.fetch(&ask, SWEEP_BOUND).await
    }
}

/// The chunks of a body.
fn bytes(socket: PathBuf, body: Incoming) -> BoxStream<'static, Result<Vec<u8>, ApiError>> {
    body.into_data_stream()
        .map(move |chunk| chunk.map(Vec::from).map_err(|error| went_away(&socket, &error)))
        .boxed()
}
