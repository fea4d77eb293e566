//! Whether this operator can do its work, with reasons.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What is known of that.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the lease said last.
    lease: Option<Result<String, String>>,
    leads: bool,
    /// Each watch, by what it watches, once it is begun.
    watches: BTreeMap<String, Result<(), String>>,
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a look at the lease has brought: its holder, or why nobody knows.
    pub fn lease(&self, looked: Result<&str, &str>) {
        self.state().lease = Some(looked.map(str::to_owned).map_err(str::to_owned));
    }

    /// This operator leads from now on, and has these watches.
    pub fn leads(&self, watches: impl IntoIterator<Item = String>) {
        let mut state = self.state();
        state.leads = true;
        state.watches = watches.into_iter().map(|watch| (watch, Err("not listed yet".to_owned()))).collect();
    }

    /// How a watch goes.
    pub fn watching(&self, watched: &str, how: Result<(), String>) {
        self.state().watches.insert(watched.to_owned(), how);
    }

    /// Whether it leads.
    pub fn is_leader(&self) -> bool {
        self.state().leads
    }

    /// Whether it can do its work, and a line for each thing that takes.
    pub fn ready(&self) -> (bool, String) {
        let state = self.state();
        let mut text = String::new();
        let mut ready = true;
        let mut line = |ok: bool, what: String| {
            ready &= ok;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "[{}] {what}", if ok { '+' } else { '-' });
        };
        match &state.lease {
            None => line(false, "lease: not looked at yet".to_owned()),
            Some(Err(error)) => line(false, format!("lease: {error}")),
            Some(Ok(_)) if state.leads => line(true, "lease: held by this operator".to_owned()),
            Some(Ok(holder)) => line(true, format!("lease: standby; held by {holder}")),
        }
        for (watched, how) in &state.watches {
            match how {
                Ok(()) => line(true, format!("watch of computeclusters in {watched}: synced")),
                Err(error) => line(false, format!("watch of computeclusters in {watched}: {error}")),
            }
        }
        (ready, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_is_ready_and_says_for_whom_it_stands_by() {
        let health = Health::default();
        assert_eq!(health.ready(), (false, "[-] lease: not looked at yet\n".to_owned()));
        health.lease(Ok("a"));
        assert_eq!(health.ready(), (true, "[+] lease: standby; held by a\n".to_owned()));
    }

    #[test]
    fn a_leader_is_ready_once_all_watches_have_listed() {
        let health = Health::default();
        health.lease(Ok("me"));
        health.leads(["blue".to_owned(), "red".to_owned()]);
        health.watching("blue", Ok(()));
        assert!(!health.ready().0);
        health.watching("red", Ok(()));
        assert!(health.ready().0);
        health.watching("red", Err("no permission".to_owned()));
        let (ready, text) = health.ready();
        assert!(!ready && text.contains("[-] watch of computeclusters in red: no permission"), "{text}");
    }
}
