//! Places where a test has the controller's process die, as `kill -9` would have it.
//!
//! They exist only in builds with the Cargo feature `failpoints`; elsewhere they are nothing.

/// Where: `OPERATION.before-STEP` or `OPERATION.after-STEP`.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(super) fn failpoint(_name: &str) {}

#[cfg(feature = "failpoints")]
pub(super) use armed::failpoint;

#[cfg(feature = "failpoints")]
mod armed {
    use std::{
        fs::OpenOptions,
        sync::{
            LazyLock,
            atomic::{AtomicU32, Ordering},
        },
    };

    use rustix::process::{Signal, getpid, kill_process};

    /// `NAME` or `NAME:NTH`, counted from 1.
    const WHICH: &str = "CREWCALL_FAILPOINT";
    /// A file that is made by the death: the controller after that lives on, though whoever starts it
    /// hands the same variables on.
    const MARK: &str = "CREWCALL_FAILPOINT_MARK";

    struct Armed {
        name: String,
        passes_left: AtomicU32,
    }

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let text = std::env::var(WHICH).ok()?;
        let (name, nth) = match text.rsplit_once(':') {
            Some((name, nth)) => (name.to_owned(), nth.parse().ok()?),
            None => (text, 1),
        };
        Some(Armed { name, passes_left: AtomicU32::new(nth) })
    });

    /// Ends this process if it is to end here.
    pub fn failpoint(name: &str) {
        let Some(armed) = ARMED.as_ref().filter(|armed| armed.name == name) else { return };
        if armed.passes_left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        let first = std::env::var_os(MARK)
            .is_none_or(|mark| OpenOptions::new().write(true).create_new(true).open(mark).is_ok());
        if first {
            tracing::warn!("dying at the failpoint {name}");
            // One cannot fail to kill oneself; if it did, the test would say that nothing died.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}
