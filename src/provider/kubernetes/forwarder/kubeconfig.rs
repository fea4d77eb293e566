//! A client of the API server, from a person's kubeconfig.

use std::time::Duration;

use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioExecutor};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt as _},
    config::{KubeConfigOptions, Kubeconfig},
};
use tower::{BoxError, ServiceExt};

use crate::{
    model::CallerEnvironment,
    provider::{
        forwarder::ApiTarget,
        kubernetes::{connection::introduce, credentials},
    },
};

/// How long a TCP connection may take to be made.
const CONNECT: Duration = Duration::from_secs(15);

/// How long a TCP connection is idle before the kernel asks for a sign of life, and how often it asks then. It gives
/// up after 2 minutes, which matters to watches only: port-forwards are never idle for that long.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_RETRIES: u32 = 3;

/// A kubeconfig that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// A file that cannot be read, or says something impossible.
    #[error("cannot use the kubeconfig context {context:?}: {cause}")]
    Unusable {
        /// Which context.
        context: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The context leads elsewhere now.
    #[error("the kubeconfig context {context:?} now means {found}, but the cluster is at {expected}")]
    OtherServer {
        /// Which context.
        context: String,
        /// Its server now.
        found: String,
        /// Its server when the cluster was made.
        expected: String,
    },
}

/// A client for port-forwards and watches: without any limit on how long a connection may be idle or stuck.
///
/// Credentials may have to be asked of a program; it gets the variables that are `lent`.
pub async fn client(target: &ApiTarget, lent: &CallerEnvironment) -> Result<Client, KubeconfigError> {
    let mut config = config(target).await?;
    credentials::lend(&mut config, lent);
    let program = credentials::program(&config).map(str::to_owned);
    let unusable = |cause: String| KubeconfigError::Unusable { context: target.context.clone(), cause };
    match tokio::task::spawn_blocking(move || build(config)).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(kube::Error::Auth(error))) => Err(unusable(credentials::failure(&error, program.as_deref()))),
        Ok(Err(error)) => Err(unusable(error.to_string())),
        Err(error) => Err(unusable(error.to_string())),
    }
}

async fn config(target: &ApiTarget) -> Result<Config, KubeconfigError> {
    let unusable = |cause: String| KubeconfigError::Unusable { context: target.context.clone(), cause };
    let mut config = if target.kubeconfig.is_empty() {
        Config::incluster().map_err(|error| unusable(error.to_string()))?
    } else {
        of_files(target).await.map_err(unusable)?
    };
    let found = config.cluster_url.to_string();
    if found.trim_end_matches('/') != target.server.trim_end_matches('/') {
        let (context, expected) = (target.context.clone(), target.server.clone());
        return Err(KubeconfigError::OtherServer { context, found, expected });
    }
    introduce(&mut config);
    Ok(config)
}

async fn of_files(target: &ApiTarget) -> Result<Config, String> {
    let mut merged = Kubeconfig::default();
    for path in &target.kubeconfig {
        let file = Kubeconfig::read_from(path).map_err(|error| error.to_string())?;
        merged = merged.merge(file).map_err(|error| error.to_string())?;
    }
    let options = KubeConfigOptions { context: Some(target.context.clone()), ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(merged, &options).await.map_err(|error| error.to_string())
}

/// As kube's own builder does it, but for the connector: without delay for small messages, with keep-alive, without
/// limits on reading and writing.
fn build(mut config: Config) -> Result<Client, kube::Error> {
    if config.proxy_url.is_some() {
        config.read_timeout = None;
        config.write_timeout = None;
        return Client::try_from(config);
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE));
    connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let http = ServiceExt::<hyper::Request<Body>>::map_err(http, BoxError::from);
    let (base, headers) = (config.base_uri_layer(), config.extra_headers_layer()?);
    let builder = ClientBuilder::new(http, config.default_namespace.clone()).with_layer(&headers);
    // The last layer sees a request first, and a credential is for the real address.
    Ok(match config.auth_layer()? {
        Some(auth) => builder.with_layer(&auth).with_layer(&base).build(),
        None => builder.with_layer(&base).build(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn target(server_in_file: &str, context: &str, folder: &std::path::Path) -> ApiTarget {
        let path = folder.join("config");
        let text = format!(
            "apiVersion: v1\nkind: Config\n\
             clusters: [{{name: lab, cluster: {{server: '{server_in_file}'}}}}]\n\
             users: [{{name: ada, user: {{token: t}}}}]\n\
             contexts: [{{name: lab, context: {{cluster: lab, user: ada}}}}]\n"
        );
        fs::write(&path, text).unwrap();
        ApiTarget {
            kubeconfig: vec![path],
            context: context.to_owned(),
            server: "https://192.0.2.1:6443".to_owned(),
            namespace: "default".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_context_that_leads_elsewhere_by_now_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        client(&target("https://192.0.2.1:6443", "lab", folder.path()), &CallerEnvironment::default())
            .await
            .unwrap();
        let Err(error) =
            client(&target("https://192.0.2.2:6443", "lab", folder.path()), &CallerEnvironment::default())
                .await
        else {
            panic!("another cluster was spoken to");
        };
        let expected = "the kubeconfig context \"lab\" now means https://192.0.2.2:6443/, \
                        but the cluster is at https://192.0.2.1:6443";
        assert_eq!(error.to_string(), expected);
    }

    #[tokio::test]
    async fn a_context_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let Err(error) =
            client(&target("https://192.0.2.1:6443", "prod", folder.path()), &CallerEnvironment::default())
                .await
        else {
            panic!("it was found");
        };
        assert!(error.to_string().starts_with("cannot use the kubeconfig context \"prod\": "), "{error}");
    }
}
