//! Real Dask clusters on this machine, through the local provider.
#![cfg(all(feature = "local", target_os = "linux"))]

#[path = "local/support.rs"]
mod support;

use crewcall::{model::*, provider::*};
use support::*;

#[tokio::test]
async fn a_cluster_is_made_computes_and_leaves_nothing() {
    let Some(python) = python() else { return };
    let (world, cluster) = (World::new(python), cluster(1));
    let provider = world.provider();
    let interpreter = world.prepare(&provider, None).await.unwrap();
    assert!(interpreter.versions.get("distributed").is_some(), "{interpreter:?}");

    let address = world.scheduler(&provider, &cluster).await;
    assert!(address.starts_with("tls://127.0.0.1:"), "{address}");
    let workers = (0..2).map(|slot| worker(&cluster, slot, &address, world.identity())).collect();
    let request = nodes(&cluster, workers);
    assert!(provider.ensure_nodes(&request).await.unwrap().is_empty());
    world.client(
        &address,
        "client.wait_for_workers(2, timeout=30)\n\
         assert sum(client.gather(client.map(lambda x: x * x, range(100)))) == 328350\n\
         import os\n\
         seen = client.run(lambda: [os.environ.get(name) for name in ('MINE', 'OURS', 'OMP_NUM_THREADS')])\n\
         assert list(seen.values()) == [['caller', 'document', '1']] * 2, seen",
    );
    // Again, as after a crash of the controller: nothing more is started.
    assert!(provider.ensure_nodes(&request).await.unwrap().is_empty());
    let seen = provider.observe(&cluster).await.unwrap();
    assert_eq!(seen.anchor, AnchorState::Present);
    assert_eq!(seen.nodes.len(), 3);
    assert!(seen.nodes.iter().all(|node| node.state == NodeState::Running), "{seen:#?}");

    remove(&provider, &cluster).await;
    assert_eq!(provider.observe(&cluster).await.unwrap(), Observed::default());
    world.assert_nothing_left().await;
}
