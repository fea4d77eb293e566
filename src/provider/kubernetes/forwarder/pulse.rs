//! Whether the other end of a connection still lives. Pure.

use std::time::Duration;

/// How often the other end is asked for a sign of life. Shorter than any idle limit of a load balancer or proxy on
/// the way: the strictest in use is 60 s.
pub const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How often a message without content is sent. The kubelet's idle limit (4 h unless configured) does not see pings.
pub const NUDGE_INTERVAL: Duration = Duration::from_mins(5);

/// How long nothing at all may be heard. Long, because a connection that is given up cannot be had back, while the
/// network may: TCP itself goes on trying for about 15 minutes.
pub const LONGEST_SILENCE: Duration = Duration::from_mins(5);

/// So many bytes may be on their way to a scheduler that does not read. Then nobody answers pings either, because
/// they stand in the queue behind them.
const QUEUE: u64 = 64 << 10;

/// Whether the other end has to be given up.
///
/// `silence`: since something was heard of it, for as long as we listened; `unanswered`: bytes sent since then.
pub fn is_dead(silence: Duration, unanswered: u64) -> bool {
    silence >= LONGEST_SILENCE && unanswered < QUEUE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_nothing_for_long_is_dead() {
        assert!(!is_dead(LONGEST_SILENCE - Duration::from_millis(1), 0));
        assert!(is_dead(LONGEST_SILENCE, 4096));
    }

    #[test]
    fn a_scheduler_that_does_not_read_is_not_dead() {
        assert!(!is_dead(Duration::from_hours(1), 1 << 20));
    }
}
