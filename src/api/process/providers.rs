//! The providers that this program was built with.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    controller::Installation,
    provider::{Directories, Provider},
    spec::ProviderKind,
};

/// What a provider is made with.
pub(super) struct Means<'a> {
    /// Its directories.
    pub directories: &'a Directories,
    /// This program.
    #[cfg_attr(
        not(all(feature = "local", target_os = "linux")),
        expect(dead_code, reason = "only local clusters have hosts")
    )]
    pub program: &'a Path,
    /// This machine.
    #[cfg_attr(
        not(all(feature = "local", target_os = "linux")),
        expect(dead_code, reason = "only local clusters end with a boot")
    )]
    pub installation: &'a Installation,
}

/// All that there are.
pub(super) fn available(means: &Means<'_>) -> BTreeMap<ProviderKind, Arc<dyn Provider>> {
    let mut providers = BTreeMap::<ProviderKind, Arc<dyn Provider>>::new();
    #[cfg(all(feature = "local", target_os = "linux"))]
    providers.insert(ProviderKind::Local, local(means));
    providers
}

#[cfg(all(feature = "local", target_os = "linux"))]
fn local(means: &Means<'_>) -> Arc<dyn Provider> {
    let Installation { machine, boot } = means.installation.clone();
    let (directories, program) = (means.directories.clone(), means.program.to_owned());
    Arc::new(crate::provider::local::LocalProvider::new(directories, program, machine, boot))
}
