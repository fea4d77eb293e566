//! Promises about what ends: that, all of it, and nothing else.

use std::time::Duration;

use crewcall::model::{AnchorState, Stop};

use crate::{
    observing::until,
    stage::{Running, Stage, cluster, demo, eventually, remove, start, strike},
};

/// More than a worker without data takes to hand it over.
const GRACE: Duration = Duration::from_secs(25);

pub async fn a_removed_node_is_gone_and_its_name_used_up(stage: &dyn Stage) {
    let provider = stage.provider();
    let running = Running::new(stage, &*provider, demo(), 2).await;
    let names: Vec<_> = running.workers.iter().map(crewcall::model::NodeId::name).collect();
    provider.remove_nodes(&running.key, &names[..1], Stop::Now).await.unwrap();
    provider.remove_nodes(&running.key, &names[1..], Stop::Gently(GRACE)).await.unwrap();
    until(&*provider, &running.key, "the scheduler is alone", |seen| seen.nodes.len() == 1).await;
    eventually("nodes that run", &1, || stage.running()).await;
    for provider in [provider, stage.provider()] {
        let again = [0, 1].map(|slot| running.worker(stage, slot));
        start(stage, &*provider, &running.key, again.into()).await;
        let seen = provider.observe(&running.key).await.unwrap();
        assert_eq!(seen.nodes.len(), 1, "a name is not used a second time: {seen:#?}");
        assert_eq!(stage.running(), 1);
    }
}

pub async fn what_is_removed_twice_or_was_never_there_is_no_failure(stage: &dyn Stage) {
    let provider = stage.provider();
    let strangers =
        [demo(), cluster("other", 2)].map(|key| stage.worker(&key, 7, "tls://127.0.0.1:1").id.name());
    provider.remove_nodes(&demo(), &strangers, Stop::Now).await.unwrap();
    let mut running = Running::new(stage, &*provider, demo(), 2).await;
    let gone = running.workers.remove(0).name();
    for how in [Stop::Gently(GRACE), Stop::Now, Stop::Now] {
        let names: Vec<_> = strangers.iter().cloned().chain([gone.clone()]).collect();
        provider.remove_nodes(&running.key, &names, how).await.unwrap();
    }
    running.are_seen(&*provider).await;
    eventually("nodes that run", &2, || stage.running()).await;
}

pub async fn a_removed_cluster_takes_its_nodes_along_and_leaves_nothing(stage: &dyn Stage) {
    let provider = stage.provider();
    let running = Running::new(stage, &*provider, demo(), 2).await;
    remove(&*provider, &running.key).await;
    assert_eq!(stage.running(), 0);
    for provider in [provider, stage.provider()] {
        assert_eq!(provider.list_managed().await.unwrap(), []);
        remove(&*provider, &running.key).await;
    }
    eventually("what is left", &Vec::<String>::new(), || stage.remains()).await;
}

pub async fn other_clusters_and_installations_are_left_alone(stage: &dyn Stage) {
    let neighbour = stage.neighbour();
    let (ours, theirs) = (stage.provider(), neighbour.provider());
    // The same in all but the installation.
    let foreign = Running::new(&*neighbour, &*theirs, demo(), 1).await;
    let one = Running::new(stage, &*ours, demo(), 1).await;
    let other = Running::new(stage, &*ours, cluster("other", 2), 1).await;
    let listed = ours.list_managed().await.unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
    // Names of another cluster's nodes are nothing to this one.
    ours.remove_nodes(&one.key, &[other.workers[0].name(), other.scheduler.name()], Stop::Now).await.unwrap();
    other.are_seen(&*ours).await;
    remove(&*ours, &one.key).await;
    for managed in ours.list_managed().await.unwrap() {
        assert_eq!(managed.cluster, other.key.uid, "{managed:?}");
    }
    other.are_seen(&*ours).await;
    remove(&*ours, &other.key).await;
    foreign.are_seen(&*theirs).await;
    assert_eq!(neighbour.running(), 2);
    strike(&*neighbour).await;
}

pub async fn what_nobody_remembers_is_listed_and_can_be_swept(stage: &dyn Stage) {
    let running = Running::new(stage, &*stage.provider(), demo(), 1).await;
    // A controller that has lost its store.
    let provider = stage.provider();
    let listed = provider.list_managed().await.unwrap();
    let [managed] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((&managed.cluster, managed.name.as_ref()), (&running.key.uid, Some(&running.key.name)));
    assert!(managed.description.contains("demo"), "{managed:?}");
    provider.sweep(managed).await.unwrap();
    provider.sweep(managed).await.unwrap();
    let gone = |seen: &crewcall::model::Observed| seen.anchor == AnchorState::Absent && seen.nodes.is_empty();
    until(&*provider, &running.key, "nothing is left of it", gone).await;
    eventually("nodes that run", &0, || stage.running()).await;
}
