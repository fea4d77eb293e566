//! What a forwarder has to say, for the controller to make events and conditions of.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One of the two local ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Door {
    /// Dask's clients come in here.
    Comm,
    /// Browsers come in here.
    Dashboard,
}

/// A forwarder's `status.json`, replaced as a whole. Unknown fields are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwarderStatus {
    /// The pod that new connections go to; `None`: there is none.
    pub pod: Option<String>,
    /// What keeps new connections from being made, as of the last try.
    pub problem: Option<Problem>,
    /// Connections to the scheduler now; a client has several.
    pub connections: usize,
    /// The last connections that were cut, oldest first; only so many.
    pub cuts: Vec<Cut>,
}

/// How many cuts are remembered.
pub const KEPT_CUTS: usize = 32;

/// What keeps new connections from being made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Since when.
    pub since: Timestamp,
    /// What is wrong, as whoever said it.
    pub message: String,
}

/// A connection that was working and ended by nobody's wish. To a client of Dask it means that its scheduler forgets
/// what it was waiting for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cut {
    /// Rises by one with every cut of the cluster's life, restarts of the forwarder included.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Whose connection.
    pub door: Door,
    /// What broke it.
    pub reason: String,
}

impl ForwarderStatus {
    /// Notes a cut, and forgets the oldest.
    pub fn cut(&mut self, at: Timestamp, door: Door, reason: String) {
        let sequence = self.cuts.last().map_or(1, |last| last.sequence.saturating_add(1));
        self.cuts.push(Cut { sequence, at, door, reason });
        let surplus = self.cuts.len().saturating_sub(KEPT_CUTS);
        self.cuts.drain(..surplus);
    }

    /// Notes how the last try to connect went; the first of several failures gives the time.
    pub fn tried(&mut self, at: Timestamp, outcome: Result<(), String>) {
        self.problem = outcome.err().map(|message| Problem {
            since: self.problem.as_ref().map_or(at, |before| before.since),
            message,
        });
    }

    /// Cuts after the one of this number.
    pub fn cuts_after(&self, sequence: u64) -> impl Iterator<Item = &Cut> {
        self.cuts.iter().filter(move |cut| cut.sequence > sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn cuts_are_numbered_through_and_the_oldest_forgotten() {
        let mut status = ForwarderStatus::default();
        for second in 0..40 {
            status.cut(at(second), Door::Comm, format!("cut {second}"));
        }
        let text = serde_json::to_string(&status).unwrap();
        let mut status: ForwarderStatus = serde_json::from_str(&text).unwrap();
        status.cut(at(50), Door::Dashboard, "after a restart".to_owned());
        assert_eq!(status.cuts.len(), KEPT_CUTS);
        let new: Vec<_> = status.cuts_after(39).map(|cut| (cut.sequence, cut.reason.as_str())).collect();
        assert_eq!(new, [(40, "cut 39"), (41, "after a restart")]);
    }

    #[test]
    fn a_problem_lasts_since_its_first_failure_until_a_success() {
        let mut status = ForwarderStatus::default();
        status.tried(at(1), Err("unreachable".to_owned()));
        status.tried(at(2), Err("refused".to_owned()));
        let problem = status.problem.clone().unwrap();
        assert_eq!((problem.since, problem.message.as_str()), (at(1), "refused"));
        status.tried(at(3), Ok(()));
        assert_eq!(status.problem, None);
    }
}
