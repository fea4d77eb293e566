//! Keeps an object's status what its cluster is.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    balancer::Balancer,
    status::{Acceptance, status},
};
use crate::{controller::ClusterCell, store::kubernetes::KubernetesStore};

/// A status is written at most this often.
const PERIOD: Duration = Duration::from_millis(200);

/// Until the cluster was looked at, what the status says may be truer; after this it is written all the same.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Pauses after writes that failed, the last one for good.
const RETRY: [u64; 4] = [1, 2, 5, 10];

/// Writes the status whenever it is to be another one. Never returns.
pub async fn show(
    store: KubernetesStore,
    cell: Arc<ClusterCell>,
    mut acceptance: watch::Receiver<Acceptance>,
    mut groups: BTreeSet<String>,
    mut balancer: Balancer,
) {
    let mut view = cell.watch();
    let uid = &cell.key().uid;
    // It is about the wait alone.
    let _ = tokio::time::timeout(FIRST_LOOK, cell.looked()).await;
    let mut failures = 0;
    loop {
        let accepted = acceptance.borrow_and_update().clone();
        let current = view.borrow_and_update().clone();
        balancer.look(&current).await;
        let wanted = status(&current, &accepted, &mut groups, balancer.host());
        match store.show(uid, wanted).await {
            Ok(()) => failures = 0,
            Err(error) => {
                tracing::warn!(cluster = %cell.key().name, "its status is old: {error}");
                let pause = RETRY.get(failures).copied().unwrap_or(10);
                failures += 1;
                tokio::time::sleep(Duration::from_secs(pause)).await;
                continue;
            }
        }
        tokio::time::sleep(PERIOD).await;
        tokio::select! {
            Ok(()) = view.changed() => {}
            Ok(()) = acceptance.changed() => {}
            () = balancer.due(&current) => {}
            else => std::future::pending().await,
        }
    }
}
