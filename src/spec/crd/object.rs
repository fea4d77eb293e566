//! From the object that the API server holds back to the document.

use serde_json::{Map, Value};

use crate::spec::{Document, LoadError, load};

/// Keys of `metadata` that are the document's; the others are the API server's.
const METADATA: [&str; 3] = ["name", "namespace", "labels"];

/// Reads and checks the document in a stored object, as [`load`] does with a file; `status` and what else the
/// API server keeps are left out.
///
/// An object may have been stored by older rules, or break one that only the parser knows: the error is for
/// the object's conditions, and no reason to stop.
pub fn document_of(object: &Value) -> Result<Document, LoadError> {
    let metadata = object.get("metadata").and_then(Value::as_object).into_iter().flatten();
    // Every object has a namespace; only pods make it a part of the document.
    let has_pods = object.pointer("/spec/provider/kubernetes").is_some();
    let metadata: Map<String, Value> = metadata
        .filter(|(key, _)| METADATA.contains(&key.as_str()) && (has_pods || *key != "namespace"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut document = Map::new();
    for key in ["apiVersion", "kind", "spec"] {
        if let Some(value) = object.get(key) {
            document.insert(key.to_owned(), value.clone());
        }
    }
    let name = metadata.get("name").and_then(Value::as_str).unwrap_or("object").to_owned();
    document.insert("metadata".to_owned(), Value::Object(metadata));
    load(&format!("computecluster/{name}"), &format!("{:#}", Value::Object(document)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::ProviderKind;

    #[test]
    fn what_the_api_server_adds_is_no_part_of_the_document() {
        let object = json!({
            "apiVersion": "crewcall.dev/v1alpha1", "kind": "ComputeCluster",
            "metadata": {"name": "demo", "namespace": "data", "uid": "1", "generation": 3, "managedFields": [{}]},
            "spec": {"provider": {"kubernetes": {"networkPolicy": {"enabled": true}}}, "tls": true,
                     "workers": {"cpu": 2, "memory": "2Gi"}},
            "status": {"phase": "Ready"},
        });
        let cluster = document_of(&object).unwrap().cluster;
        assert_eq!(cluster.spec.provider.kind(), ProviderKind::Kubernetes);
        assert_eq!(cluster.metadata.namespace.unwrap().as_str(), "data");
        assert_eq!(cluster.spec.workers.cpu.unwrap().millis(), 2000);
    }

    #[test]
    fn a_stored_object_that_is_no_document_is_an_error_with_every_reason() {
        let object =
            json!({"metadata": {"name": "demo"}, "spec": {"provider": {"kubernetes": {}}, "min": 1}});
        let error = document_of(&object).unwrap_err();
        assert!(error.diagnostics().len() >= 3, "{error}");
        assert!(document_of(&json!(null)).is_err());
    }
}
