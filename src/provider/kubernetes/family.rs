//! A provider for each API server and namespace that clusters are in.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

use super::KubernetesProvider;
use crate::{
    model::{CallerContext, KubernetesContext},
    provider::{Family, Forwarding, Provider},
};

/// Tells the time.
pub type Now = fn() -> Timestamp;

/// Providers by context, made when they are first asked for.
pub struct KubernetesProviders {
    state: PathBuf,
    now: Now,
    forwarding: Option<Forwarding>,
    known: Mutex<BTreeMap<KubernetesContext, Arc<KubernetesProvider>>>,
}

impl KubernetesProviders {
    /// With the directory of the installation's state, and how forwarders are made.
    pub fn new(state: PathBuf, now: Now, forwarding: Option<Forwarding>) -> Self {
        Self { state, now, forwarding, known: Mutex::default() }
    }
}

impl Family for KubernetesProviders {
    fn of(&self, context: &CallerContext) -> Option<Arc<dyn Provider>> {
        let context = context.kubernetes.clone()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let provider = known.entry(context.clone()).or_insert_with(|| {
            Arc::new(KubernetesProvider::new(context, self.state.clone(), self.now, self.forwarding.clone()))
        });
        Some(provider.clone())
    }

    fn all(&self) -> Vec<Arc<dyn Provider>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|provider| provider.clone() as Arc<dyn Provider>).collect()
    }
}
