//! What is to be seen to before anything of a new cluster is stored.

use super::{
    api::Ec2Api,
    build::{self, client_blocks},
    plugin,
};
use crate::{
    model::{CallerEnvironment, ErrorKind},
    provider::{Caller, ProviderError},
    spec::{AddressKind, ComputeCluster, EnvironmentSpec, GroupName},
};

/// What a cluster needs before anything of it is stored.
pub fn check(cluster: &ComputeCluster, region: &str) -> Result<(), ProviderError> {
    let invalid = |message: String, hint: &str| {
        Err(ProviderError::new(ErrorKind::Invalid, message).with_hint(hint.to_owned()))
    };
    let spec = &cluster.spec;
    let Some(ec2) = spec.ec2() else {
        return invalid(
            "the document is not one of a cluster on EC2".to_owned(),
            "write `provider: {ec2: {}}`",
        );
    };
    if ec2.region.as_ref().is_some_and(|wanted| wanted != region) {
        return invalid(
            format!("the region of this session is {region}"),
            "remove `region`, or set AWS_REGION to it",
        );
    }
    if ec2.instance_profiles.is_none() {
        return invalid(
            "machines have no way to fetch their keys: `instanceProfiles` is not set".to_owned(),
            "apply the module in `terraform/` once per account, and paste the block that it prints; the profiles allow \
             ssm:GetParameters below /crewcall/ and nothing else",
        );
    }
    for group in spec.groups().map(|(name, _)| name).chain([GroupName::scheduler()]) {
        if build::choices(cluster, &group, region).is_empty() {
            return invalid(
                format!("no instance type that is known has what the group {group} asks for"),
                "lower `cpu` or `memory`, or name `instanceTypes`",
            );
        }
    }
    check_prices(cluster, region)
}

/// A limit of costs is worth nothing for what has no price.
fn check_prices(cluster: &ComputeCluster, region: &str) -> Result<(), ProviderError> {
    let launching = build::launching(cluster, region);
    let limit = match (launching.max_hourly_cost, launching.max_cost) {
        (None, None) => return Ok(()),
        (Some(_), _) => "maxHourlyCost",
        (None, Some(_)) => "maxCost",
    };
    let groups = cluster.spec.groups().map(|(name, _)| name).chain([GroupName::scheduler()]);
    let choices = groups.flat_map(|group| build::choices(cluster, &group, region));
    let unknown = choices.flat_map(|choice| choice.types).find(|priced| priced.hourly.is_none());
    unknown.map_or(Ok(()), |priced| {
        let message = format!("`{limit}` cannot be kept: the price of {} is not known", priced.instance_type);
        Err(ProviderError::new(ErrorKind::Invalid, message)
            .with_hint("write what it costs an hour in USD: `prices: {m7i.large: 0.1}` in `provider.ec2`"))
    })
}

/// Whether the caller has what `secretEnv` names.
pub fn check_secrets(cluster: &ComputeCluster, caller: &Caller) -> Result<(), ProviderError> {
    match cluster.spec.secret_variables().find(|name| !caller.environment.0.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(ProviderError::new(
            ErrorKind::Invalid,
            format!("`secretEnv` takes the value of {name}, which is not set"),
        )
        .with_hint(format!("export {name}, then run the same command again"))),
    }
}

/// Whether it is known who is to reach the scheduler, or they have what it takes.
pub async fn check_clients(
    cluster: &ComputeCluster,
    api: &dyn Ec2Api,
    environment: &CallerEnvironment,
) -> Result<(), ProviderError> {
    let ec2 = cluster.spec.ec2().cloned().unwrap_or_default();
    let named = |message: &str| {
        Err(ProviderError::new(ErrorKind::Invalid, message)
            .with_hint("name it: `clientCidrs: [203.0.113.7/32]` in `provider.ec2`"))
    };
    if ec2.addresses == AddressKind::SessionManager {
        return plugin::plugin(environment).map(|_| ());
    }
    if !ec2.client_cidrs.is_empty() {
        return Ok(());
    }
    if ec2.addresses == AddressKind::Private {
        return named("from which private address you reach the scheduler is not known");
    }
    if client_blocks(&ec2, api.callers_address().await).is_empty() {
        return named("nobody could say from which address you reach the scheduler");
    }
    Ok(())
}

/// The image that machines run, where it depends on the caller's versions or the document names none.
#[cfg(feature = "ec2")]
pub async fn image(
    cluster: &ComputeCluster,
    caller: &Caller,
    progress: &(dyn Fn(String) + Send + Sync),
) -> Result<Option<EnvironmentSpec>, ProviderError> {
    use crate::provider::images::{self, RegistryOptions, ResolveError};

    if matches!(
        cluster.spec.environment,
        Some(EnvironmentSpec::Packages(_) | EnvironmentSpec::Interpreter(_))
    ) {
        let message = "machines run an image; packages and interpreters are for clusters on this machine";
        return Err(
            ProviderError::new(ErrorKind::Invalid, message).with_hint("write `environment: {image: ...}`")
        );
    }
    let options = RegistryOptions::of_caller(&caller.environment).await.map_err(ResolveError::from)?;
    images::environment(cluster.spec.environment.as_ref(), caller, options, progress).await
}

/// The image must be named: without the calls to AWS there are none to registries.
#[cfg(not(feature = "ec2"))]
#[expect(clippy::unused_async, reason = "with the feature it asks registries")]
pub async fn image(
    cluster: &ComputeCluster,
    _: &Caller,
    _: &(dyn Fn(String) + Send + Sync),
) -> Result<Option<EnvironmentSpec>, ProviderError> {
    match &cluster.spec.environment {
        Some(EnvironmentSpec::Image(image)) if !image.contains('{') => Ok(None),
        _ => Err(ProviderError::new(ErrorKind::Invalid, "machines run an image, and none is named")
            .with_hint("write `environment: {image: ...}`")),
    }
}
