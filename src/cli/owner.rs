//! The process that a cluster is for.

use super::CliError;

/// A process whose end is noticed, also when its id belongs to another one by then.
#[derive(Debug)]
pub struct Owner {
    #[cfg(target_os = "linux")]
    process: rustix::fd::OwnedFd,
}

impl Owner {
    /// The process of that id.
    #[cfg(target_os = "linux")]
    pub fn find(id: u32) -> Result<Self, CliError> {
        let refused =
            |cause: &dyn std::fmt::Display| usage(format!("--owner {id}: it cannot be watched: {cause}"));
        let pid = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or_else(|| refused(&"it is no process id"))?;
        let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
        Ok(Self { process: process.map_err(|error| refused(&error))? })
    }

    /// The process of that id; not on this system yet.
    #[cfg(not(target_os = "linux"))]
    pub fn find(id: u32) -> Result<Self, CliError> {
        Err(usage(format!("--owner {id}: this system has no way to watch a process")))
    }

    /// Until the owner ends, or this process is interrupted; says which.
    pub async fn ended_or_interrupted(self) -> Result<&'static str, CliError> {
        tokio::select! {
            () = self.ended() => Ok("its owner has ended"),
            signal = tokio::signal::ctrl_c() => match signal {
                Ok(()) => Ok("its owner asked for it"),
                Err(error) => Err(CliError::Bug(format!("cannot hear of Ctrl-C: {error}"))),
            },
        }
    }

    /// On a thread of its own, which ends with this process at the latest.
    #[cfg(target_os = "linux")]
    async fn ended(self) {
        use rustix::event::{PollFd, PollFlags, poll};

        let waited = tokio::task::spawn_blocking(move || {
            while poll(&mut [PollFd::new(&self.process, PollFlags::IN)], None).is_err() {}
        });
        if waited.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    #[cfg(not(target_os = "linux"))]
    async fn ended(self) {
        std::future::pending().await
    }
}

fn usage(message: String) -> CliError {
    CliError::Usage { message, hint: None }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_an_owner_is_noticed() {
        let mut child = tokio::process::Command::new("sleep").arg("60").spawn().unwrap();
        let owner = Owner::find(child.id().unwrap()).unwrap();
        let ended = tokio::spawn(owner.ended_or_interrupted());
        assert!(!ended.is_finished());
        child.kill().await.unwrap();
        assert_eq!(ended.await.unwrap().unwrap(), "its owner has ended");
    }

    #[tokio::test]
    async fn an_owner_must_be_there() {
        assert!(Owner::find(0).is_err());
        assert!(Owner::find(u32::MAX).is_err());
    }
}
