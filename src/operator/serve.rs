//! What probes and Prometheus ask for, on one port.

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use super::{clusters::Clusters, health::Health, metrics::Metrics};

/// The form of Prometheus' text that the metrics have.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is known of this operator.
pub struct Facts {
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
    /// Once it leads.
    pub clusters: OnceLock<Arc<Clusters>>,
}

/// Answers until the process ends.
pub async fn serve(listener: TcpListener, facts: Arc<Facts>) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(facts);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!("probes are not answered any more: {error}");
    }
}

async fn ready(State(facts): State<Arc<Facts>>) -> impl IntoResponse {
    let (ready, text) = facts.health.ready();
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

async fn metrics(State(facts): State<Arc<Facts>>) -> impl IntoResponse {
    let phases = facts.clusters.get().map(|clusters| clusters.phases()).unwrap_or_default();
    facts.metrics.leads(facts.health.is_leader());
    match facts.metrics.text(&phases) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], String::new()),
    }
}
