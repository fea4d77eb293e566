//! Logins as `docker login` and pull secrets keep them. Pure.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

/// The logins of a `config.json` of Docker, or of a Secret of type `kubernetes.io/dockerconfigjson`.
#[derive(Clone, Default)]
pub struct DockerConfig {
    logins: BTreeMap<String, Entry>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
}

/// What there is to log in with.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// Name and password, as the header has them.
    Basic(String),
    /// Somebody else has it.
    Kept(String),
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: Option<String>,
}

impl DockerConfig {
    /// Reads the JSON. The error says where it is wrong, and repeats nothing of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(text)
            .map_err(|error| format!("line {}, column {}", error.line(), error.column()))?;
        Ok(Self {
            logins: file.auths.into_iter().map(|(key, entry)| (address(&key).to_owned(), entry)).collect(),
            helpers: file.cred_helpers,
            store: file.creds_store.filter(|store| !store.is_empty()),
        })
    }

    /// What it has for a repository: the login of the longest name that the repository's begins with.
    pub(super) fn login(&self, registry: &str, repository: &str) -> Option<Login> {
        let name = format!("{registry}/{repository}");
        let is_it = |key: &str| {
            let key =
                if matches!(key, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { key };
            name.strip_prefix(key).is_some_and(|rest| rest.starts_with('/'))
        };
        let helper = self.helpers.iter().find(|(key, _)| is_it(address(key))).map(|(_, helper)| helper);
        let entry = self.logins.iter().filter(|(key, _)| is_it(key)).max_by_key(|(key, _)| key.len());
        let kept = |helper: &str| Login::Kept(format!("docker-credential-{helper}"));
        let Some((_, entry)) = entry else { return helper.map(|helper| kept(helper)) };
        match entry {
            _ if helper.is_some() => helper.map(|helper| kept(helper)),
            Entry { auth, .. } if !auth.is_empty() => Some(Login::Basic(auth.clone())).filter(is_pair),
            Entry { username, password, .. } if !username.is_empty() => {
                Some(Login::Basic(STANDARD.encode(format!("{username}:{password}"))))
            }
            Entry { identitytoken, .. } if !identitytoken.is_empty() => {
                Some(Login::Kept("an identity token of Docker's own".to_owned()))
            }
            // An entry without anything says that the store has it.
            _ => self.store.as_deref().map(kept),
        }
    }
}

fn is_pair(login: &Login) -> bool {
    let Login::Basic(text) = login else { return false };
    STANDARD.decode(text).is_ok_and(|pair| pair.contains(&b':'))
}

/// `https://index.docker.io/v1/` as `index.docker.io`.
fn address(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key)
}

impl fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DockerConfig({} logins)", self.logins.len())
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic(_) => f.write_str("Basic(hidden)"),
            Self::Kept(keeper) => write!(f, "Kept({keeper})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> DockerConfig {
        DockerConfig::parse(text).unwrap()
    }

    fn basic(pair: &str) -> Login {
        Login::Basic(STANDARD.encode(pair))
    }

    #[test]
    fn a_login_is_found_by_the_longest_name() {
        let config = config(&format!(
            r#"{{"auths": {{
                "https://index.docker.io/v1/": {{"auth": "{}"}},
                "ghcr.io": {{"username": "all", "password": "p:w"}},
                "ghcr.io/team": {{"username": "team", "password": "x"}},
                "http://localhost:5000": {{"username": "me", "password": ""}}
            }}}}"#,
            STANDARD.encode("hub:secret")
        ));
        assert_eq!(config.login("docker.io", "daskdev/dask"), Some(basic("hub:secret")));
        assert_eq!(config.login("ghcr.io", "dask/dask"), Some(basic("all:p:w")));
        assert_eq!(config.login("ghcr.io", "team/dask"), Some(basic("team:x")));
        assert_eq!(config.login("ghcr.io", "teams/dask"), Some(basic("all:p:w")));
        assert_eq!(config.login("localhost:5000", "a"), Some(basic("me:")));
        assert_eq!(config.login("localhost", "a"), None);
        assert_eq!(config.login("ghcr.io.example", "a"), None);
    }

    #[test]
    fn a_login_that_a_helper_keeps_names_the_helper() {
        let config = config(
            r#"{"auths": {"quay.io": {}, "gcr.io": {"identitytoken": "t"}}, "credsStore": "desktop", "credHelpers": {"ecr.aws": "ecr-login"}}"#,
        );
        let keeper = |registry| match config.login(registry, "a") {
            Some(Login::Kept(keeper)) => keeper,
            other => panic!("{other:?}"),
        };
        assert_eq!(keeper("quay.io"), "docker-credential-desktop");
        assert_eq!(keeper("ecr.aws"), "docker-credential-ecr-login");
        assert_eq!(keeper("gcr.io"), "an identity token of Docker's own");
        assert_eq!(config.login("ghcr.io", "a"), None, "a store has no login for every registry");
    }

    #[test]
    fn what_is_no_configuration_is_refused_without_being_repeated() {
        let error = DockerConfig::parse("{\"auths\": {\"a\": {\"auth\": s3cr3t}}}").unwrap_err();
        assert!(error.starts_with("line 1, column") && !error.contains("s3cr3t"), "{error}");
        assert_eq!(config(r#"{"auths": {"a.io": {"auth": "not base64"}}}"#).login("a.io", "a"), None);
        assert!(
            !format!("{:?}", config(r#"{"auths": {"a.io": {"password": "s3cr3t"}}}"#)).contains("s3cr3t")
        );
    }
}
