//! How registries are reached, and as whom.

use std::{collections::BTreeSet, io, net::IpAddr, path::PathBuf};

use super::{DockerConfig, RegistryError, docker_config::Login};
use crate::model::CallerEnvironment;

/// The largest file of logins that is read.
const MAX_BYTES: u64 = 1 << 20;

/// The variable that names registries without TLS, with commas between.
const INSECURE: &str = "CREWCALL_INSECURE_REGISTRIES";

/// How registries are reached, and as whom.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    logins: Vec<DockerConfig>,
    insecure: BTreeSet<String>,
}

impl RegistryOptions {
    /// As the caller's container tools do it: the logins of `config.json` in `DOCKER_CONFIG`, or in `~/.docker`.
    /// Registries on loopback, and those named in `CREWCALL_INSECURE_REGISTRIES`, are spoken to without TLS.
    pub async fn of_caller(environment: &CallerEnvironment) -> Result<Self, RegistryError> {
        let variable = |name: &str| environment.0.get(name).filter(|value| !value.is_empty());
        let folder = variable("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".docker")));
        let names = variable(INSECURE).map(String::as_str).unwrap_or_default();
        let insecure = names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let options = Self { insecure: insecure.collect(), ..Self::default() };
        match folder {
            Some(folder) => options.with_file(folder.join("config.json")).await,
            None => Ok(options),
        }
    }

    /// With a registry that has no TLS: its host, and port.
    #[must_use]
    pub fn with_insecure(mut self, registry: impl Into<String>) -> Self {
        self.insecure.insert(registry.into());
        self
    }

    /// With more logins; those that came before go first.
    #[must_use]
    pub fn with_logins(mut self, logins: DockerConfig) -> Self {
        self.logins.push(logins);
        self
    }

    async fn with_file(self, path: PathBuf) -> Result<Self, RegistryError> {
        let unreadable = |flaw: String| RegistryError::Logins { place: path.display().to_string(), flaw };
        match tokio::fs::metadata(&path).await {
            Ok(metadata) if metadata.len() > MAX_BYTES => {
                return Err(unreadable(format!("it is larger than {MAX_BYTES} bytes")));
            }
            _ => {}
        }
        match tokio::fs::read_to_string(&path).await {
            Ok(text) => Ok(self.with_logins(DockerConfig::parse(&text).map_err(unreadable)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    pub(super) fn login(&self, registry: &str, repository: &str) -> Option<Login> {
        self.logins.iter().find_map(|logins| logins.login(registry, repository))
    }

    /// Whether the host, which may have a port, is spoken to without TLS.
    pub(super) fn is_insecure(&self, authority: &str) -> bool {
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => host,
            _ => authority,
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            || self.insecure.contains(authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_callers_variables_say_how_registries_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let pairs = [
            ("HOME", folder.path().to_str().unwrap().to_owned()),
            (INSECURE, "10.0.0.1:5000, registry.lan".to_owned()),
        ];
        let environment = CallerEnvironment(pairs.map(|(name, value)| (name.to_owned(), value)).into());
        let options = RegistryOptions::of_caller(&environment).await.unwrap();
        for insecure in
            ["10.0.0.1:5000", "registry.lan", "localhost:1", "localhost", "127.0.0.9:5000", "[::1]:5000"]
        {
            assert!(options.is_insecure(insecure), "{insecure}");
        }
        for secure in ["10.0.0.1", "ghcr.io", "localhost.example", "128.0.0.1:5000"] {
            assert!(!options.is_insecure(secure), "{secure}");
        }
        assert_eq!(options.login("a.io", "b"), None);
        let docker = folder.path().join(".docker");
        std::fs::create_dir(&docker).unwrap();
        std::fs::write(docker.join("config.json"), r#"{"auths": {"a.io": {"username": "me"}}}"#).unwrap();
        let options = RegistryOptions::of_caller(&environment).await.unwrap();
        assert!(options.login("a.io", "b").is_some());
        std::fs::write(docker.join("config.json"), "{").unwrap();
        let error = RegistryOptions::of_caller(&environment).await.unwrap_err();
        assert!(error.to_string().contains(".docker/config.json cannot be read: line 1"), "{error}");
    }
}
