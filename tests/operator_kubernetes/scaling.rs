//! Who else sets the size of a group, and how clusters are reached from outside.

use serde_json::{Value, json};

use crate::stage::{Stage, stage};

/// An autoscaler for the default group of a cluster. Outside of its bounds it needs no metrics.
fn autoscaler(cluster: &str, least: u32, most: u32) -> String {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": cluster },
        "spec": {
            "scaleTargetRef": { "apiVersion": "crewcall.dev/v1alpha1", "kind": "ComputeCluster", "name": cluster },
            "minReplicas": least, "maxReplicas": most,
            "metrics": [{
                "type": "Resource",
                "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 } },
            }],
        },
    })
    .to_string()
}

#[test]
fn a_horizontal_pod_autoscaler_sets_the_size_of_a_fixed_group() {
    let Some(stage) = stage() else { return };
    let _operator = stage.operator(&[], &[]);
    stage.apply(&Stage::document("demo", "replicas: 1"));
    stage.until_ready("demo", 1);
    stage.apply(&autoscaler("demo", 2, 3));
    stage.until_ready("demo", 2);
    // What it counts for the mean of a metric.
    let scale = stage.done(&["get", "computecluster", "demo", "--subresource=scale", "-o", "json"], "");
    let scale: Value = serde_json::from_str(&scale).unwrap();
    let selector = scale["status"]["selector"].as_str().unwrap();
    let workers = stage.done(&["get", "pods", "-l", selector, "-o", "name"], "");
    assert_eq!(workers.lines().count(), 2, "{selector}: {workers}");
    stage.apply(&autoscaler("demo", 1, 1));
    stage.until_ready("demo", 1);
    stage.done(&["delete", "hpa", "demo"], "");
    stage.done(&["delete", "computecluster", "demo"], "");
    stage.until_empty();
}

#[test]
fn the_address_of_a_load_balancer_is_the_endpoint_once_there_is_one() {
    let Some(stage) = stage() else { return };
    let operator = stage.operator(&[], &[]);
    let document = Stage::document("demo", "replicas: 0");
    stage.apply(&document.replace("{kubernetes: {}}", "{kubernetes: {endpoint: LoadBalancer}}"));
    let within = stage.until_ready("demo", 0)["status"]["endpoint"].clone();
    assert_eq!(within, format!("tls://demo-scheduler.{}.svc:8786", stage.namespace()), "{}", operator.log());
    let given = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }] } } }).to_string();
    stage.done(
        &["patch", "service", "demo-scheduler", "--subresource=status", "--type=merge", "-p", &given],
        "",
    );
    let reached = stage.until("demo", "its load balancer", |cluster| {
        cluster["status"]["endpoint"] == "tls://192.0.2.7:8786"
    });
    assert_eq!(reached["status"]["dashboard"], "https://192.0.2.7:8787/status");
    stage.done(&["delete", "computecluster", "demo"], "");
    stage.until_empty();
}
