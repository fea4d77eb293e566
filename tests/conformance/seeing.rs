//! Promises about what is seen, and when.

use std::time::Duration;

use crewcall::{
    model::{AnchorState, ClusterKey, NodeName, NodeState, Stop},
    provider::{Follow, LogRequest, Provider},
};
use futures_util::StreamExt as _;

use crate::{
    observing::until,
    stage::{Running, Stage, demo},
};

/// How long a hint may take, at the most.
const HINT: Duration = Duration::from_mins(2);

/// How long a worker may take to log its first line.
const FIRST_LINE: Duration = Duration::from_mins(2);

pub async fn what_was_asked_for_is_seen_by_whoever_looks(stage: &dyn Stage) {
    let running = Running::new(stage, &*stage.provider(), demo(), 2).await;
    // The provider of the next controller.
    let seen = stage.provider().observe(&running.key).await.unwrap();
    assert_eq!(seen.anchor, AnchorState::Present);
    for worker in [0, 1].map(|slot| running.worker(stage, slot)) {
        let node = seen.nodes.iter().find(|node| node.id == worker.id).unwrap();
        assert_eq!(node.template, worker.template);
        assert_eq!(node.state, NodeState::Running);
    }
    let scheduler = seen.nodes.iter().find(|node| node.id == running.scheduler).unwrap();
    assert_eq!(scheduler.address.as_ref(), Some(&running.address));
}

pub async fn a_node_that_dies_is_seen_to_have_ended_and_the_others_live(stage: &dyn Stage) {
    let provider = stage.provider();
    let running = Running::new(stage, &*provider, demo(), 2).await;
    let [victim, other] = running.workers.as_slice() else { panic!("two workers") };
    stage.kill(&running.key, &running.address, &victim.name()).await;
    let state_of = |seen: &crewcall::model::Observed, id: &crewcall::model::NodeId| {
        seen.nodes.iter().find(|node| node.id == *id).map(|node| node.state.clone())
    };
    let seen = until(&*provider, &running.key, "the worker has ended", |seen| {
        matches!(state_of(seen, victim), None | Some(NodeState::Ended(_)))
    })
    .await;
    for id in [other, &running.scheduler] {
        assert_eq!(state_of(&seen, id), Some(NodeState::Running), "{id} lives on");
    }
    // Its name is not filled again, whether or not it is still shown.
    let again = vec![running.worker(stage, 0)];
    crate::stage::start(stage, &*provider, &running.key, again).await;
    let seen = provider.observe(&running.key).await.unwrap();
    assert!(matches!(state_of(&seen, victim), None | Some(NodeState::Ended(_))), "{seen:#?}");
}

pub async fn a_change_is_hinted_at(stage: &dyn Stage) {
    let provider = stage.provider();
    let running = Running::new(stage, &*provider, demo(), 1).await;
    let mut hints = provider.watch(&running.key);
    stage.kill(&running.key, &running.address, &running.workers[0].name()).await;
    let hint = tokio::time::timeout(HINT, hints.next()).await;
    assert_eq!(hint, Ok(Some(())), "a hint within {HINT:?}");
}

pub async fn the_log_of_a_node_outlives_it(stage: &dyn Stage) {
    let provider = stage.provider();
    let running = Running::new(stage, &*provider, demo(), 1).await;
    let name = running.workers[0].name();
    let deadline = tokio::time::Instant::now() + FIRST_LINE;
    let before = loop {
        let said = log(&*provider, &running.key, &name, None).await;
        if said.ends_with('\n') {
            break said;
        }
        assert!(tokio::time::Instant::now() < deadline, "not a line within {FIRST_LINE:?}: {said:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    provider.remove_nodes(&running.key, std::slice::from_ref(&name), Stop::Now).await.unwrap();
    until(&*provider, &running.key, "the worker is gone", |seen| seen.nodes.len() == 1).await;
    for provider in [provider, stage.provider()] {
        let logged = provider.logged_nodes(&running.key).await.unwrap();
        assert!(logged.contains(&name) && logged.contains(&running.scheduler.name()), "{logged:?}");
        let after = log(&*provider, &running.key, &name, None).await;
        assert!(after.starts_with(&before), "{after:?} does not begin with {before:?}");
        let last = log(&*provider, &running.key, &name, Some(1)).await;
        assert!(after.ends_with(&last) && last.lines().count() == 1, "{last:?}");
    }
}

async fn log(provider: &dyn Provider, cluster: &ClusterKey, node: &NodeName, tail: Option<usize>) -> String {
    let request = LogRequest { tail, follow: Follow::No };
    let chunks: Vec<_> = provider.logs(cluster, node, request).await.unwrap().collect().await;
    let bytes: Vec<u8> = chunks.into_iter().flat_map(Result::unwrap).collect();
    String::from_utf8(bytes).unwrap()
}
