//! Which API server, as whom, in which namespace: what kubectl reads from kubeconfig files.

use std::path::{Path, PathBuf};

use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use super::error::whom;
use crate::{
    model::{CallerEnvironment, ErrorKind, KubernetesContext},
    provider::ProviderError,
    spec::Namespace,
};

/// What says to a pod that it is one.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// What a caller says of where Kubernetes is.
#[derive(Debug, Clone, Default)]
pub struct ContextChoice {
    /// The context of the kubeconfig; `None`: the current one.
    pub context: Option<String>,
    /// The namespace; `None`: the context's, or `default`.
    pub namespace: Option<Namespace>,
}

/// Finds out what is meant, from `KUBECONFIG` or `~/.kube/config` as the caller has them; within a pod and
/// without such files, its service account.
pub fn resolve(
    environment: &CallerEnvironment,
    working_directory: &Path,
    choice: &ContextChoice,
) -> Result<KubernetesContext, ProviderError> {
    let named = named_files(environment, working_directory);
    let files: Vec<PathBuf> = named.iter().filter(|path| path.exists()).cloned().collect();
    if files.is_empty() {
        if environment.0.contains_key(IN_CLUSTER) && choice.context.is_none() {
            return in_cluster(choice);
        }
        let looked: Vec<String> = named.iter().map(|path| path.display().to_string()).collect();
        let message = if looked.is_empty() {
            "there is no kubeconfig: neither KUBECONFIG nor HOME says where one is".to_owned()
        } else {
            format!("there is no kubeconfig: {} does not exist", looked.join(", "))
        };
        return Err(ProviderError::new(ErrorKind::NotFound, message)
            .with_hint("set KUBECONFIG to the file with which kubectl reaches your cluster"));
    }
    let all = read(&files)?;
    let Some(name) =
        choice.context.clone().or_else(|| all.current_context.clone()).filter(|name| !name.is_empty())
    else {
        let message = format!("{} has no current context", described(&files));
        return Err(ProviderError::new(ErrorKind::Invalid, message)
            .with_hint(format!("name one with --context; there are: {}", contexts(&all))));
    };
    let Some(context) =
        all.contexts.iter().find(|context| context.name == name).and_then(|named| named.context.as_ref())
    else {
        let message = format!("{} has no context named {name}", described(&files));
        return Err(ProviderError::new(ErrorKind::NotFound, message)
            .with_hint(format!("there are: {}", contexts(&all))));
    };
    let of_context = context.namespace.as_deref().filter(|text| !text.is_empty());
    let namespace = match (&choice.namespace, of_context) {
        (Some(namespace), _) => namespace.clone(),
        (None, text) => parsed(text.unwrap_or("default"))?,
    };
    let server = server_of(&all, &context.cluster).ok_or_else(|| {
        let message = format!("context {name} of {} names no API server", described(&files));
        ProviderError::new(ErrorKind::Invalid, message)
    })?;
    Ok(KubernetesContext { kubeconfig: files, context: name, namespace, server })
}

fn parsed(text: &str) -> Result<Namespace, ProviderError> {
    text.parse()
        .map_err(|error: crate::spec::NameError| ProviderError::new(ErrorKind::Invalid, error.to_string()))
}

fn named_files(environment: &CallerEnvironment, working_directory: &Path) -> Vec<PathBuf> {
    let variable = environment.0.get("KUBECONFIG").filter(|text| !text.is_empty());
    match variable {
        Some(text) => std::env::split_paths(text)
            .filter(|path| !path.as_os_str().is_empty())
            .map(|path| working_directory.join(path))
            .collect(),
        None => {
            environment.0.get("HOME").map(|home| Path::new(home).join(".kube/config")).into_iter().collect()
        }
    }
}

fn in_cluster(choice: &ContextChoice) -> Result<KubernetesContext, ProviderError> {
    let config = Config::incluster().map_err(|error| {
        ProviderError::new(ErrorKind::Auth, format!("this pod has no access to its cluster: {error}"))
            .with_hint("give it a service account whose token is mounted")
    })?;
    Ok(KubernetesContext {
        kubeconfig: Vec::new(),
        context: String::new(),
        namespace: match &choice.namespace {
            Some(namespace) => namespace.clone(),
            None => parsed(&config.default_namespace)?,
        },
        server: trimmed(&config.cluster_url.to_string()),
    })
}

fn read(files: &[PathBuf]) -> Result<Kubeconfig, ProviderError> {
    let mut all: Option<Kubeconfig> = None;
    for path in files {
        let unusable = |error: &dyn std::fmt::Display| {
            let message = format!("cannot use the kubeconfig {}: {error}", path.display());
            ProviderError::new(ErrorKind::Invalid, message)
        };
        let next = Kubeconfig::read_from(path).map_err(|error| unusable(&error))?;
        all = Some(match all {
            None => next,
            Some(all) => all.merge(next).map_err(|error| unusable(&error))?,
        });
    }
    Ok(all.unwrap_or_default())
}

