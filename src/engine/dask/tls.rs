//! TLS settings of the controller's connections, made once for each cluster.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::ClientConfig;

use crate::security::{self, Identity, SecurityError};

/// Settings by the name that a scheduler has to prove, which no two clusters share. Connections that
/// share them resume their TLS sessions.
#[derive(Default)]
pub(super) struct TlsSettings {
    kept: Mutex<BTreeMap<String, Kept>>,
}

/// Whose settings, and which.
type Kept = (Arc<Identity>, Arc<ClientConfig>);

impl TlsSettings {
    /// The settings with which `identity` dials the scheduler of that name.
    pub(super) fn of(
        &self,
        identity: &Arc<Identity>,
        scheduler: &str,
    ) -> Result<Arc<ClientConfig>, SecurityError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, config)) = kept.get(scheduler)
            && Arc::ptr_eq(of, identity)
        {
            return Ok(config.clone());
        }
        let config = security::client_config(identity)?;
        // Those of clusters that nobody is connected to any more.
        kept.retain(|_, (_, config)| Arc::strong_count(config) > 1);
        kept.insert(scheduler.to_owned(), (identity.clone(), config.clone()));
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        model::ClusterUid,
        security::{CertificateRole, ClusterAuthority},
    };

    #[test]
    fn connections_to_one_scheduler_share_their_settings_and_no_others() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let identity = |number| {
            let uid = ClusterUid::from_random(number);
            let authority = ClusterAuthority::new(&uid, Duration::from_hours(1), now).unwrap();
            Arc::new(authority.issue(CertificateRole::Controller, &[]).unwrap())
        };
        let (one, other) = (identity(1), identity(2));
        let settings = TlsSettings::default();
        let first = settings.of(&one, "one").unwrap();
        assert!(Arc::ptr_eq(&first, &settings.of(&one, "one").unwrap()));
        let second = settings.of(&other, "other").unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&first, &settings.of(&other, "one").unwrap()), "a renewed certificate");
        drop(second);
        settings.of(&one, "third").unwrap();
        assert!(!settings.kept.lock().unwrap().contains_key("other"), "nobody uses it");
    }
}
