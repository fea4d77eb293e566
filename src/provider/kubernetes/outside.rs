//! The way to a scheduler whose Service is open to the outside.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{client::KubernetesClient, names::COMM_PORT};

/// How long a connection may take that shows that there is a route.
const CONNECT: Duration = Duration::from_secs(1);

/// How often it is asked whether there is a way by now: load balancers take minutes to be made.
const AGAIN: Duration = Duration::from_secs(10);

/// What is known of such a way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outside {
    /// The scheduler's pod that this is about, by its uid.
    pod: String,
    /// When it was last looked for.
    looked: Option<Instant>,
    /// Host and port, once somebody has connected there from here. It stays for the pod's life.
    found: Option<String>,
}

impl Outside {
    /// Host and port of the way to the scheduler in `pod`, on that Kubernetes node; `None`: from here there is none.
    pub async fn look(
        self,
        client: &KubernetesClient,
        service: &str,
        pod: &str,
        node: &str,
    ) -> (Self, Option<String>) {
        let known = if self.pod == pod { self } else { Self { pod: pod.to_owned(), ..Self::default() } };
        let lately = known.looked.is_some_and(|looked| looked.elapsed() < AGAIN);
        if known.found.is_some() || lately {
            let found = known.found.clone();
            return (known, found);
        }
        let place = match client.service(service).await {
            Ok(Some(service)) => place(&service, node),
            Ok(None) => None,
            Err(error) => {
                tracing::debug!("no look at the Service {service}: {error}");
                None
            }
        };
        let found = match place {
            Some(place) if is_open(&place).await => Some(place),
            _ => None,
        };
        (Self { looked: Some(Instant::now()), found: found.clone(), ..known }, found)
    }
}

/// Where a Service can be reached from outside, as host and port.
fn place(service: &Service, node: &str) -> Option<String> {
    if let Some(host) = balancer_of(service) {
        return Some(host_and_port(&host, COMM_PORT));
    }
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let comm = ports.iter().find(|port| port.port == i32::from(COMM_PORT))?;
    let port = u16::try_from(comm.node_port?).ok()?;
    Some(host_and_port(node, port))
}

/// The host of a Service's load balancer, once it has one.
pub fn balancer_of(service: &Service) -> Option<String> {
    let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?;
    ingress.hostname.clone().or_else(|| ingress.ip.clone())
}

fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn is_open(place: &str) -> bool {
    matches!(timeout(CONNECT, TcpStream::connect(place)).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_load_balancer_comes_before_the_port_of_a_node() {
        let ports = json!([{ "port": 8787, "nodePort": 30001 }, { "port": 8786, "nodePort": 30002 }]);
        let mut service = json!({ "spec": { "ports": ports } });
        let of =
            |value: &serde_json::Value| place(&serde_json::from_value(value.clone()).unwrap(), "fd00::1");
        assert_eq!(of(&service).as_deref(), Some("[fd00::1]:30002"));
        service["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }] } });
        assert_eq!(of(&service).as_deref(), Some("192.0.2.7:8786"));
        assert_eq!(of(&json!({ "spec": { "ports": [{ "port": 8786 }] } })), None);
    }
}
