//! The answers that custom resources give.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    asked,
    event::newest,
    shared::{Resources, refused, uid_of},
    story::story,
};
use crate::{
    api::{ApiError, Clusters, CreateMessage, ErrorCode, WatchMessage},
    controller::{
        Clock as _, ClusterSummary, ClusterView, CreateRequest, Fate, Leftover, Listed, ScaleRequest, Sweep,
        SystemClock, Unplaced, scaled,
    },
    model::{Event, NodeName, Phase},
    provider::{Follow, LogRequest},
    spec::{ClusterName, GroupName},
    store::kubernetes::cluster_uid,
};

/// How many steps of a create may be unread before further ones are left out.
const BACKLOG: usize = 64;

/// How often a change is tried again that somebody else came before.
const TRIES: u32 = 10;

/// Between such tries: an operator writes its status into the same object.
const PAUSE: Duration = Duration::from_millis(50);

impl Resources {
    async fn views(&self) -> Result<Vec<Listed>, ApiError> {
        let objects = self.shared.custom.list().await.map_err(refused)?;
        let listed = objects.iter().map(|object| match self.view(object) {
            Ok(view) => Listed::Cluster(Box::new(view)),
            Err(error) => Listed::Unreadable { name: name_of(object), problem: error.message },
        });
        Ok(listed.collect())
    }
}

fn name_of(object: &serde_json::Value) -> String {
    object.pointer("/metadata/name").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

#[async_trait]
impl Clusters for Resources {
    fn is_of_this_machine(&self) -> bool {
        false
    }

    fn create(&self, request: CreateRequest) -> BoxStream<'static, Result<CreateMessage, ApiError>> {
        let resources = self.clone();
        let begin = async move {
            let (messages, said) = mpsc::channel(BACKLOG);
            // A task of its own: who stops listening does not leave half of it.
            tokio::spawn(async move {
                let steps = messages.clone();
                let progress = move |step| {
                    // Steps that nobody reads are left out.
                    let _ = steps.try_send(Ok(CreateMessage::Progress(step)));
                };
                let outcome = resources.accept(request, &progress).await;
                // Nobody may listen any more.
                let _ = messages.send(outcome.map(|reply| CreateMessage::Done(Box::new(reply)))).await;
            });
            ReceiverStream::new(said)
        };
        stream::once(begin).flatten().boxed()
    }

    async fn list(&self) -> Result<Vec<Listed>, ApiError> {
        self.views().await
    }

    async fn summaries(&self) -> Result<Vec<Listed<ClusterSummary>>, ApiError> {
        let summary = |listed| match listed {
            Listed::Cluster(view) => Listed::Cluster(Box::new(ClusterSummary::from(&*view))),
            Listed::Unreadable { name, problem } => Listed::Unreadable { name, problem },
        };
        Ok(self.views().await?.into_iter().map(summary).collect())
    }

    async fn get(&self, name: &ClusterName) -> Result<ClusterView, ApiError> {
        self.look_at(name).await
    }

    async fn reach(&self, view: ClusterView) -> Result<ClusterView, ApiError> {
        self.way_to(view).await
    }

    fn watch(&self, name: &ClusterName) -> BoxStream<'static, Result<WatchMessage, ApiError>> {
        story(self.clone(), name.clone())
    }

    async fn events(&self, name: &ClusterName, limit: usize) -> Result<Vec<Event>, ApiError> {
        let custom = &self.shared.custom;
        let (object, told) = tokio::join!(custom.get(name), custom.events(name));
        let (object, told) = (object.map_err(refused)?, told.map_err(refused)?);
        let events = newest(&told, object.as_ref(), limit);
        if object.is_none() && events.is_empty() {
            return Err(self.not_found(name));
        }
        Ok(events)
    }

    async fn scale(&self, name: &ClusterName, request: &ScaleRequest) -> Result<ClusterView, ApiError> {
        if request.unplaced == Unplaced::Lose {
            let message = "an operator keeps workers whose results nobody can take: `--force` is not for it";
            return Err(ApiError::new(ErrorCode::Refused, message)
                .with_hint("free the results in the client, or delete the cluster"));
        }
        let group = request.group.clone().unwrap_or_else(GroupName::workers);
        for _ in 0..TRIES {
            let object = self.object(name).await?;
            // What cannot be a cluster is refused in the same words as everywhere.
            let view = self.view(&object)?;
            let mut record = self.shared.reader.look(&object).map_err(|refusal| {
                ApiError::new(ErrorCode::Unreadable, format!("cluster {name}: {}", refusal.message))
            })?;
            if scaled(&mut record, &group, request, SystemClock.now())?.is_none() {
                return Ok(view);
            }
            let patch = asked::resize(&object, &group, request.size);
            let rehearsal = crate::provider::kubernetes::Rehearsal::ForReal;
            if let Some(changed) = self.shared.custom.patch(name, &patch, rehearsal).await.map_err(refused)? {
                return self.view(&changed);
            }
            tokio::time::sleep(PAUSE).await;
        }
        let message = format!("somebody else keeps changing computecluster {name}");
        Err(ApiError::new(ErrorCode::Conflict, message).with_hint("run the command again"))
    }

    async fn delete(&self, name: &ClusterName) -> Result<ClusterView, ApiError> {
        let object = self.object(name).await?;
        let mut view = self.view(&object)?;
        self.shared.custom.delete(name, &uid_of(&object)).await.map_err(refused)?;
        view.phase = Phase::Deleting;
        self.remember(&view);
        Ok(view)
    }

    async fn logged_nodes(&self, name: &ClusterName) -> Result<Vec<NodeName>, ApiError> {
        let uid = cluster_uid(&uid_of(&self.object(name).await?));
        self.shared.custom.pods(&uid).await.map_err(refused)
    }

    fn logs(
        &self,
        _: &ClusterName,
        node: &NodeName,
        tail: Option<usize>,
        follow: Follow,
    ) -> BoxStream<'static, Result<Vec<u8>, ApiError>> {
        let (resources, node) = (self.clone(), node.clone());
        let begin = async move {
            let log =
                resources.shared.custom.log(&node, LogRequest { tail, follow }).await.map_err(refused)?;
            Ok::<_, ApiError>(log.map_err(refused))
        };
        stream::once(begin).try_flatten().boxed()
    }

    async fn gc(&self, sweep: Sweep) -> Result<Vec<Leftover>, ApiError> {
        let guest = &self.shared.guest;
        let mut leftovers = Vec::new();
        for cluster in guest.abandoned().map_err(refused)? {
            let fate = match sweep {
                Sweep::DryRun => Fate::WouldBeRemoved,
                Sweep::Remove | Sweep::RemoveDead => {
                    guest.end(&cluster).await.map_err(refused)?;
                    Fate::Removed
                }
            };
            let description = format!("files of the ended forwarder to cluster {cluster}");
            leftovers.push(Leftover { description, age_seconds: 0, fate, hourly: None });
        }
        Ok(leftovers)
    }
}
