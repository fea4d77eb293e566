//! The load balancer of a scheduler's Service.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use tokio::time::timeout;

use crate::{
    controller::ClusterView,
    model::Phase,
    provider::kubernetes::{balancer_of, service_name},
    spec::{EndpointKind, ProviderSpec},
    store::kubernetes::words,
};

/// How often it is asked for: platforms take minutes to make one.
const AGAIN: Duration = Duration::from_secs(10);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// What is known of one cluster's.
pub struct Balancer {
    services: Api<Service>,
    /// Its host, once it has one.
    host: Option<String>,
}

impl Balancer {
    /// Of a cluster in the namespace of these Services.
    pub fn new(services: Api<Service>) -> Self {
        Self { services, host: None }
    }

    /// Its host, once it has one.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Returns when it is time to look for it; never, when there is nothing to look for.
    pub async fn due(&self, view: &ClusterView) {
        if self.host.is_some() || !is_wanted(view) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(AGAIN).await;
    }

    /// Looks for it, where the document wants one and it is not known.
    pub async fn look(&mut self, view: &ClusterView) {
        if self.host.is_some() || !is_wanted(view) {
            return;
        }
        match timeout(ANSWER, self.services.get_opt(&service_name(&view.name))).await {
            Ok(Ok(service)) => self.host = service.as_ref().and_then(balancer_of),
            Ok(Err(error)) => {
                tracing::debug!(cluster = %view.name, "no look at its Service: {}", words(&error));
            }
            Err(_) => tracing::debug!(cluster = %view.name, "no answer about its Service"),
        }
    }
}

fn is_wanted(view: &ClusterView) -> bool {
    let ProviderSpec::Kubernetes(spec) = &view.document.spec.provider else { return false };
    spec.endpoint == EndpointKind::LoadBalancer && view.phase != Phase::Deleting
}
