//! The definition as a whole: names, columns, subresources, and the schema of all of it.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{ClusterStatus, structural::structural};
use crate::spec::{ClusterName, GeneratedError, generated_yaml, json_schema};

const PREFACE: &str = "# Made from the types of `crewcall`; `crewcall schema --crd` prints it.\n";

/// The `CustomResourceDefinition` of `computeclusters.crewcall.dev`, as the API server takes it.
pub fn custom_resource_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "computeclusters.crewcall.dev",
            // Clusters are not deleted with the chart that brought their definition.
            "annotations": {"helm.sh/resource-policy": "keep"},
            "labels": {"app.kubernetes.io/name": "crewcall", "app.kubernetes.io/part-of": "crewcall"},
        },
        "spec": {
            "group": "crewcall.dev",
            "scope": "Namespaced",
            "names": {
                "kind": "ComputeCluster",
                "listKind": "ComputeClusterList",
                "plural": "computeclusters",
                "singular": "computecluster",
                // `cc` is taken: the Cluster API's ClusterClass.
                "shortNames": ["ccl"],
                "categories": ["crewcall"],
            },
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.workers.replicas",
                        "statusReplicasPath": ".status.workers.ready",
                        "labelSelectorPath": ".status.workers.selector",
                    },
                },
                "additionalPrinterColumns": columns(),
                "schema": {"openAPIV3Schema": schema()},
            }],
        },
    })
}

/// The definition as the file in the chart: YAML without any template's braces.
pub fn manifest() -> Result<String, GeneratedError> {
    Ok(format!("{PREFACE}{}", generated_yaml(&custom_resource_definition())?))
}

fn columns() -> Value {
    let column = |name: &str, path: &str, description: &str| json!({"name": name, "type": "string", "jsonPath": path, "description": description});
    let wide = |mut column: Value| {
        if let Some(fields) = column.as_object_mut() {
            fields.insert("priority".to_owned(), json!(1));
        }
        column
    };
    let mut age = column("Age", ".metadata.creationTimestamp", "Since when it is wanted");
    if let Some(fields) = age.as_object_mut() {
        fields.insert("type".to_owned(), json!("date"));
    }
    json!([
        column("Phase", ".status.phase", "All in one word"),
        column("Workers", ".status.workers.text", "Workers that take work, of those wanted"),
        column("Endpoint", ".status.endpoint", "Where clients connect"),
        column("Dashboard", ".status.dashboard", "Where the dashboard is"),
        wide(column("Image", ".spec.environment.image", "What scheduler and workers run")),
        wide(column(
            "Reason",
            ".status.conditions[?(@.type==\"Degraded\")].reason",
            "What keeps failing, or cannot be had",
        )),
        wide(column(
            "Message",
            ".status.conditions[?(@.type==\"Degraded\")].message",
            "The same, for a person"
        )),
        age,
    ])
}

fn schema() -> Value {
    let mut made = structural(&json_schema());
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut status = generator.into_root_schema_for::<ClusterStatus>().to_value();
    crate::spec::schema::without_null(&mut status);
    if let Some(properties) = made.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("status".to_owned(), structural(&status));
        // The API server's own: of `metadata` it lets a schema restrict the name alone.
        properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
        properties.insert("kind".to_owned(), json!({"type": "string"}));
        let name = json!({
            "type": "string",
            "maxLength": ClusterName::MAX_LENGTH,
            "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        });
        properties.insert("metadata".to_owned(), json!({"type": "object", "properties": {"name": name}}));
    }
    if let Some(made) = made.as_object_mut() {
        made.insert("required".to_owned(), json!(["spec"]));
    }
    made
}
