//! How a scheduler on EC2, and its dashboard, are reached from this machine.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::{
    observe::{InstanceState, SeenInstance},
    plugin,
};
use crate::{
    model::{CallerEnvironment, ClusterKey, ClusterUid, Ec2Context, InstanceId, Passage},
    provider::{Forwarding, Managed, ProviderError},
};

/// Forwarders to clusters of one account and region.
#[derive(Clone)]
pub struct Ec2Forwarding {
    forwarding: Forwarding,
    place: String,
    context: Ec2Context,
    lent: Arc<Mutex<CallerEnvironment>>,
}

/// Where a scheduler is found on this machine.
pub(super) struct Through {
    /// The address for Dask's protocol.
    pub reach: String,
    /// The link to the dashboard.
    pub dashboard: String,
}

impl Ec2Forwarding {
    /// Those to where a context leads.
    pub fn new(forwarding: Forwarding, context: &Ec2Context) -> Self {
        let place = format!("ec2://{}/{}", context.account, context.region);
        Self { forwarding, place, context: context.clone(), lent: Arc::default() }
    }

    /// Takes what calls to AWS need of a caller; the last word counts.
    pub(super) fn lend(&self, environment: &CallerEnvironment) {
        *self.lent.lock().unwrap_or_else(PoisonError::into_inner) = plugin::kept(environment);
    }

    /// The way to the scheduler at an address, behind the cluster's forwarder, which is started if there is none; with
    /// `session` that goes to the machine through Systems Manager. `None`, which is logged: there is no way.
    #[cfg(all(any(feature = "kubernetes", feature = "ec2"), target_os = "linux"))]
    pub(super) async fn through(
        &self,
        cluster: &ClusterKey,
        address: &str,
        session: Option<&InstanceId>,
    ) -> Option<Through> {
        use crate::provider::forwarder::{Destination, MachineTarget, SessionTarget};

        let session = session.map(|instance| SessionTarget {
            instance: instance.clone(),
            port: super::names::COMM_PORT,
            context: self.context.clone(),
        });
        // Whoever is reached by an address needs nothing of AWS.
        let lent = match &session {
            Some(_) => self.lent.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            None => CallerEnvironment::default(),
        };
        let target = MachineTarget { address: address.to_owned(), place: self.place.clone(), session };
        match self.forwarding.ports(cluster, Destination::Machine(target), address, &lent).await {
            Ok(ports) => Some(Through {
                reach: format!("tls://127.0.0.1:{}", ports.comm),
                dashboard: format!("http://127.0.0.1:{}/status", ports.dashboard),
            }),
            Err(error) => {
                tracing::warn!(cluster = %cluster.name, %error, "there is no way through a forwarder");
                None
            }
        }
    }

    /// There is none.
    #[cfg(not(all(any(feature = "kubernetes", feature = "ec2"), target_os = "linux")))]
    pub(super) async fn through(&self, _: &ClusterKey, _: &str, _: Option<&InstanceId>) -> Option<Through> {
        match self.forwarding {}
    }

    /// Forwarders to this account and region, for garbage collection.
    pub(super) fn managed(&self, now: Timestamp) -> Result<Vec<Managed>, ProviderError> {
        self.forwarding.managed(&self.place, now)
    }

    /// What the cluster's forwarder has to say.
    pub(super) fn passage(&self, cluster: &ClusterUid) -> Passage {
        self.forwarding.passage(cluster)
    }

    /// Ends the cluster's forwarder, and its session.
    pub(super) async fn end(&self, cluster: &ClusterUid) -> Result<(), ProviderError> {
        #[cfg(feature = "ec2")]
        {
            use super::{Ec2Api as _, Ec2Client};

            let client = Ec2Client::new(self.context.clone());
            client.renew(&self.lent.lock().unwrap_or_else(PoisonError::into_inner).clone());
            self.forwarding.end_session(cluster, &client).await?;
        }
        self.forwarding.end(cluster).await
    }
}

/// The machine of the scheduler that runs, the newest if there are two.
pub(super) fn scheduler(seen: &[SeenInstance]) -> Option<&SeenInstance> {
    let running = seen.iter().filter(|one| one.state == InstanceState::Running && one.is_scheduler());
    running.max_by_key(|one| (one.launched_at, &one.id))
}
