//! A certificate with its private key and the authority that both ends trust.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A private key in PEM. It can be written to a file or a pipe that its owner alone reads; it never prints itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateKeyPem(String);

impl PrivateKeyPem {
    /// Takes a key in PEM; whether it is one is seen when it is used.
    pub fn new(pem: String) -> Self {
        Self(pem)
    }

    /// The secret itself: for files of mode 0600, pipes and Secrets only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKeyPem(hidden)")
    }
}

/// What a process needs to take part in its cluster's TLS; all PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The authority that peers must come from.
    pub ca: String,
    /// The holder's certificate.
    pub cert: String,
    /// The holder's key.
    pub key: PrivateKeyPem,
}
