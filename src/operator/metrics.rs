//! What Prometheus reads.

use std::{collections::BTreeMap, sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{model::Phase, telemetry::Measure};

type Labels = Vec<(&'static str, String)>;

/// Counters, and the text of them.
pub struct Metrics {
    registry: Registry,
    clusters: Family<Labels, Gauge<u64, AtomicU64>>,
    leader: Gauge,
    ticks: Histogram,
    actions: Family<Labels, Counter>,
    errors: Family<Labels, Counter>,
    calls: Family<Labels, Counter>,
}

impl Metrics {
    /// All at nothing.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("crewcall");
        let metrics = Self {
            registry: Registry::default(),
            clusters: Family::default(),
            leader: Gauge::default(),
            ticks: Histogram::new(exponential_buckets(0.000_5, 4.0, 9)),
            actions: Family::default(),
            errors: Family::default(),
            calls: Family::default(),
        };
        registry.register("clusters", "Clusters by phase", metrics.clusters.clone());
        registry.register("leader", "1 while this operator holds the lease", metrics.leader.clone());
        registry.register("reconcile_seconds", "How long ticks of clusters take", metrics.ticks.clone());
        registry.register("actions", "Actions that were begun, by what they do", metrics.actions.clone());
        registry.register("errors", "Ticks and actions that failed, by kind", metrics.errors.clone());
        registry.register(
            "api_requests",
            "Requests to the API server, by method and status",
            metrics.calls.clone(),
        );
        Self { registry, ..metrics }
    }

    /// A request to the API server was answered, or not.
    pub fn called(&self, method: &str, status: Option<u16>) {
        let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.calls.get_or_create(&vec![("method", method.to_owned()), ("code", status)]).inc();
    }

    /// Whether this operator leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// The text, with so many clusters in each phase.
    pub fn text(&self, phases: &BTreeMap<Phase, u64>) -> Result<String, std::fmt::Error> {
        for phase in Phase::ALL {
            let count = phases.get(&phase).copied().unwrap_or(0);
            self.clusters.get_or_create(&vec![("phase", phase.to_string())]).set(count);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Measure for Metrics {
    fn tick(&self, took: Duration) {
        self.ticks.observe(took.as_secs_f64());
    }

    fn action(&self, name: &'static str) {
        self.actions.get_or_create(&vec![("action", name.to_owned())]).inc();
    }

    fn failure(&self, kind: &str) {
        self.errors.get_or_create(&vec![("kind", kind.to_owned())]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_in_the_text() {
        let metrics = Metrics::new();
        metrics.tick(Duration::from_millis(3));
        metrics.action("launch");
        metrics.failure("Quota");
        metrics.called("POST", Some(201));
        metrics.called("GET", None);
        metrics.leads(true);
        let text = metrics.text(&BTreeMap::from([(Phase::Ready, 2)])).unwrap();
        for line in [
            "crewcall_clusters{phase=\"Ready\"} 2",
            "crewcall_clusters{phase=\"Degraded\"} 0",
            "crewcall_leader 1",
            "crewcall_reconcile_seconds_count 1",
            "crewcall_actions_total{action=\"launch\"} 1",
            "crewcall_errors_total{kind=\"Quota\"} 1",
            "crewcall_api_requests_total{method=\"POST\",code=\"201\"} 1",
            "crewcall_api_requests_total{method=\"GET\",code=\"none\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
