//! Promises about what is made: once, however often and however unluckily it is asked for.

use std::time::Duration;

use crewcall::{
    model::{AnchorState, Residue, Stop},
    provider::{ErrorKind, ProviderError},
};
use tokio::time::timeout;

use crate::{
    observing::until,
    stage::{Reply, Running, Stage, demo, eventually, nodes_of, start},
};

/// How long callers last who break off: from one that does not even begin to one that nearly hears the reply.
const BREAKS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_micros(200),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(30),
];

pub async fn what_was_never_made_is_seen_as_nothing(stage: &dyn Stage) {
    let (provider, cluster) = (stage.provider(), demo());
    let seen = provider.observe(&cluster).await.unwrap();
    assert_eq!((seen.anchor, seen.nodes.len()), (AnchorState::Absent, 0));
    assert_eq!(provider.list_managed().await.unwrap(), []);
    assert!(provider.remove_anchor(&cluster).await.unwrap().is_gone());
    assert_eq!(stage.remains(), Vec::<String>::new(), "looking leaves nothing behind");
    let (one, other) = (provider.capabilities(), stage.provider().capabilities());
    assert_eq!(one, other, "what a provider is like does not change");
}

pub async fn an_anchor_is_made_once_however_often_it_is_asked_for(stage: &dyn Stage) {
    let (one, other, cluster) = (stage.provider(), stage.provider(), demo());
    let request = stage.anchor(&cluster);
    let (first, second) = tokio::join!(one.ensure_anchor(&request), other.ensure_anchor(&request));
    first.unwrap();
    second.unwrap();
    one.ensure_anchor(&request).await.unwrap();
    for provider in [one, other] {
        until(&*provider, &cluster, "the anchor is there", |seen| seen.anchor == AnchorState::Present).await;
        let listed = provider.list_managed().await.unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!((&listed[0].cluster, listed[0].name.as_ref()), (&cluster.uid, Some(&cluster.name)));
    }
}

pub async fn a_node_needs_an_anchor(stage: &dyn Stage) {
    let (provider, cluster) = (stage.provider(), demo());
    let nodes = vec![stage.scheduler(&cluster)];
    let refused = provider.ensure_nodes(&nodes_of(stage, &cluster, nodes)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::NotFound, "{refused}");
    assert_eq!(stage.running(), 0);
}

pub async fn a_node_is_started_once_however_often_it_is_asked_for(stage: &dyn Stage) {
    let (one, other) = (stage.provider(), stage.provider());
    let running = Running::new(stage, &*one, demo(), 1).await;
    let again = || vec![running.worker(stage, 0)];
    tokio::join!(start(stage, &*one, &running.key, again()), start(stage, &*other, &running.key, again()));
    // Whoever asks for what is there and for more gets what is missing.
    let mut more = again();
    more.extend([running.worker(stage, 1), running.worker(stage, 2)]);
    start(stage, &*other, &running.key, more.clone()).await;
    start(stage, &*stage.provider(), &running.key, more).await;
    eventually("nodes that run", &4, || stage.running()).await;
    let seen = one.observe(&running.key).await.unwrap();
    assert_eq!(seen.nodes.len(), 4, "{seen:#?}");
}

pub async fn a_call_that_breaks_off_may_be_made_again(stage: &dyn Stage) {
    let cluster = demo();
    for bound in BREAKS {
        let anchor = stage.anchor(&cluster);
        let _ = timeout(bound, stage.provider().ensure_anchor(&anchor)).await;
    }
    let provider = stage.provider();
    let running = Running::new(stage, &*provider, cluster, 0).await;
    assert_eq!(provider.list_managed().await.unwrap().len(), 1);
    for (slot, bound) in (0..).zip(BREAKS) {
        let nodes = vec![running.worker(stage, slot)];
        let request = nodes_of(stage, &running.key, nodes);
        let _ = timeout(bound, stage.provider().ensure_nodes(&request)).await;
    }
    let workers: Vec<_> = (0..).zip(BREAKS).map(|(slot, _)| running.worker(stage, slot)).collect();
    let names: Vec<_> = workers.iter().map(|worker| worker.id.name()).collect();
    let request = nodes_of(stage, &running.key, workers);
    let failures = heard(|| provider.ensure_nodes(&request)).await;
    assert!(failures.is_empty(), "{failures:?}");
    let all = names.len() + 1;
    eventually("nodes that run", &all, || stage.running()).await;
    for bound in BREAKS {
        let _ = timeout(bound, stage.provider().remove_nodes(&running.key, &names, Stop::Now)).await;
    }
    heard(|| provider.remove_nodes(&running.key, &names, Stop::Now)).await;
    until(&*provider, &running.key, "the scheduler is alone", |seen| seen.nodes.len() == 1).await;
    eventually("nodes that run", &1, || stage.running()).await;
}

/// Asks again where the reply is lost: each of those who broke off may still be the newest caller for a moment, once.
async fn heard<T, F>(call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, ProviderError>>,
{
    for _ in BREAKS {
        match call().await {
            Err(error) if error.kind == ErrorKind::Transient => {
                assert_eq!(error.residue, Residue::Possible, "{error}");
            }
            heard => return heard.unwrap(),
        }
    }
    call().await.unwrap()
}

/// Whoever hears no reply does not know what became of the call, and says so.
fn unsure<T>(outcome: Result<T, ProviderError>) {
    if let Err(error) = outcome {
        assert_eq!(error.residue, Residue::Possible, "{error}");
    }
}

pub async fn a_lost_reply_and_the_same_call_again_make_no_double(stage: &dyn Stage) {
    let (provider, cluster) = (stage.provider(), demo());
    stage.lose(Reply::Anchor);
    unsure(provider.ensure_anchor(&stage.anchor(&cluster)).await);
    let running = Running::new(stage, &*stage.provider(), cluster, 0).await;
    stage.lose(Reply::Nodes);
    let nodes: Vec<_> = (0..2).map(|slot| running.worker(stage, slot)).collect();
    let request = nodes_of(stage, &running.key, nodes.clone());
    unsure(provider.ensure_nodes(&request).await);
    let names: Vec<_> = nodes.iter().map(|node| node.id.name()).collect();
    start(stage, &*stage.provider(), &running.key, nodes).await;
    eventually("nodes that run", &3, || stage.running()).await;
    stage.lose(Reply::Removal);
    unsure(provider.remove_nodes(&running.key, &names, Stop::Now).await);
    stage.provider().remove_nodes(&running.key, &names, Stop::Now).await.unwrap();
    until(&*provider, &running.key, "the scheduler is alone", |seen| seen.nodes.len() == 1).await;
}
