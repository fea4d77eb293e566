//! The way to an account and region: whose credentials, where, and within which bounds.

use std::{
    net::IpAddr,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

#[expect(deprecated, reason = "the other name of it is in a crate that nothing else here needs")]
use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
use aws_config::{
    BehaviorVersion, ConfigLoader, Region, SdkConfig, meta::region::ProvideRegion as _,
    profile::ProfileFileRegionProvider, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_ec2::{
    config::Credentials,
    error::{ProvideErrorMetadata, SdkError},
};

use super::failure::{failed, nothing};
use crate::{
    model::{CallerEnvironment, Ec2Context, ErrorKind},
    provider::ProviderError,
};

/// How long a call may take, answers to be waited for included.
pub(super) const CALL: Duration = Duration::from_mins(1);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Who tells callers their own address, unless they name somebody else.
const ADDRESS_URL: &str = "https://checkip.amazonaws.com";

/// How long an address is taken for the caller's.
const ADDRESS: Duration = Duration::from_mins(1);

/// The way to one account and region, by AWS' standard chain. Opened when it is first used, and anew after
/// credentials were refused.
pub struct Ec2Client {
    context: Ec2Context,
    /// Credentials that whoever asked had in the environment; in memory only.
    handed: Mutex<Option<Credentials>>,
    open: Mutex<Option<Services>>,
    address: Mutex<Option<(IpAddr, Instant)>>,
}

#[derive(Clone)]
struct Services {
    ec2: aws_sdk_ec2::Client,
    ssm: aws_sdk_ssm::Client,
    sts: aws_sdk_sts::Client,
    quotas: aws_sdk_servicequotas::Client,
}

impl Ec2Client {
    /// For an account and region. Nothing is asked of AWS yet.
    pub fn new(context: Ec2Context) -> Self {
        Self { context, handed: Mutex::default(), open: Mutex::default(), address: Mutex::default() }
    }

    /// The services, with credentials of the recorded account.
    async fn services(&self) -> Result<Services, ProviderError> {
        if let Some(open) = lock(&self.open).clone() {
            return Ok(open);
        }
        let handed = lock(&self.handed).clone();
        let config = configuration(&self.context, handed).await;
        let found = account(&config).await?;
        if found != self.context.account {
            let message = format!(
                "these credentials are of the account {found}; the cluster is in {}, and is left alone",
                self.context.account
            );
            return Err(ProviderError::new(ErrorKind::Auth, message).with_hint(RENEW));
        }
        let open = Services {
            ec2: aws_sdk_ec2::Client::new(&config),
            ssm: aws_sdk_ssm::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            quotas: aws_sdk_servicequotas::Client::new(&config),
        };
        *lock(&self.open) = Some(open.clone());
        Ok(open)
    }

    /// Which account and region.
    pub(super) fn place(&self) -> &Ec2Context {
        &self.context
    }

    /// Takes over credentials that the caller has in the environment, if there are some.
    pub(super) fn take_over(&self, environment: &CallerEnvironment) {
        if let Some(credentials) = handed(environment) {
            *lock(&self.handed) = Some(credentials);
            *lock(&self.open) = None;
        }
    }

    /// The address from which this machine is seen.
    pub(super) async fn address(&self) -> Option<IpAddr> {
        let known = *lock(&self.address);
        if let Some((address, _)) = known.filter(|(_, at)| at.elapsed() < ADDRESS) {
            return Some(address);
        }
        let url = self.context.address_url.as_deref().unwrap_or(ADDRESS_URL);
        let said = crate::provider::images::text(&url.parse().ok()?).await.ok()?;
        let address = said.parse().ok()?;
        *lock(&self.address) = Some((address, Instant::now()));
        Some(address)
    }

    pub(super) async fn ec2(&self) -> Result<aws_sdk_ec2::Client, ProviderError> {
        Ok(self.services().await?.ec2)
    }

    pub(super) async fn ssm(&self) -> Result<aws_sdk_ssm::Client, ProviderError> {
        Ok(self.services().await?.ssm)
    }

    pub(super) async fn sts(&self) -> Result<aws_sdk_sts::Client, ProviderError> {
        Ok(self.services().await?.sts)
    }

    pub(super) async fn servicequotas(&self) -> Result<aws_sdk_servicequotas::Client, ProviderError> {
        Ok(self.services().await?.quotas)
    }

    /// What a call that failed says; other credentials may be there for the next.
    pub(super) fn failed<E, R>(&self, action: &str, error: &SdkError<E, R>) -> ProviderError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug,
    {
        let error = failed(action, error);
        if error.kind == ErrorKind::Auth {
            *lock(&self.open) = None;
        }
        error
    }
}

/// What to do where credentials are missing or of somebody else.
const RENEW: &str = "renew them (`aws sso login`, or export them), then run the same `crewcall create` again";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Credentials in the caller's environment.
fn handed(environment: &CallerEnvironment) -> Option<Credentials> {
    let variable = |name: &str| environment.0.get(name).filter(|value| !value.is_empty()).cloned();
    let (key, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
    Some(Credentials::new(key, secret, variable("AWS_SESSION_TOKEN"), None, "the caller's environment"))
}

/// Where AWS is asked, and as whom.
async fn configuration(context: &Ec2Context, handed: Option<Credentials>) -> SdkConfig {
    let mut loader = defaults().region(Region::new(context.region.clone()));
    if let Some(credentials) = handed {
        loader = loader.credentials_provider(credentials);
    }
    if let Some(profile) = &context.profile {
        loader = loader.profile_name(profile);
    }
    if context.config_file.is_some() || context.credentials_file.is_some() {
        loader = loader.profile_files(files(context));
    }
    if let Some(endpoint) = &context.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    loader.load().await
}

/// As AWS' tools have it, but for the bounds.
fn defaults() -> ConfigLoader {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(CALL).build();
    // When to try again is the plan's; one that tries on its own hides what a lost reply has done.
    aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
}

#[expect(deprecated, reason = "as above")]
fn files(context: &Ec2Context) -> ProfileFiles {
    let mut files = ProfileFiles::builder();
    files = match &context.config_file {
        Some(path) => files.with_file(ProfileFileKind::Config, path),
        None => files.include_default_config_file(true),
    };
    files = match &context.credentials_file {
        Some(path) => files.with_file(ProfileFileKind::Credentials, path),
        None => files.include_default_credentials_file(true),
    };
    files.build()
}

async fn account(config: &SdkConfig) -> Result<String, ProviderError> {
    const ACTION: &str = "sts:GetCallerIdentity";
    let answer = aws_sdk_sts::Client::new(config).get_caller_identity().send().await;
    let identity = answer.map_err(|error| failed(ACTION, &error))?;
    identity.account.ok_or_else(|| nothing(ACTION, "account"))
}

/// The context of a caller: the region that the document names, or that of the caller's environment and files, and
/// the account of the caller's credentials. Asks AWS once.
pub async fn resolve(
    environment: &CallerEnvironment,
    working_directory: &Path,
    region: Option<&str>,
) -> Result<Ec2Context, ProviderError> {
    let variable = |name: &str| environment.0.get(name).filter(|value| !value.is_empty()).cloned();
    let file = |name: &str| variable(name).map(|path| working_directory.join(path));
    let mut context = Ec2Context {
        account: String::new(),
        region: String::new(),
        profile: variable("AWS_PROFILE"),
        config_file: file("AWS_CONFIG_FILE"),
        credentials_file: file("AWS_SHARED_CREDENTIALS_FILE"),
        endpoint: variable("AWS_ENDPOINT_URL"),
        address_url: variable("CREWCALL_ADDRESS_URL"),
    };
    let named = region
        .map(str::to_owned)
        .or_else(|| variable("AWS_REGION"))
        .or_else(|| variable("AWS_DEFAULT_REGION"));
    context.region = match named {
        Some(region) => region,
        None => of_profile(&context).await.ok_or_else(|| {
            ProviderError::new(ErrorKind::Invalid, "no AWS region is chosen")
                .with_hint("write `region` in `provider.ec2`, or set AWS_REGION")
        })?,
    };
    let config = configuration(&context, handed(environment)).await;
    // Machines must be told, and do not have the caller's files.
    context.endpoint = context.endpoint.or_else(|| config.endpoint_url().map(str::to_owned));
    context.account = account(&config).await?;
    Ok(context)
}

async fn of_profile(context: &Ec2Context) -> Option<String> {
    let mut region = ProfileFileRegionProvider::builder();
    if let Some(profile) = &context.profile {
        region = region.profile_name(profile);
    }
    if context.config_file.is_some() || context.credentials_file.is_some() {
        region = region.profile_files(files(context));
    }
    region.build().region().await.map(|region| region.to_string())
}
