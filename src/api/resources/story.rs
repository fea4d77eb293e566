//! The story of a cluster, from its object and the Events about it.

use std::{pin::Pin, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream, stream::BoxStream};
use serde_json::Value;
use tokio::{sync::mpsc, time::Sleep};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    event::{event, is_about},
    shared::{Resources, refused, uid_of},
    view::{Objection, was_looked_at},
};
use crate::{
    api::{ApiError, ErrorCode, WatchMessage},
    controller::{Clock as _, ClusterView, SystemClock},
    model::{ErrorKind, Event, EventKind, ObjectUid, Phase, Severity},
    provider::{
        ProviderError,
        kubernetes::{Sighting, Told},
    },
    spec::ClusterName,
};

/// How many messages may be unread.
const BACKLOG: usize = 64;

/// An object that no operator has looked at for so long is one that nobody looks after.
const SILENCE: Duration = Duration::from_secs(10);

/// Between looks at what is left of a cluster whose object is gone.
const LOOK: Duration = Duration::from_millis(300);

type Messages = mpsc::Sender<Result<WatchMessage, ApiError>>;

/// All that happens to the cluster that has the name now. Asks only once it is polled.
pub fn story(resources: Resources, name: ClusterName) -> BoxStream<'static, Result<WatchMessage, ApiError>> {
    let begin = async move {
        let (messages, told) = mpsc::channel(BACKLOG);
        tokio::spawn(async move {
            let unheard = messages.clone();
            tokio::select! {
                () = unheard.closed() => {}
                outcome = tell(&resources, &name, &messages) => if let Err(error) = outcome {
                    // It fails when nobody listens.
                    let _ = messages.send(Err(error)).await;
                }
            }
        });
        ReceiverStream::new(told)
    };
    stream::once(begin).flatten().boxed()
}

/// One object, followed to its end.
struct Teller<'a> {
    resources: &'a Resources,
    messages: &'a Messages,
    name: &'a ClusterName,
    uid: ObjectUid,
    shown: Option<ClusterView>,
    looked_at: bool,
}

/// Tells until the cluster is gone.
async fn tell(resources: &Resources, name: &ClusterName, messages: &Messages) -> Result<(), ApiError> {
    let mut teller =
        Teller { resources, messages, name, uid: ObjectUid::new(""), shown: None, looked_at: false };
    let Some(object) = resources.shared.custom.get(name).await.map_err(refused)? else {
        // What was deleted a moment ago may have pods still.
        teller.shown = resources.recall(name);
        return if teller.shown.is_some() { teller.gone().await } else { Err(resources.not_found(name)) };
    };
    teller.uid = uid_of(&object);
    teller.there(&object).await?;
    let custom = &resources.shared.custom;
    let mut sightings = custom.watch(name).await.map_err(refused)?;
    // Who may not read Events hears of none.
    let mut told = Some(custom.follow_events(name).await.map_err(refused)?);
    let mut silence: Pin<Box<Sleep>> = Box::pin(tokio::time::sleep(SILENCE));
    loop {
        let news = async {
            match &mut told {
                Some(told) => told.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // What happened is told before what came of it.
            biased;
            news = news => match news {
                Some(Ok(Told::News(news))) => teller.news(&news).await,
                Some(Ok(Told::Before(_))) => {}
                Some(Err(error)) if is_transient(&error) => {}
                Some(Err(_)) | None => told = None,
            },
            sighting = sightings.next() => match sighting {
                Some(Ok(Sighting::There(object))) if uid_of(&object) == teller.uid => {
                    teller.there(&object).await?;
                }
                Some(Ok(Sighting::There(_) | Sighting::Gone)) => return teller.gone().await,
                // The watch goes on by itself.
                Some(Err(error)) if is_transient(&error) => {}
                Some(Err(error)) => return Err(refused(error)),
                None => return Err(ended(name)),
            },
            () = &mut silence, if !teller.looked_at => {
                teller.looked_at = true;
                teller.nobody_looks().await;
            }
        }
    }
}

fn is_transient(error: &ProviderError) -> bool {
    !matches!(error.kind, ErrorKind::Auth | ErrorKind::Invalid)
}

fn ended(name: &ClusterName) -> ApiError {
    ApiError::new(ErrorCode::Unreachable, format!("the watch of cluster {name} has ended"))
}

impl Teller<'_> {
    /// It fails when nobody listens, which is noticed elsewhere.
    async fn say(&self, message: WatchMessage) {
        let _ = self.messages.send(Ok(message)).await;
    }

    async fn there(&mut self, object: &Value) -> Result<(), ApiError> {
        self.looked_at |= was_looked_at(object);
        if let Some(objection) = Objection::of(object).filter(Objection::is_whole) {
            let message = format!("the operator refuses cluster {}: {}", self.name, objection.message);
            return Err(ApiError::new(ErrorCode::Refused, message).with_hint(format!(
                "mend the document and create it again, or remove it with `crewcall delete {}`",
                self.name
            )));
        }
        let view = self.resources.view(object)?;
        if self.shown.as_ref() != Some(&view) {
            self.shown = Some(view.clone());
            self.say(WatchMessage::Cluster(Box::new(view))).await;
        }
        Ok(())
    }

    async fn news(&self, told: &Value) {
        if let Some(event) = event(told).filter(|_| is_about(told, &self.uid)) {
            self.say(WatchMessage::Event(event)).await;
        }
    }

    async fn nobody_looks(&self) {
        let namespace = &self.resources.context().namespace;
        let message = format!(
            "no operator has looked at the cluster for {} s: is one installed that looks after namespace \
             {namespace}? `kubectl get deployments -A -l app.kubernetes.io/name=crewcall` shows it",
            SILENCE.as_secs()
        );
        let (at, severity) = (SystemClock.now(), Severity::Warning);
        let event = Event { at, severity, kind: EventKind::ProviderError, node: None, message };
        self.say(WatchMessage::Event(event)).await;
    }

    /// The object is gone; the cluster once its pods are.
    async fn gone(mut self) -> Result<(), ApiError> {
        if let Some(mut view) = self.shown.take() {
            view.phase = Phase::Deleting;
            loop {
                match self.resources.shared.custom.pods(&view.uid).await {
                    Ok(pods) if pods.is_empty() => break,
                    Ok(pods) => view.nodes.retain(|node| pods.contains(&node.name)),
                    Err(error) if is_transient(&error) => {}
                    // Who may not look at pods leaves them to the operator.
                    Err(_) => break,
                }
                self.say(WatchMessage::Cluster(Box::new(view.clone()))).await;
                tokio::time::sleep(LOOK).await;
            }
            self.resources.shared.guest.end(&view.uid).boxed().await.map_err(refused)?;
            self.resources.forget(self.name);
        }
        self.say(WatchMessage::Gone).await;
        Ok(())
    }
}
