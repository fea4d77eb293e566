//! What can be asked about clusters, whoever looks after them.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::{ApiError, CreateMessage, WatchMessage};
use crate::{
    controller::{
        ClusterSummary, ClusterView, CreateRequest, Leftover, Listed, Meeting, ScaleRequest, Sweep,
    },
    model::{Event, NodeName},
    provider::Follow,
    spec::ClusterName,
};

/// Where clusters are looked after: by the controller of this machine ([`super::ApiClient`]), or by an operator,
/// which is spoken to through custom resources.
///
/// Streams ask only once they are polled. A cluster that is not there is [`super::ErrorCode::NotFound`].
#[async_trait]
pub trait Clusters: Send + Sync {
    /// Whether they are of this machine's controller, which keeps their history here.
    fn is_of_this_machine(&self) -> bool;

    /// Creates a cluster, or changes it. Ends with [`CreateMessage::Done`] or an error.
    ///
    /// Once the request is accepted it is carried out whether or not anybody listens.
    fn create(&self, request: CreateRequest) -> BoxStream<'static, Result<CreateMessage, ApiError>>;

    /// All clusters, and what should be one and cannot be used.
    async fn list(&self) -> Result<Vec<Listed>, ApiError>;

    /// The same, with what a table shows of each.
    async fn summaries(&self) -> Result<Vec<Listed<ClusterSummary>>, ApiError>;

    /// One cluster.
    async fn get(&self, name: &ClusterName) -> Result<ClusterView, ApiError>;

    /// Sees to it that clients on this machine can connect to a cluster; its view then says where, and with which
    /// files. A cluster without an endpoint stays as it is.
    async fn reach(&self, view: ClusterView) -> Result<ClusterView, ApiError>;

    /// A cluster as it is, and all that happens to it from now on, until it is gone.
    fn watch(&self, name: &ClusterName) -> BoxStream<'static, Result<WatchMessage, ApiError>>;

    /// The newest events of a cluster, oldest first; at most `limit`.
    async fn events(&self, name: &ClusterName, limit: usize) -> Result<Vec<Event>, ApiError>;

    /// Changes the size of a group. The answer's `generation` is the one to wait for.
    async fn scale(&self, name: &ClusterName, request: &ScaleRequest) -> Result<ClusterView, ApiError>;

    /// Has a cluster deleted; [`Self::watch`] tells when it is gone.
    async fn delete(&self, name: &ClusterName) -> Result<ClusterView, ApiError>;

    /// The nodes of a cluster that have a log, newest last.
    async fn logged_nodes(&self, name: &ClusterName) -> Result<Vec<NodeName>, ApiError>;

    /// The log of a node: its last `tail` lines, or all.
    fn logs(
        &self,
        name: &ClusterName,
        node: &NodeName,
        tail: Option<usize>,
        follow: Follow,
    ) -> BoxStream<'static, Result<Vec<u8>, ApiError>>;

    /// Tells of a place in which clusters may be: what was left behind there is then found.
    async fn meet(&self, _: &Meeting) -> Result<(), ApiError> {
        Ok(())
    }

    /// Finds what was left behind, and removes it if asked to.
    async fn gc(&self, sweep: Sweep) -> Result<Vec<Leftover>, ApiError>;
}

/// Whoever is asked.
pub type Answering = Arc<dyn Clusters>;
