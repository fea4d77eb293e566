//! The client of a context, made anew when what it was made from changes.

use std::{fs, path::PathBuf, time::SystemTime};

use kube::Client;
use tokio::{sync::Mutex, time::Duration};

use super::{client::KubernetesClient, context::configuration, error::whom};
use crate::{
    model::{ErrorKind, KubernetesContext},
    provider::ProviderError,
};

/// How long an API server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// The way to one API server.
pub struct Connection {
    context: KubernetesContext,
    made: Mutex<Option<Made>>,
}

#[derive(Clone)]
struct Made {
    from: Vec<(PathBuf, Option<SystemTime>)>,
    number: u64,
    client: KubernetesClient,
}

impl Connection {
    /// For a context; nothing is read yet.
    pub fn new(context: KubernetesContext) -> Self {
        Self { context, made: Mutex::new(None) }
    }

    /// Which API server and namespace.
    pub fn context(&self) -> &KubernetesContext {
        &self.context
    }

    /// The client, and a number that changes with it.
    pub async fn client(&self) -> Result<(KubernetesClient, u64), ProviderError> {
        let mut made = self.made.lock().await;
        let from = self.files();
        if let Some(known) = made.as_ref().filter(|known| known.from == from) {
            return Ok((known.client.clone(), known.number));
        }
        let mut config = configuration(&self.context).await?;
        config.connect_timeout = Some(CONNECT);
        let client = Client::try_from(config).map_err(|error| {
            let message = format!("cannot speak to {}: {error}", whom(&self.context));
            ProviderError::new(ErrorKind::Auth, message)
        })?;
        let number = made.as_ref().map_or(1, |known| known.number + 1);
        let client = KubernetesClient::new(client, self.context.clone());
        *made = Some(Made { from, number, client: client.clone() });
        Ok((client, number))
    }

    /// When the files were written that say how to connect.
    fn files(&self) -> Vec<(PathBuf, Option<SystemTime>)> {
        let written = |path: &PathBuf| fs::metadata(path).and_then(|found| found.modified()).ok();
        self.context.kubeconfig.iter().map(|path| (path.clone(), written(path))).collect()
    }
}
