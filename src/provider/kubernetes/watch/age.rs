//! Whether a list is older than what was seen before it.

use std::time::Duration;

use tokio::time::Instant;

/// Older lists are believed after so long: a store that was restored from a backup counts from an older version on.
const PATIENCE: Duration = Duration::from_mins(2);

/// The newest version that was seen of a resource; 0: none.
///
/// Versions of one resource rise, and can be compared as numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Age(u64);

impl Age {
    /// That of a list.
    pub fn of(version: u64) -> Self {
        Self(version)
    }

    /// Takes note of what was seen.
    pub fn saw(&mut self, version: u64) {
        self.0 = self.0.max(version);
    }

    /// Whether something is older than this; nobody knows of what has no version.
    fn is_newer_than(self, other: Self) -> bool {
        other.0 != 0 && other.0 < self.0
    }
}

/// How new what is known of a cluster is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ages {
    /// Of pods.
    pub pods: Age,
    /// Of anchors.
    pub anchors: Age,
    /// Since when lists are older.
    pub behind: Option<Instant>,
}

impl Ages {
    /// Whether lists of these ages are to be believed; takes note of them.
    pub fn take(&mut self, pods: Age, anchors: Age, now: Instant) -> bool {
        if self.pods.is_newer_than(pods) || self.anchors.is_newer_than(anchors) {
            let since = *self.behind.get_or_insert(now);
            if now.duration_since(since) < PATIENCE {
                return false;
            }
        }
        *self = Self { pods, anchors, behind: None };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_older_than_what_was_seen_is_believed_after_a_while_only() {
        let begun = Instant::now();
        let mut ages = Ages::default();
        let take = |ages: &mut Ages, pods, anchors, later| {
            ages.take(Age::of(pods), Age::of(anchors), begun + Duration::from_secs(later))
        };
        assert!(take(&mut ages, 10, 10, 0));
        ages.pods.saw(20);
        assert!(!take(&mut ages, 19, 20, 1));
        assert!(take(&mut ages, 20, 20, 2), "as new as what was seen");
        assert!(!take(&mut ages, 20, 19, 3));
        assert!(take(&mut ages, 0, 0, 4), "nobody knows how old it is");
        ages.pods.saw(20);
        assert!(!take(&mut ages, 5, 5, 10));
        assert!(!take(&mut ages, 6, 6, 100));
        assert!(take(&mut ages, 7, 7, 131), "the store was restored");
        assert!(take(&mut ages, 7, 7, 132));
    }
}
