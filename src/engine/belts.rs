//! When a cluster ends by itself, should no controller live.

use std::time::Duration;

use jiff::Timestamp;

use crate::spec::ClusterSpec;

/// What a scheduler ends by when nobody looks after it: looser than the controller's own limits, so that the
/// controller, which announces the end, comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Belts {
    /// How long it may have no work.
    pub idle: Option<Duration>,
    /// When it ends, whatever it does.
    pub ends_at: Option<Timestamp>,
}

/// The most that a belt leaves to the controller.
const MARGIN: Duration = Duration::from_mins(5);

impl Belts {
    /// Those of a cluster that was created at `created_at`.
    #[must_use]
    pub fn of(spec: &ClusterSpec, created_at: Timestamp) -> Self {
        // What is later than time itself is never.
        let end = |limit| created_at.checked_add(limit).ok();
        Self { idle: idle(spec), ends_at: lifetime(spec).and_then(end) }
    }
}

/// How long its scheduler may have no work: a quarter more than the cluster.
#[must_use]
pub fn idle(spec: &ClusterSpec) -> Option<Duration> {
    spec.idle_timeout().map(|limit| limit.saturating_add(limit / 4))
}

/// How long its scheduler may live: a quarter more than the cluster, at most five minutes.
#[must_use]
pub fn lifetime(spec: &ClusterSpec) -> Option<Duration> {
    spec.max_lifetime().map(|limit| limit.saturating_add(MARGIN.min(limit / 4)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::load;

    fn belts(rest: &str) -> Belts {
        let text = format!(
            "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: demo}}\n\
             spec: {{provider: {{local: {{}}}}, {rest}}}\n"
        );
        Belts::of(&load("test", &text).unwrap().cluster.spec, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_belt_leaves_the_controller_time_to_come_first() {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        let found = belts("idleTimeout: 20m, maxLifetime: 4m");
        assert_eq!(found.idle, Some(minutes(25)));
        assert_eq!(found.ends_at, Some(Timestamp::UNIX_EPOCH + minutes(5)));
        assert_eq!(belts("maxLifetime: 10h").ends_at, Some(Timestamp::UNIX_EPOCH + minutes(605)));
        assert_eq!(belts("idleTimeout: never"), Belts::default());
    }
}
