//! How a provider has forwarders made and ended.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Managed, ProviderError,
    forwarder::{
        self, DashboardAccess, Destination, Door, ForwardRequest, Forwarders, Ports, TlsFiles, board_changes,
    },
};
use crate::model::{BootId, CallerEnvironment, ClusterKey, ClusterUid, Cut, ErrorKind, MachineId, Passage};

/// The files of the client's identity in a cluster: authority, certificate, key.
pub type TlsPathsOf = Arc<dyn Fn(&ClusterKey) -> Option<[PathBuf; 3]> + Send + Sync>;

/// How forwarders are made.
#[derive(Clone)]
pub struct Forwarding {
    forwarders: Forwarders,
    environment: Arc<BTreeMap<String, String>>,
    files: TlsPathsOf,
}

impl Forwarding {
    /// With this program, to be run as one; `environment` is all that those have.
    pub fn new(
        state: PathBuf,
        program: PathBuf,
        (machine, boot): (MachineId, BootId),
        environment: BTreeMap<String, String>,
        files: TlsPathsOf,
    ) -> Self {
        let forwarders = Forwarders::new(state, program, machine, boot);
        Self { forwarders, environment: Arc::new(environment), files }
    }

    /// The local ports to a scheduler of that address, behind which its cluster's forwarder is alive; it is started if
    /// there is none.
    ///
    /// # Errors
    /// When none could be started, or nobody keeps the client's certificate as files.
    pub async fn ports(
        &self,
        cluster: &ClusterKey,
        destination: Destination,
        address: &str,
        lent: &CallerEnvironment,
    ) -> Result<Ports, ProviderError> {
        let dashboard = if address.starts_with("tcp://") {
            DashboardAccess::Plain
        } else {
            let Some([ca, cert, key]) = (self.files)(cluster) else {
                let message = format!("the certificates of cluster {} are not kept as files", cluster.name);
                return Err(ProviderError::new(ErrorKind::Invalid, message));
            };
            DashboardAccess::Tls(TlsFiles { ca, cert, key })
        };
        let request = ForwardRequest { cluster: cluster.clone(), destination, dashboard };
        self.forwarders.ensure(&request, &self.environment, lent).await
    }

    /// What the cluster's forwarder has to say.
    pub fn passage(&self, cluster: &ClusterUid) -> Passage {
        let status = match self.forwarders.status(cluster) {
            Ok(status) => status.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%cluster, "nobody knows what its forwarder says: {error}");
                return Passage::default();
            }
        };
        let cuts = status.cuts.into_iter().filter(|cut| cut.door == Door::Comm).map(|cut| Cut {
            at: cut.at,
            message: format!("a connection to the scheduler was cut: {}", cut.reason),
        });
        Passage { problem: status.problem.map(|problem| problem.message), cuts: cuts.collect() }
    }

    /// Tells whenever the cluster's forwarder has something new to say, for as long as there is one.
    pub fn listen(&self, cluster: &ClusterUid, changed: watch::Sender<u64>) -> JoinHandle<()> {
        let (forwarding, cluster) = (self.clone(), cluster.clone());
        tokio::spawn(async move {
            let mut said = forwarding.passage(&cluster);
            let mut tell = || {
                let now = forwarding.passage(&cluster);
                if now != said {
                    said = now;
                    changed.send_modify(|n| *n = n.wrapping_add(1));
                }
            };
            if let Err(error) = board_changes(&forwarding.forwarders, &cluster, &mut tell).await {
                tracing::warn!(%cluster, "what its forwarder says is heard of late: {error}");
            }
        })
    }

    /// Forwarders to what has that name in their records, for garbage collection.
    ///
    /// # Errors
    /// When they cannot be looked for.
    pub fn managed(&self, server: &str, now: Timestamp) -> Result<Vec<Managed>, ProviderError> {
        forwarder::managed(&self.forwarders, server, now)
    }

    /// Ends the session that the cluster's forwarder leads through, also if that was killed. None is fine.
    ///
    /// # Errors
    /// When the forwarder does not end.
    #[cfg(feature = "ec2")]
    pub(super) async fn end_session(
        &self,
        cluster: &ClusterUid,
        client: &super::ec2::Ec2Client,
    ) -> Result<(), ProviderError> {
        let directory = self.forwarders.halt(cluster).await?;
        forwarder::end_session(&directory, client).await;
        Ok(())
    }

    /// Ends the cluster's forwarder. None is fine.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn end(&self, cluster: &ClusterUid) -> Result<(), ProviderError> {
        self.forwarders.end(cluster).await
    }
}
