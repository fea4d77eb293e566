//! TLS settings from PEM, and what a certificate says.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::verify_server_name,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ParsedCertificate, WebPkiClientVerifier},
};

use super::{CertificateRole, Identity, SecurityError, server_name};
use crate::model::ClusterUid;

/// The provider is named here because a process-wide default would depend on who else links rustls.
fn crypto() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn pem(what: &'static str) -> impl FnOnce(rustls::pki_types::pem::Error) -> SecurityError {
    move |source| SecurityError::Pem { what, source }
}

fn roots(identity: &Identity) -> Result<Arc<RootCertStore>, SecurityError> {
    let mut roots = RootCertStore::empty();
    let ca =
        CertificateDer::from_pem_slice(identity.ca.as_bytes()).map_err(pem("the authority's certificate"))?;
    roots.add(ca)?;
    Ok(Arc::new(roots))
}

type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn chain_and_key(identity: &Identity) -> Result<ChainAndKey, SecurityError> {
    let chain = CertificateDer::pem_slice_iter(identity.cert.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(pem("the certificate"))?;
    let key =
        PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes()).map_err(pem("the private key"))?;
    Ok((chain, key))
}

/// Settings with which `identity` dials: the peer must be of the same authority and carry the expected role's name.
///
/// Keep the result: TLS sessions are resumed only between connections that share it.
pub fn client_config(identity: &Identity) -> Result<Arc<ClientConfig>, SecurityError> {
    let (chain, key) = chain_and_key(identity)?;
    let config = ClientConfig::builder_with_provider(crypto())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(identity)?)
        .with_client_auth_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// Settings with which `identity` listens: a peer must present a certificate of the same authority.
///
/// Whether the peer's role may ask for what it asks is for the caller to decide; see [`peer_role`].
pub fn server_config(identity: &Identity) -> Result<Arc<ServerConfig>, SecurityError> {
    let (chain, key) = chain_and_key(identity)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(identity)?, crypto()).build()?;
    let config = ServerConfig::builder_with_provider(crypto())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// The role that an already verified `certificate` carries in the cluster `uid`; `None` if it carries none.
pub fn peer_role(certificate: &CertificateDer<'_>, uid: &ClusterUid) -> Option<CertificateRole> {
    let certificate = ParsedCertificate::try_from(certificate).ok()?;
    CertificateRole::ALL.into_iter().find(|role| {
        server_name(*role, uid).is_ok_and(|name| verify_server_name(&certificate, &name).is_ok())
    })
}

/// When the first certificate of the PEM text `certificate` stops being valid.
pub fn expiry(certificate: &str) -> Result<Timestamp, SecurityError> {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(pem("the certificate"))?;
    with_parsed("the certificate", &der, |parsed| moment(parsed.validity().not_after.timestamp()))?
}

/// Runs `read` on the parsed form of `der`, which lives no longer than that.
pub(super) fn with_parsed<T>(
    what: &'static str,
    der: &CertificateDer<'_>,
    read: impl FnOnce(&x509_parser::certificate::X509Certificate<'_>) -> T,
) -> Result<T, SecurityError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(der)
        .map_err(|e| SecurityError::Certificate { what, problem: e.to_string() })?;
    Ok(read(&parsed))
}

/// A certificate's second as a timestamp.
pub(super) fn moment(second: i64) -> Result<Timestamp, SecurityError> {
    Timestamp::from_second(second).map_err(|e| SecurityError::Certificate {
        what: "the certificate's validity",
        problem: e.to_string(),
    })
}
