//! The certificate authority of one cluster.

use std::{fmt, net::IpAddr, time::Duration};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use time::OffsetDateTime;

use super::{
    CertificateRole, Identity, PrivateKeyPem, SecurityError, san,
    tls::{moment, with_parsed},
};
use crate::model::ClusterUid;

/// The longest that a certificate may be valid from now on; a longer wish is cut to this.
pub const MAX_LIFETIME: Duration = Duration::from_hours(365 * 24);

/// How far certificates reach into the past: machines' clocks differ, and one from the future is refused.
const BACK_DATED: Duration = Duration::from_hours(1);

/// From when until when an authority and all that it issues are valid.
#[derive(Debug, Clone, Copy)]
struct Validity {
    from: Timestamp,
    until: Timestamp,
}

impl Validity {
    fn new(now: Timestamp, lifetime: Duration) -> Result<Self, SecurityError> {
        let beyond = |_| SecurityError::Moment(now);
        let from = now.checked_sub(BACK_DATED).map_err(beyond)?;
        let until = now.checked_add(lifetime.min(MAX_LIFETIME)).map_err(beyond)?;
        Ok(Self { from, until })
    }

    fn apply(self, params: &mut CertificateParams) -> Result<(), SecurityError> {
        let convert = |at: Timestamp| {
            OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| SecurityError::Moment(at))
        };
        params.not_before = convert(self.from)?;
        params.not_after = convert(self.until)?;
        Ok(())
    }
}

fn failed(what: &'static str) -> impl Fn(rcgen::Error) -> SecurityError {
    move |source| SecurityError::Issue { what, source }
}

/// The authority's subject. It names the cluster: two authorities with equal subjects make a foreign certificate
/// look like one with a broken signature.
fn subject(uid: &ClusterUid) -> String {
    format!("Crewcall cluster {uid}")
}

fn named(common_name: String) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Issues the certificates of one cluster. Its key stays with the controller.
pub struct ClusterAuthority {
    uid: ClusterUid,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    validity: Validity,
}

impl ClusterAuthority {
    /// Makes the authority of the cluster `uid`, valid from an hour before `now` until `lifetime` after it, but no
    /// longer than [`MAX_LIFETIME`].
    pub fn new(uid: &ClusterUid, lifetime: Duration, now: Timestamp) -> Result<Self, SecurityError> {
        let validity = Validity::new(now, lifetime)?;
        let key = KeyPair::generate().map_err(failed("the authority's key"))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(subject(uid));
        // Nothing but leaves below it.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        validity.apply(&mut params)?;
        let certificate = params.self_signed(&key).map_err(failed("the authority's certificate"))?.pem();
        Ok(Self { uid: uid.clone(), certificate, issuer: Issuer::new(params, key), validity })
    }

    /// Takes up again the authority that [`Self::certificate_pem`] and [`Self::key_pem`] gave, so that another
    /// controller can issue more leaves.
    pub fn from_pem(uid: &ClusterUid, certificate: &str, key: &PrivateKeyPem) -> Result<Self, SecurityError> {
        const WHAT: &str = "the authority's certificate";
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|source| SecurityError::Pem { what: WHAT, source })?;
        let key = KeyPair::from_pem(key.expose()).map_err(SecurityError::Key)?;
        let public_key = key.subject_public_key_info();
        let (name, validity, matches) = with_parsed(WHAT, &der, |parsed| {
            let name = parsed.subject().iter_common_name().find_map(|n| n.as_str().ok()).map(str::to_owned);
            let validity =
                (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
            (name.unwrap_or_default(), validity, parsed.public_key().raw == public_key)
        })?;
        if name != subject(uid) {
            return Err(SecurityError::ForeignAuthority { expected: uid.clone(), found: name });
        }
        if !matches {
            return Err(SecurityError::KeyMismatch);
        }
        let validity = Validity { from: moment(validity.0)?, until: moment(validity.1)? };
        let issuer =
            Issuer::from_ca_cert_der(&der, key).map_err(failed("an issuer of the stored authority"))?;
        Ok(Self { uid: uid.clone(), certificate: certificate.to_owned(), issuer, validity })
    }

    /// The certificate that every member of the cluster trusts, in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// The authority's own key.
    pub fn key_pem(&self) -> PrivateKeyPem {
        PrivateKeyPem::new(self.issuer.key().serialize_pem())
    }

    /// When the authority and all that it issued stop being valid.
    pub fn expires(&self) -> Timestamp {
        self.validity.until
    }

    /// Issues a leaf with a new key for `role`, valid as long as the authority. `ips` are for peers that verify
    /// addresses, as browsers do.
    pub fn issue(&self, role: CertificateRole, ips: &[IpAddr]) -> Result<Identity, SecurityError> {
        const WHAT: &str = "a leaf certificate";
        let key = KeyPair::generate().map_err(failed("a leaf's key"))?;
        let mut params = CertificateParams::new(vec![san(role, &self.uid)]).map_err(failed(WHAT))?;
        params.subject_alt_names.extend(ips.iter().copied().map(SanType::IpAddress));
        params.distinguished_name = named(format!("Crewcall {role} {}", self.uid));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Every Dask process both listens and dials.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        // Python's VERIFY_X509_STRICT demands it.
        params.use_authority_key_identifier_extension = true;
        self.validity.apply(&mut params)?;
        let cert = params.signed_by(&key, &self.issuer).map_err(failed(WHAT))?.pem();
        Ok(Identity { ca: self.certificate.clone(), cert, key: PrivateKeyPem::new(key.serialize_pem()) })
    }
}

impl fmt::Debug for ClusterAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterAuthority")
            .field("uid", &self.uid)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
