//! How often what keeps failing is tried again.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::Failures;

/// From so many failures in a row on, only one node at a time is tried, and the cluster is degraded.
pub(super) const PERSISTENT: u32 = 3;

/// A node that was registered for so long ends a row of failures.
pub(super) const STABLE: Duration = Duration::from_mins(1);

const LONGEST: Duration = Duration::from_mins(5);

/// How long to wait after the newest of `streak` failures in a row: nothing after the first, then
/// one second, doubled each time, at most five minutes.
pub fn delay_after(streak: u32) -> Duration {
    match streak {
        0 | 1 => Duration::ZERO,
        n => Duration::from_secs(1 << (n - 2).min(9)).min(LONGEST),
    }
}

/// When the next try is allowed; `None`: at once.
pub(super) fn next_try(failures: &Failures) -> Option<Timestamp> {
    let last = failures.last.as_ref()?;
    let delay = delay_after(failures.streak);
    (!delay.is_zero()).then(|| super::planner::later(last.at, delay))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_five_minutes() {
        let seconds: Vec<u64> = (0..13).map(|n| delay_after(n).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(delay_after(u32::MAX), LONGEST);
    }
}
