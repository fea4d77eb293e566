//! A person's way to a cluster that an operator looks after: the client's certificate as files, and a forwarder.
//!
//! All of it lies in the folder of the cluster's forwarder, which removes it when the cluster is gone.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::way::{self, Way};
use crate::{
    model::{CallerEnvironment, ClusterKey, ClusterUid, ErrorKind, KubernetesContext},
    provider::{
        Forwarding, ProviderError,
        forwarder::{Forwarders, Held},
        os,
    },
};

/// Beside what the controller of this machine keeps, which sweeps only its own.
const FOLDER: &str = "remote";

/// The ways from this machine to clusters elsewhere.
pub struct Guest {
    state: PathBuf,
    forwarding: Forwarding,
    forwarders: Forwarders,
}

/// The files of a client: authority, certificate, key.
pub type ClientPaths = [PathBuf; 3];

impl Guest {
    /// Below a state directory. Forwarders are `program`, with that environment.
    pub fn new(
        state: &Path,
        program: PathBuf,
        environment: BTreeMap<String, String>,
    ) -> Result<Self, ProviderError> {
        let state = state.join(FOLDER);
        let boot = crate::provider::boot_id().map_err(|error| {
            ProviderError::new(ErrorKind::Invalid, format!("cannot tell this boot from others: {error}"))
        })?;
        let machine = crate::provider::machine_id();
        let forwarders = Forwarders::new(state.clone(), program.clone(), machine.clone(), boot.clone());
        let folder = state.clone();
        let files = move |cluster: &ClusterKey| Some(paths(&folder, &cluster.uid));
        let forwarding =
            Forwarding::new(state.clone(), program, (machine, boot), environment, Arc::new(files));
        Ok(Self { state, forwarding, forwarders })
    }

    /// Keeps what a client shows and checks, for this user alone.
    pub fn keep(&self, cluster: &ClusterUid, identity: &[String; 3]) -> Result<ClientPaths, ProviderError> {
        let paths = paths(&self.state, cluster);
        for (path, text) in paths.iter().zip(identity) {
            keep(path, text).map_err(|error| {
                let message = format!("cannot write {}: {error}", path.display());
                ProviderError::new(ErrorKind::Invalid, message)
            })?;
        }
        Ok(paths)
    }

    /// The way through the cluster's forwarder, which is started if there is none.
    pub async fn way(
        &self,
        cluster: &ClusterKey,
        context: &KubernetesContext,
        address: &str,
    ) -> Result<Way, ProviderError> {
        // Their environment is the caller's own.
        way::forwarded(&self.forwarding, cluster, context, &CallerEnvironment::default(), address).await
    }

    /// The way through a forwarder that runs.
    pub fn known(&self, cluster: &ClusterUid, address: &str) -> Option<(Way, ClientPaths)> {
        let held = self.held(cluster)?;
        let ports = held.record.filter(|_| held.alive)?.ports;
        Some((way::through(address, ports), paths(&self.state, cluster)))
    }

    fn held(&self, cluster: &ClusterUid) -> Option<Held> {
        self.forwarders.list().ok()?.into_iter().find(|held| held.cluster == *cluster)
    }

    /// Clusters to which there was a way, of which only files are left.
    pub fn abandoned(&self) -> Result<Vec<ClusterUid>, ProviderError> {
        let held = self.forwarders.list()?.into_iter().filter(|held| !held.alive);
        Ok(held.map(|held| held.cluster).collect())
    }

    /// Ends the way to a cluster, and removes its files.
    pub async fn end(&self, cluster: &ClusterUid) -> Result<(), ProviderError> {
        self.forwarding.end(cluster).await
    }
}

fn paths(state: &Path, cluster: &ClusterUid) -> ClientPaths {
    let folder = state.join("forwarders").join(cluster.as_str()).join("tls");
    ["ca.pem", "cert.pem", "key.pem"].map(|name| folder.join(name))
}

/// Writes a file, unless it is like that.
fn keep(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|known| known == text.as_bytes()) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        os::private_directory(folder)?;
    }
    os::write_durably(path, text.as_bytes())
}
