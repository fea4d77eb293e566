//! Settings of a cluster on EC2.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InstanceType, MachineTemplate};
use crate::spec::{
    ClusterSpec, GroupName, ProviderSpec, TimeLimit, schema_parts as parts, types::is_default,
};

/// The word in `clientCidrs` for every address there is.
pub const ANYWHERE: &str = "anywhere";

/// Settings of the EC2 provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ec2Spec {
    /// The AWS region. Fixed for the cluster's life. Default: the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "parts::region")]
    pub region: Option<String>,
    /// Availability zones, in the order in which they are tried; their default subnets are used. Fixed for the
    /// cluster's life. Default: all that have one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "parts::zones")]
    pub zones: Vec<String>,
    /// Subnets of one VPC, in the order in which they are tried; instead of `zones`. Fixed for the cluster's life.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "parts::subnets")]
    pub subnets: Vec<String>,
    /// Which addresses clients, and machines among themselves, use. Fixed for the cluster's life. Default: `public`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub addresses: AddressKind,
    /// Blocks of addresses from which clients reach the scheduler's one open port; `anywhere` for all there are.
    /// Default: the caller's own address. Not with `addresses: sessionManager`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "parts::client_cidrs")]
    pub client_cidrs: Vec<String>,
    /// Names of the IAM instance profiles of the machines, as the Terraform module makes them; no cluster is made
    /// without. Fixed for the cluster's life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_profiles: Option<InstanceProfiles>,
    /// Whether tasks get the credentials of their machine's instance profile. Fixed for the cluster's life.
    /// Default: `none`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub task_credentials: TaskCredentials,
    /// A key pair for SSH, for looking at machines; it opens no port. Fixed for the cluster's life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "parts::aws_name")]
    pub key_name: Option<String>,
    /// Tags of everything that is made. Fixed for the cluster's life.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::tags")]
    pub tags: BTreeMap<String, String>,
    /// How long to wait before everything is tried again once no choice had capacity; `never`: give up. Default: 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_retry: Option<TimeLimit>,
    /// Prices of instance types in USD per hour, over those that Crewcall knows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parts::prices")]
    pub prices: BTreeMap<InstanceType, f64>,
    /// The cluster is torn down before its machines have cost more than this, in USD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "parts::amount_of_money")]
    pub max_cost: Option<f64>,
    /// No machine is started that would make the cluster cost more than this, in USD per hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "parts::amount_of_money")]
    pub max_hourly_cost: Option<f64>,
    /// All machines of the cluster, scheduler and workers. `ec2` of `scheduler`, `workers` and each of
    /// `workerGroups` goes over it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub machines: MachineTemplate,
}

/// By which addresses machines are reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AddressKind {
    /// Machines have a public address, by which clients reach the scheduler.
    #[default]
    Public,
    /// Machines have none: clients need a route to them.
    Private,
    /// Machines have none: clients come through a port forwarding of AWS Systems Manager, and no port is open.
    SessionManager,
}

/// IAM instance profiles: one that reads the scheduler's secrets, one that reads a worker's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstanceProfiles {
    /// The scheduler's.
    #[schemars(schema_with = "parts::profile_name")]
    pub scheduler: String,
    /// The workers'.
    #[schemars(schema_with = "parts::profile_name")]
    pub workers: String,
}

/// Whether tasks get AWS credentials from their machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TaskCredentials {
    /// They cannot reach the instance metadata service.
    #[default]
    None,
    /// They get those of the instance profile, which can read the cluster's own keys.
    InstanceProfile,
}

impl Ec2Spec {
    /// How long to wait, unless the document says, once no choice had capacity.
    pub const DEFAULT_CAPACITY_RETRY: std::time::Duration = std::time::Duration::from_mins(1);

    /// How long to wait before every choice is tried again; `None`: give up.
    pub fn capacity_retry(&self) -> Option<std::time::Duration> {
        self.capacity_retry.map_or(Some(Self::DEFAULT_CAPACITY_RETRY), TimeLimit::duration)
    }
}

impl ClusterSpec {
    /// The settings of the EC2 provider, if the cluster runs there.
    pub fn ec2(&self) -> Option<&Ec2Spec> {
        match &self.provider {
            ProviderSpec::Ec2(ec2) => Some(ec2),
            ProviderSpec::Local(_) | ProviderSpec::Kubernetes(_) => None,
        }
    }

    /// What the document says of a group's machines, or of the scheduler's: that of all machines, with the group's
    /// own over it. Empty where there are no machines, or no such group.
    pub fn machine_template(&self, group: &GroupName) -> MachineTemplate {
        let Some(ec2) = self.ec2() else {
            return MachineTemplate::default();
        };
        let own = if group.is_scheduler() {
            Some(&self.scheduler.ec2)
        } else {
            self.group(group).map(|group| &group.ec2)
        };
        own.map_or_else(MachineTemplate::default, |own| own.over(&ec2.machines))
    }
}
