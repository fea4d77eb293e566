//! The providers that this program was built with.

use std::path::PathBuf;

use crate::{
    controller::Installation,
    provider::{Directories, Providers},
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
pub(super) fn available(means: Means) -> Providers {
    let providers = with_kubernetes(Providers::default(), &means);
    with_local(providers, means)
}

#[cfg(all(feature = "local", target_os = "linux"))]
fn with_local(providers: Providers, means: Means) -> Providers {
    let Means { directories, program, installation: Installation { machine, boot } } = means;
    let local = crate::provider::local::LocalProvider::new(directories, program, machine, boot);
    providers.with(crate::spec::ProviderKind::Local, std::sync::Arc::new(local))
}

#[cfg(not(all(feature = "local", target_os = "linux")))]
fn with_local(providers: Providers, _: Means) -> Providers {
    providers
}

#[cfg(feature = "kubernetes")]
fn with_kubernetes(providers: Providers, means: &Means) -> Providers {
    use crate::{
        controller::{Clock as _, SystemClock},
        provider::kubernetes::KubernetesProviders,
        spec::ProviderKind,
    };

    let family = KubernetesProviders::new(means.directories.state.clone(), || SystemClock.now());
    providers.with_family(ProviderKind::Kubernetes, std::sync::Arc::new(family))
}

#[cfg(not(feature = "kubernetes"))]
fn with_kubernetes(providers: Providers, _: &Means) -> Providers {
    providers
}
