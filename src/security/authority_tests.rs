//! Tests of the authority and of the TLS settings made from what it issues.

use std::sync::Arc;

use rustls::{
    ClientConfig, ServerConfig,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{ServerName, UnixTime},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::GeneralName;

use super::*;
use crate::security::{client_config, expiry, peer_role, server_config, server_name};

const DAY: Duration = Duration::from_hours(24);

fn uid() -> ClusterUid {
    "00c0ffee00c0ffee".parse().unwrap()
}

fn foreign_uid() -> ClusterUid {
    "0123456789abcdef".parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "rustls verifies against the machine's clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn authority() -> ClusterAuthority {
    ClusterAuthority::new(&uid(), DAY, now()).unwrap()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// Whether `identity` is accepted as the server `name` by those who trust `ca`, at `at`.
fn verify(ca: &str, identity: &Identity, name: &ServerName<'_>, at: Timestamp) -> Result<(), rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(ca)).unwrap();
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crypto).build().unwrap();
    let second = u64::try_from(at.as_second()).unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(second));
    verifier.verify_server_cert(&der(&identity.cert), &[], name, &[], at).map(|_| ())
}

async fn shake_hands(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: ServerName<'static>,
) -> (Result<(), String>, Result<CertificateDer<'static>, String>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let dial = async {
        let mut stream = TlsConnector::from(client).connect(name, near).await.map_err(|e| e.to_string())?;
        // TLS 1.3 tells the client about a refusal only with the first bytes that it reads.
        let mut byte = [0];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut byte).await.map_err(|e| e.to_string())?;
        Ok(())
    };
    let listen = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await.map_err(|e| e.to_string())?;
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"x").await.map_err(|e| e.to_string())?;
        tokio::io::AsyncWriteExt::shutdown(&mut stream).await.map_err(|e| e.to_string())?;
        let peer = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
        peer.ok_or_else(|| "no certificate".to_owned())
    };
    tokio::join!(dial, listen)
}

#[test]
fn a_leaf_carries_the_name_of_its_role_and_of_no_other() {
    let authority = authority();
    for role in CertificateRole::ALL {
        let leaf = authority.issue(role, &[]).unwrap();
        assert_eq!(san(role, &uid()), format!("{}.00c0ffee00c0ffee.crewcall.internal", role.as_str()));
        assert_eq!(peer_role(&der(&leaf.cert), &uid()), Some(role));
        assert_eq!(peer_role(&der(&leaf.cert), &foreign_uid()), None);
        for other in CertificateRole::ALL {
            let name = server_name(other, &uid()).unwrap();
            assert_eq!(verify(authority.certificate_pem(), &leaf, &name, now()).is_ok(), role == other);
        }
    }
}

#[test]
fn certificates_have_every_extension_that_strict_verification_wants() {
    let authority = authority();
    let leaf = authority.issue(CertificateRole::Worker, &["10.1.2.3".parse().unwrap()]).unwrap();
    let ca_der = der(authority.certificate_pem());
    let (_, ca) = x509_parser::parse_x509_certificate(&ca_der).unwrap();
    let constraints = ca.basic_constraints().unwrap().unwrap().value;
    assert!(constraints.ca && constraints.path_len_constraint == Some(0));
    assert!(ca.key_usage().unwrap().unwrap().value.key_cert_sign());
    assert!(
        ca.iter_extensions().any(|e| e.oid == x509_parser::oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER)
    );
    assert!(ca.subject().to_string().contains("00c0ffee00c0ffee"));

    let leaf_der = der(&leaf.cert);
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf_der).unwrap();
    assert_ne!(leaf.subject(), ca.subject());
    assert!(
        leaf.iter_extensions()
            .any(|e| e.oid == x509_parser::oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER)
    );
    assert!(leaf.key_usage().unwrap().unwrap().value.digital_signature());
    let purposes = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.server_auth && purposes.client_auth);
    let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert!(names.contains(&GeneralName::IPAddress(&[10, 1, 2, 3])), "{names:?}");
}

#[test]
fn certificates_are_valid_from_an_hour_ago_until_the_lifetime_ends() {
    let at: Timestamp = "2030-01-02T03:04:05Z".parse().unwrap();
    let authority = ClusterAuthority::new(&uid(), DAY, at).unwrap();
    let leaf = authority.issue(CertificateRole::Scheduler, &[]).unwrap();
    let name = server_name(CertificateRole::Scheduler, &uid()).unwrap();
    let accepted = |at: &str| verify(authority.certificate_pem(), &leaf, &name, at.parse().unwrap()).is_ok();
    assert!(!accepted("2030-01-02T02:04:04Z"));
    assert!(accepted("2030-01-02T02:04:05Z"));
    assert!(accepted("2030-01-03T03:04:04Z"));
    assert!(!accepted("2030-01-03T03:04:06Z"));
    for certificate in [authority.certificate_pem(), &leaf.cert] {
        assert_eq!(expiry(certificate).unwrap().to_string(), "2030-01-03T03:04:05Z");
    }
}

