//! What only Kubernetes has: how a cluster is reached there, and who may reach it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterSpec, GroupName, PodTemplate, ProviderSpec, schema_parts as parts, types::is_default};

/// Settings of the Kubernetes provider. The namespace is `metadata.namespace`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesSpec {
    /// The type of the scheduler's Service. Fixed for the cluster's life. Default: `ClusterIP`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub endpoint: EndpointKind,
    /// Annotations of the scheduler's Service, as load balancers read them. Fixed for the cluster's
    /// life.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::annotations")]
    pub service_annotations: BTreeMap<String, String>,
    /// Who may open connections to the cluster's pods. Fixed for the cluster's life.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network_policy: NetworkPolicySpec,
    /// All pods of the cluster, scheduler and workers. `kubernetes` of `scheduler`, `workers` and each of
    /// `workerGroups` goes over it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pods: PodTemplate,
}

/// How the scheduler is reached: the type of its Service, by Kubernetes' own names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EndpointKind {
    /// From within the Kubernetes cluster; from elsewhere through a forwarder.
    #[default]
    ClusterIP,
    /// Through a load balancer of the platform.
    LoadBalancer,
    /// Through a port of every Kubernetes node.
    NodePort,
}

/// The cluster's `NetworkPolicy`. It lets in the cluster's own pods, and who is named here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkPolicySpec {
    /// Whether there is one. Default: true.
    #[serde(default = "super::types::yes", skip_serializing_if = "super::types::is_yes")]
    pub enabled: bool,
    /// Who else may connect to the scheduler: peers as a `NetworkPolicy` has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "parts::network_peers")]
    pub clients: Vec<NetworkPeer>,
}

/// Pods by their labels and their namespace's, or a block of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkPeer {
    /// Pods with these labels; without `namespaceSelector`, in the cluster's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// Pods of namespaces with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// A block of addresses; stands alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_block: Option<IpBlock>,
}

/// What has all of these labels; `{}` is everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// The labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::labels")]
    pub match_labels: BTreeMap<String, String>,
}

/// A block of addresses with holes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IpBlock {
    /// The block, such as `10.0.0.0/8`.
    #[schemars(schema_with = "parts::cidr")]
    pub cidr: String,
    /// Blocks within it that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "parts::cidrs")]
    pub except: Vec<String>,
}

impl Default for NetworkPolicySpec {
    fn default() -> Self {
        Self { enabled: true, clients: Vec::new() }
    }
}

impl EndpointKind {
    /// Kubernetes' name of it, as in a Service's `spec.type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::LoadBalancer => "LoadBalancer",
            Self::NodePort => "NodePort",
        }
    }
}

impl ClusterSpec {
    /// The settings of the Kubernetes provider, if the cluster runs there.
    pub fn kubernetes(&self) -> Option<&KubernetesSpec> {
        match &self.provider {
            ProviderSpec::Kubernetes(kubernetes) => Some(kubernetes),
            ProviderSpec::Local(_) | ProviderSpec::Ec2(_) => None,
        }
    }

    /// What the document says of a group's pods, or of the scheduler's: that of all pods, with the
    /// group's own over it. Empty where there are no pods, or no such group.
    pub fn pod_template(&self, group: &GroupName) -> PodTemplate {
        let Some(kubernetes) = self.kubernetes() else {
            return PodTemplate::default();
        };
        let own =
            if group.is_scheduler() { Some(&*self.scheduler.kubernetes) } else { self.own_template(group) };
        own.map_or_else(PodTemplate::default, |own| own.over(&kubernetes.pods))
    }

    fn own_template(&self, group: &GroupName) -> Option<&PodTemplate> {
        self.group(group).map(|group| &*group.kubernetes)
    }
}
