//! What only Kubernetes has.

use super::{
    fields::{Field, Reader, code_path},
    shapes,
};
use crate::spec::{
    EndpointKind, Fragment, ImagePullPolicy, IpBlock, KubernetesSpec, LabelSelector, NetworkPeer,
    NetworkPolicySpec, PodResources, PodTemplate, PullSecret, Quantity, TaintEffect, Toleration,
    TolerationOperator,
    text::{closest, code, one_of},
};

impl Reader {
    pub(super) fn kubernetes(&mut self, field: &Field<'_>) -> Option<KubernetesSpec> {
        let fields = self.fields(field, &shapes::KUBERNETES)?;
        Some(KubernetesSpec {
            endpoint: self.optional(&fields, "endpoint", Self::endpoint).unwrap_or_default(),
            service_annotations: self
                .optional(&fields, "serviceAnnotations", Self::texts)
                .unwrap_or_default(),
            network_policy: self.optional(&fields, "networkPolicy", Self::network_policy).unwrap_or_default(),
            pods: self.optional(&fields, "pods", Self::pod_template).unwrap_or_default(),
        })
    }

    /// One of a few words, in the spelling that the document has.
    pub(super) fn word<T: Copy>(&mut self, field: &Field<'_>, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(field)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
        let help = match closest(&text, &known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("write one of {}", one_of(&known)),
        };
        self.refuse(field, format!("{} cannot be {}", code_path(&field.path), code(&text)), help)
    }

    fn endpoint(&mut self, field: &Field<'_>) -> Option<EndpointKind> {
        let kinds = [EndpointKind::ClusterIP, EndpointKind::LoadBalancer, EndpointKind::NodePort];
        self.word(field, &kinds.map(|kind| (kind.as_str(), kind)))
    }

    fn network_policy(&mut self, field: &Field<'_>) -> Option<NetworkPolicySpec> {
        let fields = self.fields(field, &shapes::NETWORK_POLICY)?;
        Some(NetworkPolicySpec {
            enabled: self.optional(&fields, "enabled", Self::boolean).unwrap_or(true),
            clients: self
                .optional(&fields, "clients", |reader, field| reader.list_of(field, Self::network_peer))
                .unwrap_or_default(),
        })
    }

    fn network_peer(&mut self, field: &Field<'_>) -> Option<NetworkPeer> {
        let fields = self.fields(field, &shapes::NETWORK_PEER)?;
        Some(NetworkPeer {
            pod_selector: self.optional(&fields, "podSelector", Self::label_selector),
            namespace_selector: self.optional(&fields, "namespaceSelector", Self::label_selector),
            ip_block: self.optional(&fields, "ipBlock", Self::ip_block),
        })
    }

    fn label_selector(&mut self, field: &Field<'_>) -> Option<LabelSelector> {
        let fields = self.fields(field, &shapes::LABEL_SELECTOR)?;
        let match_labels = self.optional(&fields, "matchLabels", Self::texts).unwrap_or_default();
        Some(LabelSelector { match_labels })
    }

    fn ip_block(&mut self, field: &Field<'_>) -> Option<IpBlock> {
        let fields = self.fields(field, &shapes::IP_BLOCK)?;
        let cidr = self.required(&fields, "cidr", "add the block, such as `cidr: 10.0.0.0/8`", Self::text);
        Some(IpBlock {
            except: self.optional(&fields, "except", Self::list).unwrap_or_default(),
            cidr: cidr.unwrap_or_default(),
        })
    }

    pub(super) fn pod_template(&mut self, field: &Field<'_>) -> Option<PodTemplate> {
        let fields = self.fields(field, &shapes::POD_TEMPLATE)?;
        let tolerations = |reader: &mut Self, field: &Field<'_>| reader.list_of(field, Self::toleration);
        let pull_secrets = |reader: &mut Self, field: &Field<'_>| reader.list_of(field, Self::pull_secret);
        let fragments = |reader: &mut Self, field: &Field<'_>| reader.list_of(field, Self::fragment);
        let fragment =
            |reader: &mut Self, key| reader.optional(&fields, key, Self::fragment).unwrap_or_default();
        Some(PodTemplate {
            labels: self.optional(&fields, "labels", Self::texts).unwrap_or_default(),
            annotations: self.optional(&fields, "annotations", Self::texts).unwrap_or_default(),
            node_selector: self.optional(&fields, "nodeSelector", Self::texts).unwrap_or_default(),
            tolerations: self.optional(&fields, "tolerations", tolerations).unwrap_or_default(),
            affinity: fragment(self, "affinity"),
            priority_class_name: self.optional(&fields, "priorityClassName", Self::text),
            service_account_name: self.optional(&fields, "serviceAccountName", Self::text),
            image_pull_secrets: self.optional(&fields, "imagePullSecrets", pull_secrets).unwrap_or_default(),
            image_pull_policy: self.optional(&fields, "imagePullPolicy", Self::image_pull_policy),
            volumes: self.optional(&fields, "volumes", fragments).unwrap_or_default(),
            volume_mounts: self.optional(&fields, "volumeMounts", fragments).unwrap_or_default(),
            security_context: fragment(self, "securityContext"),
            container_security_context: fragment(self, "containerSecurityContext"),
            resources: self.optional(&fields, "resources", Self::pod_resources).unwrap_or_default(),
            pod_spec: fragment(self, "podSpec"),
        })
    }

    fn fragment(&mut self, field: &Field<'_>) -> Option<Fragment> {
        self.config(field)
    }

    fn image_pull_policy(&mut self, field: &Field<'_>) -> Option<ImagePullPolicy> {
        let policies = [ImagePullPolicy::Always, ImagePullPolicy::IfNotPresent, ImagePullPolicy::Never];
        self.word(field, &policies.map(|policy| (policy.as_str(), policy)))
    }

    fn toleration(&mut self, field: &Field<'_>) -> Option<Toleration> {
        let fields = self.fields(field, &shapes::TOLERATION)?;
        let operators = [("Exists", TolerationOperator::Exists), ("Equal", TolerationOperator::Equal)];
        let effects = [
            ("NoSchedule", TaintEffect::NoSchedule),
            ("PreferNoSchedule", TaintEffect::PreferNoSchedule),
            ("NoExecute", TaintEffect::NoExecute),
        ];
        Some(Toleration {
            key: self.optional(&fields, "key", Self::text),
            operator: self.optional(&fields, "operator", |reader, field| reader.word(field, &operators)),
            value: self.optional(&fields, "value", Self::text),
            effect: self.optional(&fields, "effect", |reader, field| reader.word(field, &effects)),
            toleration_seconds: self.optional(&fields, "tolerationSeconds", Self::count),
        })
    }

    fn pull_secret(&mut self, field: &Field<'_>) -> Option<PullSecret> {
        let fields = self.fields(field, &shapes::PULL_SECRET)?;
        let name =
            self.required(&fields, "name", "name the Secret, such as `- name: registry-login`", Self::text)?;
        Some(PullSecret { name })
    }

    fn pod_resources(&mut self, field: &Field<'_>) -> Option<PodResources> {
        let fields = self.fields(field, &shapes::POD_RESOURCES)?;
        let quantity = |reader: &mut Self, field: &Field<'_>| {
            reader.quantity::<Quantity>(field, "a quantity such as `1` or `10Gi`")
        };
        let quantities = |reader: &mut Self, field: &Field<'_>| reader.map_of(field, quantity);
        Some(PodResources {
            requests: self.optional(&fields, "requests", quantities).unwrap_or_default(),
            limits: self.optional(&fields, "limits", quantities).unwrap_or_default(),
        })
    }
}
