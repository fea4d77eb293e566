//! Why an operator cannot begin, or not go on.

use std::net::SocketAddr;

use crate::{provider::ProviderError, telemetry::LoggingError};

/// An operator that cannot begin, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The API server cannot be found or used.
    #[error("{0}")]
    Kubernetes(#[from] ProviderError),
    /// The port cannot be had.
    #[error("cannot listen on {address}: {cause}")]
    Port {
        /// Where.
        address: SocketAddr,
        /// What the operating system said.
        cause: String,
    },
    /// There is no namespace for the lease.
    #[error("no namespace for the lease: neither --lease-namespace nor POD_NAMESPACE says one")]
    NoLeaseNamespace,
    /// A name is no namespace.
    #[error("{0}")]
    Namespace(#[from] crate::spec::NameError),
    /// Another operator may hold the lease by now.
    #[error("the lease {lease} was not renewed for {seconds} s: {cause}; another operator may hold it now")]
    LeaseLost {
        /// Which.
        lease: String,
        /// For how long.
        seconds: u64,
        /// What was last seen.
        cause: String,
    },
    /// Log lines cannot be set up.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The operating system refused something.
    #[error("cannot {doing}: {cause}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What it said.
        cause: String,
    },
}

impl OperatorError {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Kubernetes(error) => error.hint.clone(),
            Self::Port { .. } => Some("name another one with --port".to_owned()),
            Self::NoLeaseNamespace => Some(
                "outside of a pod, name one in which you may write leases with --lease-namespace".to_owned(),
            ),
            Self::LeaseLost { .. } => Some("it ends now, to be started again".to_owned()),
            Self::Namespace(_) | Self::Logging(_) | Self::System { .. } => None,
        }
    }

    pub(super) fn system(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::System { doing, cause: cause.to_string() }
    }
}
