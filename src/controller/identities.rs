//! The certificates of a cluster, made once and kept beside its record.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    model::{ClusterKey, Role},
    security::{self, CertificateRole, ClusterAuthority, Identity, PrivateKeyPem, SecurityError},
    store::{SecretName, Store, StoreError},
};

/// Certificates outlive the cluster's own limit by this.
const MARGIN: Duration = Duration::from_hours(24);

/// What nodes and controller show each other.
#[derive(Clone)]
pub(super) struct Identities {
    scheduler: Arc<Identity>,
    worker: Arc<Identity>,
    /// Until when they are valid.
    pub(super) until: Timestamp,
    /// The controller's own, and the name that a scheduler must prove.
    pub(super) controller: (Arc<Identity>, String),
}

/// Certificates that could not be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// They could not be made.
    #[error("cannot make the cluster's certificates: {0}")]
    Security(#[from] SecurityError),
    /// They could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// New certificates for a cluster, not kept anywhere yet.
pub(super) struct Issued {
    authority: ClusterAuthority,
    leaves: [(CertificateRole, Identity); 4],
}

const ROLES: [(CertificateRole, SecretName, SecretName); 4] = [
    (CertificateRole::Scheduler, SecretName::SchedulerCertificate, SecretName::SchedulerKey),
    (CertificateRole::Worker, SecretName::WorkerCertificate, SecretName::WorkerKey),
    (CertificateRole::Client, SecretName::ClientCertificate, SecretName::ClientKey),
    (CertificateRole::Controller, SecretName::ControllerCertificate, SecretName::ControllerKey),
];

/// The last of [`ROLES`]' files. A cluster that was taken up from a copy has no authority's key.
const LAST: SecretName = SecretName::ControllerKey;

impl Issued {
    /// Makes an authority and a leaf per role, valid for `lifetime` (unlimited: the longest possible).
    pub(super) fn new(
        key: &ClusterKey,
        lifetime: Option<Duration>,
        now: Timestamp,
    ) -> Result<Self, SecurityError> {
        let lifetime = lifetime.map_or(security::MAX_LIFETIME, |limit| limit.saturating_add(MARGIN));
        let authority = ClusterAuthority::new(&key.uid, lifetime, now)?;
        let leaf = |role| authority.issue(role, &[]).map(|identity| (role, identity));
        let [scheduler, worker, client, controller] = ROLES.map(|(role, _, _)| leaf(role));
        let leaves = [scheduler?, worker?, client?, controller?];
        Ok(Self { authority, leaves })
    }

    /// Keeps them beside the cluster's record; [`LAST`] comes last: without it, all are made anew.
    pub(super) async fn keep(&self, store: &dyn Store, key: &ClusterKey) -> Result<(), StoreError> {
        let authority_key = self.authority.key_pem();
        let leaves = self.leaves.iter().zip(ROLES).flat_map(|((_, identity), (_, cert, secret))| {
            [(cert, identity.cert.as_str()), (secret, identity.key.expose())]
        });
        let secrets: Vec<(SecretName, &str)> = [
            (SecretName::AuthorityCertificate, self.authority.certificate_pem()),
            (SecretName::AuthorityKey, authority_key.expose()),
        ]
        .into_iter()
        .chain(leaves)
        .collect();
        store.put_secrets(key, &secrets).await
    }
}

impl Identities {
    /// Those of a cluster; made and kept first where that was not done, or not finished.
    pub(super) async fn of(
        store: &dyn Store,
        key: &ClusterKey,
        lifetime: Option<Duration>,
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        if store.secret(key, LAST).await?.is_none() {
            Issued::new(key, lifetime, now)?.keep(store, key).await?;
        }
        let get = async |name| Ok::<_, StoreError>(store.secret(key, name).await?.unwrap_or_default());
        let ca = get(SecretName::AuthorityCertificate).await?;
        let leaf = async |cert, secret| {
            let (cert, secret) = (get(cert).await?, get(secret).await?);
            Ok::<_, StoreError>(Arc::new(Identity { ca: ca.clone(), cert, key: PrivateKeyPem::new(secret) }))
        };
        Ok(Self {
            until: security::expiry(&ca)?,
            scheduler: leaf(SecretName::SchedulerCertificate, SecretName::SchedulerKey).await?,
            worker: leaf(SecretName::WorkerCertificate, SecretName::WorkerKey).await?,
            controller: (
                leaf(SecretName::ControllerCertificate, SecretName::ControllerKey).await?,
                security::san(CertificateRole::Scheduler, &key.uid),
            ),
        })
    }

    /// What a node of that role shows.
    pub(super) fn of_role(&self, role: Role) -> Arc<Identity> {
        match role {
            Role::Scheduler => self.scheduler.clone(),
            Role::Worker => self.worker.clone(),
        }
    }
}
