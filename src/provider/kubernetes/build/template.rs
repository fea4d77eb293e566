//! What a document says of pods, over a pod as it is made for every cluster. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::spec::{Nulls, PodTemplate, merge};

/// Puts a template over a pod. What in the pod is not the document's to change, the document's rules
/// keep out of the template.
///
/// The result may have fields that no Pod has: the API server refuses them when it is asked to
/// validate strictly, and says which.
pub fn apply(template: &PodTemplate, pod: &mut Value) {
    if *template == PodTemplate::default() {
        return;
    }
    let metadata =
        present([("labels", json!(template.labels)), ("annotations", json!(template.annotations))]);
    let container = present([
        ("imagePullPolicy", json!(template.image_pull_policy)),
        ("resources", json!(template.resources)),
        ("securityContext", json!(template.container_security_context)),
        ("volumeMounts", json!(template.volume_mounts)),
    ]);
    let mut spec = present([
        ("nodeSelector", json!(template.node_selector)),
        ("tolerations", json!(template.tolerations)),
        ("affinity", json!(template.affinity)),
        ("priorityClassName", json!(template.priority_class_name)),
        ("serviceAccountName", json!(template.service_account_name)),
        ("imagePullSecrets", json!(template.image_pull_secrets)),
        ("volumes", json!(template.volumes)),
        ("securityContext", json!(template.security_context)),
    ]);
    if !container.is_empty() {
        let mut container = container;
        container.insert("name".to_owned(), json!(PodTemplate::CONTAINER));
        spec.insert("containers".to_owned(), json!([container]));
    }
    merge(pod, &json!({ "metadata": metadata, "spec": spec }), Nulls::Remove);
    merge(pod, &json!({ "spec": template.pod_spec }), Nulls::Remove);
}

/// The fields that say something.
fn present<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    let fields: BTreeMap<_, _> = fields.into_iter().collect();
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    fields.into_iter().filter(|(_, value)| says(value)).map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{GroupName, generated_yaml, load};

    /// As much of a pod as a template may meet.
    fn made() -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "demo-workers-0-1",
                "labels": {"app.kubernetes.io/managed-by": "crewcall", "team": "all"},
                "annotations": {"crewcall.dev/template": "0123"},
            },
            "spec": {
                "restartPolicy": "Never",
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 1000, "fsGroup": 1000,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [{
                    "name": "dask",
                    "image": "ghcr.io/dask/dask",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python"],
                    "env": [{"name": "HOME", "value": "/tmp"}],
                    "resources": {"requests": {"cpu": "1", "memory": "1024"}, "limits": {"memory": "1024"}},
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [
                        {"name": "crewcall-files", "mountPath": "/etc/crewcall", "readOnly": true},
                        {"name": "crewcall-work", "mountPath": "/tmp"},
                    ],
                }],
                "volumes": [{"name": "crewcall-files"}, {"name": "crewcall-work", "emptyDir": {}}],
            },
        })
    }

    fn applied(spec: &str, group: &GroupName) -> Value {
        let text = format!(
            "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: demo}}\nspec:\n{spec}"
        );
        let mut pod = made();
        apply(&load("test", &text).unwrap().cluster.spec.pod_template(group), &mut pod);
        pod
    }

    #[test]
    fn a_document_that_says_nothing_of_pods_leaves_them_as_they_are() {
        assert_eq!(applied("  provider: {kubernetes: {}}\n", &GroupName::workers()), made());
    }

    const EVERYTHING: &str = "
  provider:
    kubernetes:
      pods:
        labels: {team: etl}
        annotations: {note: all}
        nodeSelector: {pool: cheap}
        tolerations: [{key: spot, operator: Exists}]
        priorityClassName: low
        serviceAccountName: runner
        imagePullSecrets: [{name: login}]
        imagePullPolicy: Always
        volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
        volumeMounts: [{name: data, mountPath: /data}]
        securityContext: {fsGroup: 2000}
  scheduler:
    kubernetes: {priorityClassName: high, imagePullPolicy: IfNotPresent}
  workerGroups:
    gpu:
      kubernetes:
        nodeSelector: {pool: gpu}
        affinity: {podAntiAffinity: {}}
        resources: {limits: {nvidia.com/gpu: 1}}
        securityContext: {runAsUser: null}
        containerSecurityContext: {readOnlyRootFilesystem: true}
        volumeMounts: [{name: data, mountPath: /tmp}]
        podSpec:
          hostIPC: true
          securityContext: {seccompProfile: {type: Unconfined}}
          initContainers: [{name: logs, image: fluent-bit, restartPolicy: Always}]
          volumes: [{name: shm, emptyDir: {medium: Memory}}]
          containers:
            - name: dask
              env: [{name: HOME, value: /home/dask}, {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
              volumeMounts: [{name: shm, mountPath: /dev/shm}]
              resources: {requests: {cpu: null}}
";

    #[test]
    fn a_groups_pod_has_what_all_pods_have_what_the_group_has_and_its_part_of_a_pod_spec() {
        let pod = applied(EVERYTHING, &"gpu".parse().unwrap());
        insta::assert_snapshot!(generated_yaml(&pod).unwrap());
    }

    #[test]
    fn the_schedulers_pod_has_its_own() {
        let pod = applied(EVERYTHING, &GroupName::scheduler());
        insta::assert_snapshot!(generated_yaml(&pod).unwrap());
    }
}