fn described(files: &[PathBuf]) -> String {
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    names.join(":")
}

fn contexts(all: &Kubeconfig) -> String {
    let names: Vec<&str> = all.contexts.iter().map(|context| context.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn server_of(all: &Kubeconfig, cluster: &str) -> Option<String> {
    let named = all.clusters.iter().find(|known| known.name == cluster)?;
    named.cluster.as_ref()?.server.as_deref().map(trimmed)
}

fn trimmed(server: &str) -> String {
    server.trim_end_matches('/').to_owned()
}

/// The settings of a connection. Refuses when the context has come to mean another API server.
pub async fn configuration(context: &KubernetesContext) -> Result<Config, ProviderError> {
    if context.kubeconfig.is_empty() {
        let config = Config::incluster().map_err(|error| {
            ProviderError::new(ErrorKind::Auth, format!("no access to {}: {error}", whom(context)))
        })?;
        return same_server(&config.cluster_url.to_string(), context).map(|()| config);
    }
    let missing = context.kubeconfig.iter().find(|path| !path.exists());
    if let Some(path) = missing {
        let message = format!("the kubeconfig {} is gone", path.display());
        return Err(ProviderError::new(ErrorKind::Auth, message)
            .with_hint("put it back; it says how the cluster's API server is reached"));
    }
    let all = read(&context.kubeconfig)?;
    let options =
        KubeConfigOptions { context: Some(context.context.clone()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(all, &options).await.map_err(|error| {
        ProviderError::new(ErrorKind::Auth, format!("cannot use {}: {error}", context.described()))
    })?;
    same_server(&config.cluster_url.to_string(), context).map(|()| config)
}

fn same_server(found: &str, context: &KubernetesContext) -> Result<(), ProviderError> {
    let found = trimmed(found);
    if found == trimmed(&context.server) {
        return Ok(());
    }
    let message = format!(
        "{} now names the API server {found}; the cluster is at {}, and is left alone",
        context.described(),
        context.server
    );
    Err(ProviderError::new(ErrorKind::Auth, message)
        .with_hint(format!("have the context name {} again", context.server)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "apiVersion: v1\nkind: Config\ncurrent-context: one\n\
        clusters:\n- {name: a, cluster: {server: 'https://a:6443/'}}\n- {name: b, cluster: {server: 'https://b'}}\n\
        users: []\n\
        contexts:\n- {name: one, context: {cluster: a, user: u, namespace: team}}\n\
        - {name: two, context: {cluster: b, user: u}}\n";

    fn resolved(choice: &ContextChoice) -> Result<KubernetesContext, ProviderError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config"), FILE).unwrap();
        let environment = CallerEnvironment([("KUBECONFIG".to_owned(), "missing:config".to_owned())].into());
        let found = resolve(&environment, folder.path(), choice);
        if let Ok(found) = &found {
            assert_eq!(found.kubeconfig, [folder.path().join("config")]);
        }
        found
    }

    #[test]
    fn the_current_context_and_its_namespace_are_meant_unless_others_are_named() {
        let plain = resolved(&ContextChoice::default()).unwrap();
        assert_eq!(
            (plain.context.as_str(), plain.namespace.as_str(), plain.server.as_str()),
            ("one", "team", "https://a:6443")
        );
        let two = resolved(&ContextChoice { context: Some("two".into()), namespace: None }).unwrap();
        assert_eq!((two.namespace.as_str(), two.server.as_str()), ("default", "https://b"));
        let named = ContextChoice { context: None, namespace: Some("mine".parse().unwrap()) };
        assert_eq!(resolved(&named).unwrap().namespace.as_str(), "mine");
    }

    #[test]
    fn a_context_that_is_not_there_is_answered_with_those_that_are() {
        let error = resolved(&ContextChoice { context: Some("three".into()), namespace: None }).unwrap_err();
        assert!(error.message.contains("no context named three"), "{error}");
        assert_eq!(error.hint.as_deref(), Some("there are: one, two"));
    }

    #[test]
    fn without_a_kubeconfig_the_error_says_where_it_was_looked_for() {
        let environment = CallerEnvironment([("HOME".to_owned(), "/nowhere".to_owned())].into());
        let error = resolve(&environment, Path::new("/"), &ContextChoice::default()).unwrap_err();
        assert!(error.message.contains("/nowhere/.kube/config"), "{error}");
    }

    #[tokio::test]
    async fn a_context_that_names_another_server_now_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, FILE.replace("users: []", "users: [{name: u, user: {token: t}}]")).unwrap();
        let context = KubernetesContext {
            kubeconfig: vec![path],
            context: "one".to_owned(),
            namespace: "team".parse().unwrap(),
            server: "https://other:6443".to_owned(),
        };
        let error = configuration(&context).await.unwrap_err();
        assert!(error.message.contains("now names the API server https://a:6443"), "{error}");
        let right = KubernetesContext { server: "https://a:6443".to_owned(), ..context };
        assert!(configuration(&right).await.is_ok());
    }
}
