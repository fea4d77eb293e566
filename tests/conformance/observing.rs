//! Waiting for what a provider sees.

use std::time::Duration;

use crewcall::{
    model::{ClusterKey, Observed},
    provider::{ErrorKind, Provider},
};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Observes until something holds; panics with what was last seen. What passes is waited for as well: a
/// look may end with the process that was asked.
pub async fn until(
    provider: &dyn Provider,
    cluster: &ClusterKey,
    what: &str,
    holds: impl Fn(&Observed) -> bool,
) -> Observed {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let seen = provider.observe(cluster).await;
        if let Err(error) = &seen {
            assert_eq!(error.kind, ErrorKind::Transient, "{what}: {error}");
        }
        if let Some(seen) = seen.as_ref().ok().filter(|seen| holds(seen)) {
            return seen.clone();
        }
        let late = tokio::time::Instant::now() > deadline;
        assert!(!late, "{what}: not within {PATIENCE:?}; last seen: {seen:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
