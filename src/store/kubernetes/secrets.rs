//! Certificates and keys of a cluster, as Secrets of its namespace.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};

use super::{
    slot::Place,
    store::{Failed, KubernetesStore},
    words::words,
};
use crate::{
    model::label,
    store::{SecretName, StoreError},
};

fn key(name: SecretName) -> &'static str {
    match name {
        SecretName::AuthorityCertificate => "ca.crt",
        SecretName::AuthorityKey => "ca.key",
        SecretName::ClientCertificate => "client.crt",
        SecretName::ClientKey => "client.key",
        SecretName::SchedulerCertificate => "scheduler.crt",
        SecretName::SchedulerKey => "scheduler.key",
        SecretName::WorkerCertificate => "worker.crt",
        SecretName::WorkerKey => "worker.key",
        SecretName::ControllerCertificate => "controller.crt",
        SecretName::ControllerKey => "controller.key",
    }
}

/// What the operator alone reads.
fn authority(place: &Place) -> String {
    format!("{}-ca", place.name)
}

/// What clients show, and the Role that lets somebody read it.
fn client(place: &Place) -> String {
    format!("{}-client", place.name)
}

impl KubernetesStore {
    /// Keeps secrets that were just made; those of whoever was first stay.
    pub(super) async fn keep_secrets(
        &self,
        place: &Place,
        secrets: &[(SecretName, &str)],
    ) -> Result<(), StoreError> {
        let data: BTreeMap<&str, &str> = secrets.iter().map(|(name, text)| (key(*name), *text)).collect();
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": place.metadata(&authority(place)),
            "type": "Opaque",
            "immutable": true,
            "stringData": data,
        });
        self.make(place, "api/v1", "secrets", &object).await
    }

    /// All secrets of a cluster, once they are whole; what clients need is made from them.
    pub(super) async fn read_secrets(
        &self,
        place: &Place,
    ) -> Result<Option<BTreeMap<SecretName, String>>, StoreError> {
        let name = authority(place);
        let api: Api<Secret> = Api::namespaced(self.client().clone(), &place.namespace);
        let found = api.get_opt(&name).await.map_err(|error| {
            Failed::Other(words(&error)).into_error("read", format!("secret {}/{name}", place.namespace))
        })?;
        let Some(found) = found else { return Ok(None) };
        if !is_ours(place, found.metadata.labels.as_ref()) {
            return Err(taken(place, "secrets", &name));
        }
        let mut data = found.data.unwrap_or_default();
        let secrets: BTreeMap<SecretName, String> = SecretName::ALL
            .into_iter()
            .filter_map(|name| Some((name, String::from_utf8(data.remove(key(name))?.0).ok()?)))
            .collect();
        if !secrets.contains_key(&SecretName::ControllerKey) {
            return Ok(None);
        }
        self.let_clients_in(place, &secrets).await?;
        Ok(Some(secrets))
    }

    /// The Secret with what clients show, and a Role that allows to read it. Who has that Role is for others to say.
    async fn let_clients_in(
        &self,
        place: &Place,
        secrets: &BTreeMap<SecretName, String>,
    ) -> Result<(), StoreError> {
        let name = client(place);
        let text = |name| secrets.get(&name).map_or("", String::as_str);
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": place.metadata(&name),
            "type": "kubernetes.io/tls",
            "immutable": true,
            "stringData": {
                "ca.crt": text(SecretName::AuthorityCertificate),
                "tls.crt": text(SecretName::ClientCertificate),
                "tls.key": text(SecretName::ClientKey),
            },
        });
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": place.metadata(&name),
            "rules": [{ "apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get"] }],
        });
        self.make(place, "api/v1", "secrets", &secret).await?;
        self.make(place, "apis/rbac.authorization.k8s.io/v1", "roles", &role).await
    }

    /// Makes an object, unless the cluster has it.
    async fn make(
        &self,
        place: &Place,
        group: &str,
        plural: &'static str,
        object: &Value,
    ) -> Result<(), StoreError> {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let path = format!("/{group}/namespaces/{}/{plural}", place.namespace);
        let uri = format!("{path}?fieldManager={}&fieldValidation=Strict", label::CREWCALL);
        let request = hyper::http::Request::post(uri)
            .header(hyper::http::header::CONTENT_TYPE, "application/json")
            .body(object.to_string().into_bytes());
        let described = || format!("{plural} {}/{name}", place.namespace);
        match self.call::<Value>(request).await {
            Ok(_) => Ok(()),
            Err(Failed::Conflict(_)) => {
                let request = hyper::http::Request::get(format!("{path}/{name}")).body(Vec::new());
                let found = self.call::<Value>(request).await;
                let found = found.map_err(|failed| failed.into_error("read", described()))?;
                let labels = found.pointer("/metadata/labels").cloned().unwrap_or_default();
                let labels = serde_json::from_value(labels).ok();
                if is_ours(place, labels.as_ref()) { Ok(()) } else { Err(taken(place, plural, name)) }
            }
            Err(failed) => Err(failed.into_error("make", described())),
        }
    }
}

fn is_ours(place: &Place, labels: Option<&BTreeMap<String, String>>) -> bool {
    labels.and_then(|labels| labels.get(label::CLUSTER_UID)).is_some_and(|uid| uid == place.cluster.as_str())
}

fn taken(place: &Place, plural: &'static str, name: &str) -> StoreError {
    StoreError::Server {
        doing: "use",
        object: format!("{plural} {}/{name}", place.namespace),
        cause: "it is not this cluster's; give the cluster another name, or remove that object yourself"
            .to_owned(),
    }
}
