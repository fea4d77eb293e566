//! What is said of a change of size, and why.

use std::time::Duration;

use super::rule::{Cause, Need};
use crate::spec::count_of;

/// A number of seconds that a person can take in.
pub(super) fn seconds(span: Duration) -> String {
    match span.as_secs() {
        0 if span.is_zero() => "0 s".to_owned(),
        0 => "1 s".to_owned(),
        seconds => format!("{seconds} s"),
    }
}

/// Why a group needs what it needs; `lanes`: how many of its tasks its workers run at once.
pub(super) fn why_larger(need: &Need, lanes: u64, min: u32) -> String {
    match need.cause {
        Cause::Minimum => format!("its minimum is {min}"),
        Cause::Memory => "results fill more than 60 % of its memory".to_owned(),
        Cause::Results => "its workers hold results that nobody else could take".to_owned(),
        Cause::Work => to_do(need, lanes),
    }
}

fn to_do(need: &Need, lanes: u64) -> String {
    let are = if need.tasks == 1 { "is" } else { "are" };
    let tasks = count_of(need.tasks, "task");
    let Some(left) = need.work.as_nanos().checked_div(u128::from(lanes)) else {
        return format!(
            "there {are} {tasks} to do, about {} of work, and no worker is there",
            seconds(need.work)
        );
    };
    let left = Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX));
    format!("there {are} {tasks} to do, about {} of work on {}", seconds(left), count_of(lanes, "thread"))
}

/// `2 to 6 workers (its maximum), because …`.
pub(super) fn change(before: u32, after: u32, max: u32, why: &str) -> String {
    let limit = if after == max && after > before { " (its maximum)" } else { "" };
    format!("{before} to {}{limit}, because {why}", count_of(u64::from(after), "worker"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_the_work_the_time_and_the_threads() {
        let need = Need { workers: 6, cause: Cause::Work, tasks: 240, work: Duration::from_secs(100) };
        let why = why_larger(&need, 2, 0);
        assert_eq!(
            change(2, 6, 8, &why),
            "2 to 6 workers, because there are 240 tasks to do, about 50 s of work on 2 threads"
        );
        let one = Need { workers: 1, tasks: 1, work: Duration::from_millis(500), ..need };
        assert_eq!(
            change(0, 1, 1, &why_larger(&one, 0, 0)),
            "0 to 1 worker (its maximum), because there is 1 task to do, about 1 s of work, and no worker is there"
        );
    }
}
