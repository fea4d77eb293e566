//! One create at a time for each name.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use super::RequestError;
use crate::spec::ClusterName;

/// How long one create waits for another: an installation may take half an hour.
const PATIENCE: Duration = Duration::from_mins(35);

/// The right to create the cluster of one name, and what whoever has it said last.
#[derive(Debug, Default)]
pub(super) struct Turn {
    held: AsyncMutex<()>,
    step: Mutex<String>,
}

impl Turn {
    /// Waits until no other create of the name is under way, and says so if one is.
    pub(super) async fn wait(
        &self,
        name: &ClusterName,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<MutexGuard<'_, ()>, RequestError> {
        let held = if let Ok(held) = self.held.try_lock() {
            held
        } else {
            progress(format!("another create of {name} is under way; it is waited for"));
            let turn = tokio::time::timeout(PATIENCE, self.held.lock()).await;
            turn.map_err(|_| RequestError::TooLong {
                waited_for: format!("the end of another create of {name}"),
                seconds: PATIENCE.as_secs(),
                last_seen: self.step.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            })?
        };
        self.note("it has begun");
        Ok(held)
    }

    /// Notes what the create whose turn it is has come to.
    pub(super) fn note(&self, step: &str) {
        step.clone_into(&mut self.step.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_create_says_that_it_waits_for_another_and_gives_up_with_what_that_said_last() {
        let (turn, name) = (Turn::default(), "demo".parse().unwrap());
        let said = Mutex::new(Vec::new());
        let progress = |step| said.lock().unwrap().push(step);
        let first = turn.wait(&name, &progress).await.unwrap();
        assert!(said.lock().unwrap().is_empty());
        turn.note("Collecting dask");
        let error = turn.wait(&name, &progress).await.unwrap_err();
        assert_eq!(
            said.lock().unwrap().as_slice(),
            ["another create of demo is under way; it is waited for"]
        );
        assert_eq!(
            error.to_string(),
            "the end of another create of demo did not happen within 2100 s; last seen: Collecting dask"
        );
        drop(first);
        drop(turn.wait(&name, &progress).await.unwrap());
    }
}
