//! Follows the custom resources of one namespace, or of all.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{Stream, StreamExt as _};
use kube::{
    Api, Client,
    core::DynamicObject,
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::Value;

use super::{
    clusters::{Clusters, Place, uid_of},
    health::Health,
};
use crate::{
    model::ObjectUid,
    spec::Namespace,
    store::kubernetes::{resource, words_of_watch},
};

/// How long one watching call lasts, in seconds; a connection that died in silence is noticed then.
const WATCH_SECONDS: u32 = 240;

/// Tells `clusters` of every object, and `health` how that goes. Never returns.
pub async fn follow(
    client: Client,
    namespace: Option<Namespace>,
    clusters: Arc<Clusters>,
    health: Arc<Health>,
) {
    let api: Api<DynamicObject> = match &namespace {
        Some(namespace) => Api::namespaced_with(client, namespace.as_str(), &resource()),
        None => Api::all_with(client, &resource()),
    };
    let watched = namespace.as_ref().map_or_else(|| "all namespaces".to_owned(), ToString::to_string);
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    let events = watcher(api, config).default_backoff().boxed();
    read(events, namespace.as_ref(), &watched, &clusters, &health).await;
}

async fn read(
    mut events: impl Stream<Item = watcher::Result<watcher::Event<DynamicObject>>> + Unpin,
    namespace: Option<&Namespace>,
    watched: &str,
    clusters: &Arc<Clusters>,
    health: &Health,
) {
    let mut listing: BTreeMap<Place, ObjectUid> = BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listing.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                let object = as_value(&object);
                if let Some(place) = Place::of(&object) {
                    listing.insert(place, uid_of(&object));
                }
                clusters.seen(object);
            }
            Ok(watcher::Event::InitDone) => {
                clusters.only(namespace, &listing);
                health.watching(watched, Ok(()));
            }
            Ok(watcher::Event::Apply(object)) => {
                health.watching(watched, Ok(()));
                clusters.seen(as_value(&object));
            }
            Ok(watcher::Event::Delete(object)) => {
                let object = as_value(&object);
                if let Some(place) = Place::of(&object) {
                    clusters.gone(&place, &uid_of(&object));
                }
            }
            Err(error) => {
                let why = words_of_watch(&error);
                tracing::warn!("the computeclusters of {watched} cannot be watched: {why}");
                health.watching(watched, Err(why));
            }
        }
    }
}

fn as_value(object: &DynamicObject) -> Value {
    // An object that was read from JSON has a form in it.
    serde_json::to_value(object).unwrap_or_default()
}
