//! Forwarders are made on Linux only, so far, and only where there is something to forward to.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use tokio::{sync::watch, task::JoinHandle};

use super::{Managed, ProviderError};
use crate::model::{ClusterKey, ClusterUid, Passage};

/// The files of the client's identity in a cluster: authority, certificate, key.
pub type TlsPathsOf = Arc<dyn Fn(&ClusterKey) -> Option<[PathBuf; 3]> + Send + Sync>;

/// None.
#[derive(Clone)]
pub enum Forwarding {}

impl Forwarding {
    /// There is none.
    pub fn passage(&self, _: &ClusterUid) -> Passage {
        match *self {}
    }

    /// There is none.
    pub fn listen(&self, _: &ClusterUid, _: watch::Sender<u64>) -> JoinHandle<()> {
        match *self {}
    }

    /// There is none.
    ///
    /// # Errors
    /// Never.
    pub fn managed(&self, _: &str, _: Timestamp) -> Result<Vec<Managed>, ProviderError> {
        match *self {}
    }

    /// There is none.
    ///
    /// # Errors
    /// Never.
    #[cfg(feature = "ec2")]
    pub(super) async fn end_session(
        &self,
        _: &ClusterUid,
        _: &super::ec2::Ec2Client,
    ) -> Result<(), ProviderError> {
        match *self {}
    }

    /// There is none.
    ///
    /// # Errors
    /// Never.
    pub async fn end(&self, _: &ClusterUid) -> Result<(), ProviderError> {
        match *self {}
    }
}
