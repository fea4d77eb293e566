//! The providers that a program has, and which of them a cluster is with.

use std::{collections::BTreeMap, sync::Arc};

use super::Provider;
use crate::{model::CallerContext, spec::ProviderKind};

/// Providers of one kind: one for each place in which clusters can be.
pub trait Family: Send + Sync {
    /// The provider for clusters of this context; `None` where the context does not say where that is.
    fn of(&self, context: &CallerContext) -> Option<Arc<dyn Provider>>;

    /// All that were asked for so far.
    fn all(&self) -> Vec<Arc<dyn Provider>>;
}

/// A family of one.
struct Single(Arc<dyn Provider>);

impl Family for Single {
    fn of(&self, _: &CallerContext) -> Option<Arc<dyn Provider>> {
        Some(self.0.clone())
    }

    fn all(&self) -> Vec<Arc<dyn Provider>> {
        vec![self.0.clone()]
    }
}

/// Why a cluster has no provider here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoProvider {
    /// This program was built without it.
    NotBuilt,
    /// The context does not say where the cluster is.
    NoPlace,
}

/// All providers of a program.
#[derive(Clone, Default)]
pub struct Providers(BTreeMap<ProviderKind, Arc<dyn Family>>);

impl Providers {
    /// With one more kind, of which there is one provider.
    #[must_use]
    pub fn with(self, kind: ProviderKind, provider: Arc<dyn Provider>) -> Self {
        self.with_family(kind, Arc::new(Single(provider)))
    }

    /// With one more kind, of which there may be several.
    #[must_use]
    pub fn with_family(mut self, kind: ProviderKind, family: Arc<dyn Family>) -> Self {
        self.0.insert(kind, family);
        self
    }

    /// The provider of a cluster of that kind, for whoever has that context.
    pub fn of(&self, kind: ProviderKind, context: &CallerContext) -> Result<Arc<dyn Provider>, NoProvider> {
        let family = self.0.get(&kind).ok_or(NoProvider::NotBuilt)?;
        family.of(context).ok_or(NoProvider::NoPlace)
    }

    /// All that were asked for so far, of every kind.
    pub fn all(&self) -> Vec<Arc<dyn Provider>> {
        self.0.values().flat_map(|family| family.all()).collect()
    }
}
