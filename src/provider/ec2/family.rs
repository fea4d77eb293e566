//! A provider for each account and region that clusters are in.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Ec2Client, Ec2Forwarding, Ec2Provider,
    provider::{Now, Whose},
};
use crate::{
    model::{CallerContext, Ec2Context},
    provider::{Family, Forwarding, Provider},
};

/// Providers by context, made when they are first asked for.
pub struct Ec2Providers {
    state: PathBuf,
    now: Now,
    forwarding: Option<Forwarding>,
    known: Mutex<BTreeMap<Ec2Context, Arc<Ec2Provider>>>,
}

impl Ec2Providers {
    /// With the directory of the installation's state, and how forwarders are made.
    pub fn new(state: PathBuf, now: Now, forwarding: Option<Forwarding>) -> Self {
        Self { state, now, forwarding, known: Mutex::default() }
    }
}

impl Family for Ec2Providers {
    fn of(&self, context: &CallerContext) -> Option<Arc<dyn Provider>> {
        let context = context.ec2.clone()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let provider = known.entry(context.clone()).or_insert_with(|| {
            let forwarding = self.forwarding.clone();
            let forwarding = forwarding.map(|forwarding| Ec2Forwarding::new(forwarding, &context));
            let client = Arc::new(Ec2Client::new(context));
            let whose = Whose::Below(self.state.clone());
            Arc::new(Ec2Provider::with_forwarding(client, whose, self.now, forwarding))
        });
        Some(provider.clone())
    }

    fn all(&self) -> Vec<Arc<dyn Provider>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|provider| provider.clone() as Arc<dyn Provider>).collect()
    }
}
