//! A certificate, its key, and the authority that both ends trust.

use std::fmt;

/// A certificate, its key, and the authority that both ends trust; all PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The authority's certificate.
    pub ca: String,
    /// The certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}
