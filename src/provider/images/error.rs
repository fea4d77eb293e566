//! What came of a call to a registry that failed.

use crate::{
    environment::image::ImageError,
    provider::{ErrorKind, ProviderError},
};

/// A registry that did not say what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// No connection.
    #[error("the registry {registry} cannot be reached: {cause}")]
    Unreachable {
        /// Its host.
        registry: String,
        /// What the attempt said.
        cause: String,
    },
    /// A connection, and no answer.
    #[error("the registry {registry} did not answer {asked} within {seconds} s")]
    Silent {
        /// Its host.
        registry: String,
        /// What it was asked.
        asked: String,
        /// The bound.
        seconds: u64,
    },
    /// An answer that refuses.
    #[error("the registry {registry} answered {asked} with {status}{}", said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Refused {
        /// Its host.
        registry: String,
        /// What it was asked.
        asked: String,
        /// The status of HTTP.
        status: u16,
        /// Its own words.
        said: Option<String>,
    },
    /// Credentials that another program keeps.
    #[error("the registry {registry} wants a login, which {keeper} keeps")]
    Kept {
        /// Its host.
        registry: String,
        /// Who has them.
        keeper: String,
    },
    /// An answer that no registry gives.
    #[error("the registry {registry} answered {asked} with something unexpected: {flaw}")]
    Unexpected {
        /// Its host.
        registry: String,
        /// What it was asked.
        asked: String,
        /// What is wrong.
        flaw: String,
    },
    /// Credentials that cannot be read.
    #[error("the logins for registries in {place} cannot be read: {flaw}")]
    Logins {
        /// Where they are.
        place: String,
        /// What is wrong.
        flaw: String,
    },
    /// No authorities to check a registry's certificate by.
    #[error("this machine has no certificate authorities to know a registry by: {cause}")]
    NoAuthorities {
        /// What was tried.
        cause: String,
    },
}

/// No image that matches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is none, or it is not known which.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The registry did not say.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

const NAME_ONE: &str =
    "name an image below `spec`, which nobody has to look for: `environment: {image: ...}`";

impl RegistryError {
    /// What kind of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { status: 401 | 403, .. } | Self::Kept { .. } => ErrorKind::Auth,
            Self::Refused { status: 429, .. } => ErrorKind::Throttled,
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Refused { status: 500.., .. } => {
                ErrorKind::Transient
            }
            Self::Refused { .. }
            | Self::Unexpected { .. }
            | Self::Logins { .. }
            | Self::NoAuthorities { .. } => ErrorKind::Invalid,
        }
    }

    /// The next step.
    pub fn hint(&self) -> String {
        match self {
            Self::Refused { registry, status: 401 | 403, .. } => {
                format!("log in (`docker login {registry}`), or {NAME_ONE}")
            }
            Self::Kept { registry, .. } => format!(
                "write the login into a configuration of its own (`docker --config DIRECTORY login {registry}`) and set DOCKER_CONFIG to it, or {NAME_ONE}"
            ),
            Self::Unreachable { registry, .. } => format!(
                "a registry without TLS is named in CREWCALL_INSECURE_REGISTRIES={registry}; or {NAME_ONE}"
            ),
            Self::Logins { .. } => "mend the file, or set DOCKER_CONFIG to another folder".to_owned(),
            Self::NoAuthorities { .. } => {
                "install them (the package ca-certificates), or set SSL_CERT_FILE".to_owned()
            }
            Self::Silent { .. } | Self::Refused { .. } | Self::Unexpected { .. } => {
                format!("run the same command again, or {NAME_ONE}")
            }
        }
    }
}

impl From<ResolveError> for ProviderError {
    fn from(error: ResolveError) -> Self {
        let (kind, hint) = match &error {
            ResolveError::Image(image @ ImageError::NotFound { .. }) => (ErrorKind::NotFound, image.hint()),
            ResolveError::Image(image) => (ErrorKind::Invalid, image.hint()),
            ResolveError::Registry(registry) => (registry.kind(), registry.hint()),
        };
        Self::new(kind, error.to_string()).with_hint(hint)
    }
}
