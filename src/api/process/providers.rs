//! The providers that this program was built with.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use crate::{
    controller::Installation,
    provider::{Directories, Provider},
    spec::ProviderKind,
};

/// What providers are made with.
#[cfg_attr(
    not(all(feature = "local", target_os = "linux")),
    expect(dead_code, reason = "the local provider needs it")
)]
pub(super) struct Means {
    /// Their directories.
    pub directories: Directories,
    /// This program, to be run as a host.
    pub program: PathBuf,
    /// This machine.
    pub installation: Installation,
}

/// All that there are.
#[cfg(all(feature = "local", target_os = "linux"))]
pub(super) fn available(means: Means) -> BTreeMap<ProviderKind, Arc<dyn Provider>> {
    let Means { directories, program, installation: Installation { machine, boot } } = means;
    let local = crate::provider::local::LocalProvider::new(directories, program, machine, boot);
    BTreeMap::from([(ProviderKind::Local, Arc::new(local) as Arc<dyn Provider>)])
}

/// None, so far, without the local one.
#[cfg(not(all(feature = "local", target_os = "linux")))]
pub(super) fn available(_: Means) -> BTreeMap<ProviderKind, Arc<dyn Provider>> {
    BTreeMap::new()
}
