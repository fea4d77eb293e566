//! Events of a cluster as Kubernetes Events on its object, told in the background.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{slot::Place, words::words};
use crate::model::{Event, Severity, label};

/// Events that may wait to be told; more at once are dropped, with a line in the log.
const WAITING: usize = 4_096;

/// The API server's limit for a note, in bytes.
const NOTE: usize = 1_024;

/// The same event again within this time is counted, not told anew.
const SERIES: Duration = Duration::from_mins(10);

/// How long one call may take.
const ANSWER: Duration = Duration::from_secs(10);

enum Message {
    Tell { path: String, key: String, event: Box<Value>, at: Timestamp },
    Drained(oneshot::Sender<()>),
}

/// Takes events and tells them, one after the other.
pub struct EventSink {
    instance: String,
    messages: mpsc::Sender<Message>,
}

/// An event that was told, which the same again would count up.
struct Told {
    name: String,
    count: u32,
    at: Timestamp,
}

impl EventSink {
    pub fn start(client: Client, instance: String) -> Self {
        let (messages, inbox) = mpsc::channel(WAITING);
        tokio::spawn(tell_all(client, inbox));
        Self { instance, messages }
    }

    /// Has an event told, if not too many wait.
    pub fn tell(&self, place: &Place, event: &Event) {
        let told = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": format!("{}.{}", place.name, uuid::Uuid::new_v4().simple()),
                "namespace": place.namespace,
            },
            "eventTime": micro(event.at),
            "type": match event.severity { Severity::Normal => "Normal", Severity::Warning => "Warning" },
            "reason": event.kind,
            "action": event.kind,
            "note": note(event),
            "reportingController": "crewcall.dev/operator",
            "reportingInstance": self.instance,
            "regarding": {
                "apiVersion": "crewcall.dev/v1alpha1",
                "kind": "ComputeCluster",
                "namespace": place.namespace,
                "name": place.name,
                "uid": place.uid,
            },
        });
        let mut told = told;
        if let (Some(node), Some(fields)) = (&event.node, told.as_object_mut()) {
            let related =
                json!({ "apiVersion": "v1", "kind": "Pod", "namespace": place.namespace, "name": node });
            fields.insert("related".to_owned(), related);
        }
        let message = Message::Tell {
            path: format!("/apis/events.k8s.io/v1/namespaces/{}/events", place.namespace),
            key: format!("{} {:?} {:?} {}", place.uid, event.kind, event.node, note(event)),
            event: Box::new(told),
            at: event.at,
        };
        if self.messages.try_send(message).is_err() {
            tracing::warn!(cluster = %place.name, "too many events at once: `{}` is not told", event.message);
        }
    }

    /// Waits until all that was taken is told, at most for `bound`.
    pub async fn drain(&self, bound: Duration) {
        let (done, drained) = oneshot::channel();
        let all = async {
            if self.messages.send(Message::Drained(done)).await.is_ok() {
                // It fails only when nobody tells events any more.
                let _ = drained.await;
            }
        };
        let _ = tokio::time::timeout(bound, all).await;
    }
}

async fn tell_all(client: Client, mut inbox: mpsc::Receiver<Message>) {
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    while let Some(message) = inbox.recv().await {
        match message {
            Message::Drained(done) => {
                let _ = done.send(());
            }
            Message::Tell { path, key, event, at } => {
                let oldest = at.checked_sub(SERIES).unwrap_or(Timestamp::UNIX_EPOCH);
                told.retain(|_, told| told.at > oldest);
                let request = match told.get_mut(&key) {
                    Some(known) => {
                        (known.count, known.at) = (known.count.saturating_add(1), at);
                        repeated(&path, known)
                    }
                    None => first(&path, &event),
                };
                let made = async {
                    client
                        .request::<Value>(request.map_err(|error| error.to_string())?)
                        .await
                        .map_err(|error| words(&error))
                };
                match tokio::time::timeout(ANSWER, made).await {
                    Ok(Ok(made)) => {
                        let name =
                            super::object::text(&made, "/metadata/name").unwrap_or_default().to_owned();
                        told.entry(key).or_insert(Told { name, count: 1, at });
                    }
                    Ok(Err(error)) => {
                        told.remove(&key);
                        tracing::warn!("an event cannot be told: {error}");
                    }
                    Err(_) => tracing::warn!("an event was not told within {} s", ANSWER.as_secs()),
                }
            }
        }
    }
}

type Request = Result<hyper::http::Request<Vec<u8>>, hyper::http::Error>;

fn first(path: &str, event: &Value) -> Request {
    hyper::http::Request::post(format!("{path}?fieldManager={}", label::CREWCALL))
        .header(hyper::http::header::CONTENT_TYPE, "application/json")
        .body(event.to_string().into_bytes())
}

fn repeated(path: &str, told: &Told) -> Request {
    let series = json!({ "series": { "count": told.count, "lastObservedTime": micro(told.at) } });
    hyper::http::Request::patch(format!("{path}/{}?fieldManager={}", told.name, label::CREWCALL))
        .header(hyper::http::header::CONTENT_TYPE, "application/merge-patch+json")
        .body(series.to_string().into_bytes())
}

/// As Kubernetes has times with microseconds.
fn micro(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// The message, as much of it as fits.
fn note(event: &Event) -> &str {
    let message = event.message.as_str();
    let mut end = message.len().min(NOTE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.get(..end).unwrap_or_default()
}
