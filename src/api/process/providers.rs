//! The providers that this program was built with.

use std::{path::PathBuf, sync::Arc};

use crate::{
    controller::Installation,
    provider::{Directories, Providers},
};

/// What providers are made with.
#[cfg_attr(
    not(any(feature = "kubernetes", feature = "ec2", all(feature = "local", target_os = "linux"))),
    expect(dead_code, reason = "providers need it")
)]
pub(super) struct Means {
    /// Their directories.
    pub directories: Directories,
    /// This program, to be run as a host.
    pub program: PathBuf,
    /// This machine.
    pub installation: Installation,
    /// Where certificates are kept.
    #[cfg(any(feature = "kubernetes", feature = "ec2"))]
    pub store: Arc<dyn crate::store::Store>,
}

/// All that there are.
pub(super) fn available(means: Means) -> Providers {
    let providers = with_ec2(with_kubernetes(Providers::default(), &means), &means);
    with_local(providers, means)
}

#[cfg(all(feature = "local", target_os = "linux"))]
fn with_local(providers: Providers, means: Means) -> Providers {
    let Means { directories, program, installation: Installation { machine, boot }, .. } = means;
    let local = crate::provider::local::LocalProvider::new(directories, program, machine, boot);
    providers.with(crate::spec::ProviderKind::Local, Arc::new(local))
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

    let state = means.directories.state.clone();
    let family = KubernetesProviders::new(state, || SystemClock.now(), forwarding(means));
    providers.with_family(ProviderKind::Kubernetes, Arc::new(family))
}

#[cfg(all(any(feature = "kubernetes", feature = "ec2"), target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "other systems have none")]
fn forwarding(means: &Means) -> Option<crate::provider::Forwarding> {
    use crate::{provider::Forwarding, store::SecretName};

    let store = means.store.clone();
    let files = move |cluster: &crate::model::ClusterKey| {
        let path = |name| store.secret_path(cluster, name);
        Some([
            path(SecretName::AuthorityCertificate)?,
            path(SecretName::ClientCertificate)?,
            path(SecretName::ClientKey)?,
        ])
    };
    let Installation { machine, boot } = means.installation.clone();
    // This process' own was scrubbed when it was started.
    let environment = std::env::vars().collect();
    let state = means.directories.state.clone();
    Some(Forwarding::new(state, means.program.clone(), (machine, boot), environment, Arc::new(files)))
}

#[cfg(all(any(feature = "kubernetes", feature = "ec2"), not(target_os = "linux")))]
fn forwarding(_: &Means) -> Option<crate::provider::Forwarding> {
    None
}

#[cfg(not(feature = "kubernetes"))]
fn with_kubernetes(providers: Providers, _: &Means) -> Providers {
    providers
}

#[cfg(feature = "ec2")]
fn with_ec2(providers: Providers, means: &Means) -> Providers {
    use crate::{
        controller::{Clock as _, SystemClock},
        provider::ec2::Ec2Providers,
        spec::ProviderKind,
    };

    let family = Ec2Providers::new(means.directories.state.clone(), || SystemClock.now(), forwarding(means));
    providers.with_family(ProviderKind::Ec2, Arc::new(family))
}

#[cfg(not(feature = "ec2"))]
fn with_ec2(providers: Providers, _: &Means) -> Providers {
    providers
}
