//! Hosts that wait for a cluster with a warm fork server.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use super::{
    client::{self, ANSWER, HostClient},
    host::{
        HostArguments,
        protocol::{HostStart, Request},
    },
    os,
    paths::{self, HostId},
};
use crate::{
    model::{BootId, MachineId},
    provider::{Directories, ErrorKind, ProviderError},
};

/// How long a host may take to end everything and remove it.
pub const LONGEST_END: Duration = Duration::from_secs(15);

/// How long a spare lives without its controller: that may be restarted.
const SPARE_LIFE: Duration = Duration::from_secs(30);

/// What two clusters must have in common to take the same spare.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpareKey {
    /// What nodes run with.
    pub interpreter: PathBuf,
    /// Fingerprint of what the fork server is started with.
    pub start_environment: String,
}

/// The spares of this installation, one for each key at most.
pub struct Spares {
    directories: Directories,
    program: PathBuf,
    machine: MachineId,
    boot: BootId,
    slots: Mutex<BTreeMap<SpareKey, Spare>>,
}

/// A host that nobody has claimed.
pub struct Spare {
    /// How it is spoken to.
    pub client: HostClient,
    id: HostId,
    kept_until: Instant,
}

impl Spares {
    /// None yet.
    pub fn new(directories: Directories, program: PathBuf, machine: MachineId, boot: BootId) -> Self {
        Self { directories, program, machine, boot, slots: Mutex::new(BTreeMap::new()) }
    }

    /// The spare of a key, started if there is none. It is kept until then at least.
    pub async fn ensure(
        &self,
        key: &SpareKey,
        environment: &BTreeMap<String, String>,
        kept_until: Instant,
    ) -> Result<HostClient, ProviderError> {
        let mut slots = self.slots.lock().await;
        if let Some(spare) = slots.get_mut(key).filter(|spare| !spare.client.is_closed()) {
            spare.kept_until = spare.kept_until.max(kept_until);
            return Ok(spare.client.clone());
        }
        let spare = self.start(key, environment, kept_until).await?;
        let client = spare.client.clone();
        slots.insert(key.clone(), spare);
        Ok(client)
    }

    /// The spare of a key, for its one cluster; started if there is none.
    pub async fn take(
        &self,
        key: &SpareKey,
        environment: &BTreeMap<String, String>,
    ) -> Result<Spare, ProviderError> {
        let waiting = self.slots.lock().await.remove(key).filter(|spare| !spare.client.is_closed());
        match waiting {
            Some(spare) => Ok(spare),
            None => self.start(key, environment, Instant::now()).await,
        }
    }

    /// Ends a spare that will not be used.
    pub async fn end(&self, spare: Spare) {
        self.end_one(spare).await;
    }

    /// Ends the spare of a key, because it is of no use.
    pub async fn discard(&self, key: &SpareKey) {
        let spare = self.slots.lock().await.remove(key);
        if let Some(spare) = spare {
            self.end_one(spare).await;
        }
    }

    /// Ends the spares that nothing needs, and waits for that.
    pub async fn trim(&self, in_use: impl Fn() -> BTreeSet<SpareKey>) {
        let mut slots = self.slots.lock().await;
        let (now, in_use) = (Instant::now(), in_use());
        let unneeded = |key: &SpareKey, spare: &Spare| !in_use.contains(key) && spare.kept_until <= now;
        let ending: Vec<SpareKey> =
            slots.iter().filter(|(key, spare)| unneeded(key, spare)).map(|(key, _)| key.clone()).collect();
        for key in ending {
            if let Some(spare) = slots.remove(&key) {
                self.end_one(spare).await;
            }
        }
    }

    /// Starts the next spare of a key, if `wanted` still says so when it is its turn.
    pub async fn replenish(
        &self,
        key: &SpareKey,
        environment: &BTreeMap<String, String>,
        wanted: impl Fn() -> bool,
    ) -> Result<(), ProviderError> {
        let mut slots = self.slots.lock().await;
        if !wanted() || slots.get(key).is_some_and(|spare| !spare.client.is_closed()) {
            return Ok(());
        }
        let spare = self.start(key, environment, Instant::now()).await?;
        slots.insert(key.clone(), spare);
        Ok(())
    }

    async fn start(
        &self,
        key: &SpareKey,
        environment: &BTreeMap<String, String>,
        kept_until: Instant,
    ) -> Result<Spare, ProviderError> {
        let fork_server = super::scripts::fork_server(&self.directories.cache).map_err(|error| {
            let message =
                format!("cannot keep Python scripts below {}: {error}", self.directories.cache.display());
            match error.kind() {
                std::io::ErrorKind::PermissionDenied => ProviderError::new(ErrorKind::Invalid, message)
                    .with_hint(
                        "let nobody else write there, or choose another place with CREWCALL_CACHE_DIR",
                    ),
                _ => ProviderError::new(ErrorKind::Transient, message),
            }
        })?;
        let id = HostId::from_random(uuid::Uuid::new_v4().as_u128());
        let arguments = HostArguments {
            state: self.directories.state.clone(),
            runtime: self.directories.runtime.clone(),
            id: id.clone(),
            interpreter: key.interpreter.clone(),
            fork_server,
        };
        let start = HostStart {
            environment: environment.clone(),
            spare_life: SPARE_LIFE,
            machine: self.machine.clone(),
            boot: self.boot.clone(),
        };
        let socket = client::start_host(&self.program, &arguments, &start).await.map_err(|error| {
            let known = error.hint.is_some();
            if known { error } else { error.with_hint("mend that, and run the command again") }
        })?;
        let (client, _) = HostClient::connect(&socket).await?;
        Ok(Spare { client, id, kept_until })
    }

    async fn end_one(&self, spare: Spare) {
        if let Err(error) = spare.client.call::<()>(Request::End, ANSWER, "to begin its end").await {
            // Without a controller it ends itself.
            tracing::warn!(%error, "a spare did not take its end");
            return;
        }
        let paths = paths::host(&self.directories.state, &spare.id);
        if !wait_until_free(&paths.lock, LONGEST_END).await {
            tracing::warn!(host = %spare.id, "a spare takes long to end");
        }
    }
}

/// Waits until nobody holds a lock. Returns whether that is so.
pub async fn wait_until_free(lock: &std::path::Path, bound: Duration) -> bool {
    let deadline = Instant::now() + bound;
    loop {
        match os::is_locked(lock) {
            Ok(false) => return true,
            Ok(true) | Err(_) if Instant::now() >= deadline => return false,
            // The kernel tells nobody that a lock was let go without giving it to them.
            Ok(true) | Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
