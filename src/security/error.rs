//! What can go wrong with certificates.

use crate::model::ClusterUid;

/// A certificate, key or TLS setting that cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// A certificate or key could not be made.
    #[error("cannot make {what}: {source}")]
    Issue {
        /// Of what.
        what: &'static str,
        /// The cause.
        source: rcgen::Error,
    },
    /// The moment lies outside what a certificate can express.
    #[error("cannot make a certificate that is valid around {0}")]
    Moment(jiff::Timestamp),
    /// Text that is not the PEM it should be.
    #[error("{what} is unusable PEM: {source}")]
    Pem {
        /// Which text.
        what: &'static str,
        /// The cause.
        source: rustls::pki_types::pem::Error,
    },
    /// A private key of a kind that cannot sign here, or damaged.
    #[error("the authority's private key is unusable: {0}")]
    Key(rcgen::Error),
    /// Bytes that are not a certificate.
    #[error("{what} cannot be parsed: {problem}")]
    Certificate {
        /// Which certificate.
        what: &'static str,
        /// The parser's words.
        problem: String,
    },
    /// An authority's certificate with another authority's key.
    #[error("the authority's private key does not belong to its certificate")]
    KeyMismatch,
    /// An authority that was made for another cluster.
    #[error("the certificate authority is that of {found:?}, not that of cluster {expected}")]
    ForeignAuthority {
        /// Whose it should be.
        expected: ClusterUid,
        /// Its subject.
        found: String,
    },
    /// A role's name that TLS does not accept as a DNS name.
    #[error("{0:?} cannot be used as a server name")]
    Name(String),
    /// A certificate and key that TLS does not accept.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// An authority that cannot verify peers.
    #[error("cannot set up the check of TLS clients: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}
