//! Counts the calls that a controller makes, and ends it at one of them.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// On which side of its effect a call is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It is not made any more.
    Before,
    /// It has its effect, and nobody hears of it.
    After,
}

/// Where a controller ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// At which kind of call.
    pub call: &'static str,
    /// At which of them, from 0. Calls are counted by kind: how those of different tasks interleave
    /// is not the same in every run.
    pub occurrence: u64,
    /// On which side of its effect.
    pub moment: Moment,
}

/// The calls of one controller.
#[derive(Debug, Default)]
pub struct Steps {
    state: Mutex<State>,
    crashed: Notify,
}

#[derive(Debug, Default)]
struct State {
    counts: bool,
    made: BTreeMap<&'static str, u64>,
    crash: Option<Crash>,
    /// The call at which it ended; none is made after that.
    ended: Option<&'static str>,
}

impl Steps {
    /// From now on calls are counted, and the controller ends where `crash` says.
    pub fn begin(&self, crash: Option<Crash>) {
        *self.state() = State { counts: true, made: BTreeMap::new(), crash, ended: None };
    }

    /// How many calls were made of each kind.
    pub fn made(&self) -> BTreeMap<&'static str, u64> {
        self.state().made.clone()
    }

    /// The name of the call at which the controller has ended.
    pub fn ended(&self) -> Option<&'static str> {
        self.state().ended
    }

    /// Returns when the controller has ended.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// Makes a call, unless the controller ends here.
    pub async fn call<T>(&self, name: &'static str, call: impl Future<Output = T>) -> T {
        let (number, crash) = {
            let mut state = self.state();
            let counts = state.counts;
            let made = state.made.entry(name).or_default();
            let number = *made;
            *made += u64::from(counts);
            (number, state.crash)
        };
        let here = crash.filter(|crash| (crash.call, crash.occurrence) == (name, number));
        let here = here.map(|crash| crash.moment);
        if here == Some(Moment::Before) {
            self.end(name);
        }
        self.go_on().await;
        let result = call.await;
        if here == Some(Moment::After) {
            self.end(name);
        }
        self.go_on().await;
        result
    }

    fn end(&self, name: &'static str) {
        self.state().ended.get_or_insert(name);
        self.crashed.notify_one();
    }

    /// A controller that has ended makes no call and hears no reply.
    async fn go_on(&self) {
        if self.ended().is_some() {
            pending::<()>().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
