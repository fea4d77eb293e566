//! A provider for each account and region that clusters are in.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Ec2Client, Ec2Provider,
    provider::{Now, Whose},
};
use crate::{
    model::{CallerContext, Ec2Context},
    provider::{Family, Provider},
};

/// Providers by context, made when they are first asked for.
pub struct Ec2Providers {
    state: PathBuf,
    now: Now,
    known: Mutex<BTreeMap<Ec2Context, Arc<Ec2Provider>>>,
}

impl Ec2Providers {
    /// With the directory of the installation's state.
    pub fn new(state: PathBuf, now: Now) -> Self {
        Self { state, now, known: Mutex::default() }
    }
}

impl Family for Ec2Providers {
    fn of(&self, context: &CallerContext) -> Option<Arc<dyn Provider>> {
        let context = context.ec2.clone()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let provider = known.entry(context.clone()).or_insert_with(|| {
            let client = Arc::new(Ec2Client::new(context));
            Arc::new(Ec2Provider::new(client, Whose::Below(self.state.clone()), self.now))
        });
        Some(provider.clone())
    }

    fn all(&self) -> Vec<Arc<dyn Provider>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|provider| provider.clone() as Arc<dyn Provider>).collect()
    }
}
