//! Whose a lease is, and what to do about that. Pure.

use std::time::Duration;

/// A lease goes to another one when its holder has not renewed it for so long.
pub const DURATION: Duration = Duration::from_secs(15);

/// A holder that could not renew it for so long no longer acts as one.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// It is looked at, or tried to be renewed, this often.
pub const PERIOD: Duration = Duration::from_secs(2);

/// One that could be renewed is renewed after so long: three tries fit in before [`DEADLINE`].
pub const RENEWAL: Duration = Duration::from_secs(5);

/// A lease as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who has it; empty when it was given up.
    pub holder: String,
    /// How long it is the holder's without being renewed.
    pub duration: Duration,
    /// How often it went from one to another.
    pub transitions: i32,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Write oneself into it, as the holder after so many others.
    Take { transitions: i32 },
    /// It is one's own: renew it.
    Renew,
    /// It is another one's.
    Wait,
}

/// What `me` is to do about a lease that has looked the same for `unchanged`, by one's own clock: clocks of machines
/// differ, so the times in a lease are not compared with it.
pub fn step(me: &str, seen: Option<&Seen>, unchanged: Duration) -> Step {
    let Some(seen) = seen else { return Step::Take { transitions: 0 } };
    if seen.holder == me {
        Step::Renew
    } else if seen.holder.is_empty() || unchanged >= seen.duration {
        Step::Take { transitions: seen.transitions.saturating_add(1) }
    } else {
        Step::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(holder: &str) -> Seen {
        Seen { holder: holder.to_owned(), duration: DURATION, transitions: 3 }
    }

    #[test]
    fn a_lease_that_nobody_has_is_taken() {
        assert_eq!(step("a", None, Duration::ZERO), Step::Take { transitions: 0 });
        assert_eq!(step("a", Some(&seen("")), Duration::ZERO), Step::Take { transitions: 4 });
    }

    #[test]
    fn a_lease_is_waited_for_until_its_holder_has_not_renewed_it_for_its_duration() {
        let just_before = DURATION.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(step("a", Some(&seen("b")), just_before), Step::Wait);
        assert_eq!(step("a", Some(&seen("b")), DURATION), Step::Take { transitions: 4 });
    }

    #[test]
    fn a_holder_renews_its_own_however_long_it_looked_the_same() {
        assert_eq!(step("a", Some(&seen("a")), DURATION * 9), Step::Renew);
    }

    #[test]
    fn a_holder_stops_acting_before_another_may_begin() {
        assert!(DEADLINE + PERIOD < DURATION);
        assert!(RENEWAL + PERIOD * 2 < DEADLINE);
    }
}