#[test]
fn no_certificate_outlives_a_year() {
    let at: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let authority = ClusterAuthority::new(&uid(), 10_000 * DAY, at).unwrap();
    assert_eq!(authority.expires().to_string(), "2031-01-01T00:00:00Z");
    assert!(ClusterAuthority::new(&uid(), DAY, Timestamp::MAX).is_err());
    assert!(ClusterAuthority::new(&uid(), Duration::MAX, at).is_ok());
}

#[tokio::test]
async fn a_reloaded_authority_issues_leaves_that_the_earlier_ones_accept() {
    let first = authority();
    let again = ClusterAuthority::from_pem(&uid(), first.certificate_pem(), &first.key_pem()).unwrap();
    assert_eq!(again.expires().as_second(), first.expires().as_second());
    let server = server_config(&first.issue(CertificateRole::Scheduler, &[]).unwrap()).unwrap();
    let client = client_config(&again.issue(CertificateRole::Controller, &[]).unwrap()).unwrap();
    let name = server_name(CertificateRole::Scheduler, &uid()).unwrap();
    let (dialled, accepted) = shake_hands(client, server, name).await;
    dialled.unwrap();
    assert_eq!(peer_role(&accepted.unwrap(), &uid()), Some(CertificateRole::Controller));
}

#[test]
fn an_authority_is_not_taken_for_another_clusters_or_with_a_foreign_key() {
    let first = authority();
    let other = ClusterAuthority::new(&foreign_uid(), DAY, now()).unwrap();
    let error = ClusterAuthority::from_pem(&uid(), other.certificate_pem(), &other.key_pem()).unwrap_err();
    let expected = "the certificate authority is that of \"Crewcall cluster 0123456789abcdef\", \
                    not that of cluster 00c0ffee00c0ffee";
    assert_eq!(error.to_string(), expected);
    let error = ClusterAuthority::from_pem(&uid(), first.certificate_pem(), &other.key_pem()).unwrap_err();
    assert!(matches!(error, SecurityError::KeyMismatch));
    let error = ClusterAuthority::from_pem(&uid(), "nonsense", &first.key_pem()).unwrap_err();
    assert!(error.to_string().starts_with("the authority's certificate is unusable PEM"), "{error}");
    let garbage = PrivateKeyPem::new("nonsense".to_owned());
    assert!(ClusterAuthority::from_pem(&uid(), first.certificate_pem(), &garbage).is_err());
}

#[tokio::test]
async fn neither_side_accepts_a_certificate_of_a_foreign_authority() {
    let (ours, theirs) = (authority(), ClusterAuthority::new(&foreign_uid(), DAY, now()).unwrap());
    let server = ours.issue(CertificateRole::Scheduler, &[]).unwrap();
    let name = server_name(CertificateRole::Scheduler, &uid()).unwrap();
    let foreign = theirs.issue(CertificateRole::Controller, &[]).unwrap();
    // It trusts the right authority and presents a certificate of its own.
    let intruder = Identity { ca: server.ca.clone(), ..foreign.clone() };
    let configs = (client_config(&intruder).unwrap(), server_config(&server).unwrap());
    let (dialled, accepted) = shake_hands(configs.0, configs.1, name.clone()).await;
    assert!(accepted.unwrap_err().contains("UnknownIssuer"));
    assert!(dialled.unwrap_err().contains("UnknownCA"));

    let configs = (client_config(&foreign).unwrap(), server_config(&server).unwrap());
    let (dialled, accepted) = shake_hands(configs.0, configs.1, name).await;
    assert!(dialled.unwrap_err().contains("UnknownIssuer"));
    assert!(accepted.is_err());
}

#[test]
fn keys_are_never_printed() {
    let authority = authority();
    let leaf = authority.issue(CertificateRole::Client, &[]).unwrap();
    let printed = format!("{authority:?} {leaf:?} {:?} {:#?}", authority.key_pem(), leaf);
    assert!(leaf.key.expose().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(!printed.contains("PRIVATE KEY-----"));
    for secret in [leaf.key.expose(), authority.key_pem().expose()] {
        let line = secret.lines().nth(1).unwrap();
        assert!(!printed.contains(line));
    }
}

#[test]
fn an_identity_survives_its_way_through_json() {
    let leaf = authority().issue(CertificateRole::Worker, &[]).unwrap();
    let text = serde_json::to_string(&leaf).unwrap();
    assert!(text.contains("\"key\":\"-----BEGIN PRIVATE KEY-----"));
    assert_eq!(serde_json::from_str::<Identity>(&text).unwrap(), leaf);
}
