//! What the holder of a certificate is, and the DNS name that says so.

use std::fmt;

use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};

use super::SecurityError;
use crate::model::ClusterUid;

/// What the holder of a leaf certificate is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificateRole {
    /// The one scheduler.
    Scheduler,
    /// Any worker, and whoever acts as its nanny.
    Worker,
    /// A person's program.
    Client,
    /// The controller.
    Controller,
}

impl CertificateRole {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Scheduler, Self::Worker, Self::Client, Self::Controller];

    /// The role as the first label of its DNS name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Worker => "worker",
            Self::Client => "client",
            Self::Controller => "controller",
        }
    }
}

impl fmt::Display for CertificateRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The subject alternative name of `role` in the cluster `uid`; it is never looked up.
pub fn san(role: CertificateRole, uid: &ClusterUid) -> String {
    format!("{role}.{uid}.crewcall.internal")
}

/// [`san`] in the form in which TLS verifies it.
pub fn server_name(role: CertificateRole, uid: &ClusterUid) -> Result<ServerName<'static>, SecurityError> {
    let name = san(role, uid);
    ServerName::try_from(name.clone()).map_err(|_| SecurityError::Name(name))
}
