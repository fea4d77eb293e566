//! The calls to AWS that a provider makes, in plain types: made by the client, or by a fake in tests.

use std::{collections::BTreeMap, net::IpAddr};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    build::{ClientBlock, FleetCall, InstancesCall, TemplateCall},
    observe::SeenInstance,
};
use crate::{
    model::{CallerEnvironment, ClusterUid, Ec2Context, InstanceId, LaunchId},
    provider::ProviderError,
};

/// The calls that are used. Each is one of AWS' actions, or all pages of one; none tries again by policy of its own.
#[async_trait]
pub trait Ec2Api: Send + Sync {
    /// The region that is asked.
    fn region(&self) -> &str;

    /// Which account and region, and where credentials for them are found; `None`: of an account that is imagined.
    fn context(&self) -> Option<&Ec2Context> {
        None
    }

    /// The address of AWS Systems Manager, as machines of the region reach it.
    fn machines_ssm(&self) -> String;

    /// Takes over credentials that the caller has in the environment, if there are some.
    fn renew(&self, environment: &CallerEnvironment);

    /// The address from which the caller is seen; `None`: nobody could tell.
    async fn callers_address(&self) -> Option<IpAddr>;

    /// Instances by their tags, those in every state that EC2 still shows; all pages, or an error.
    async fn instances(&self, of: &Belonging) -> Result<Vec<SeenInstance>, ProviderError>;

    /// Makes between one and `count` instances in one call.
    async fn run_instances(&self, call: &InstancesCall) -> Result<Vec<InstanceId>, ProviderError>;

    /// Makes a launch template. Its name is unique in a region.
    async fn create_template(&self, call: &TemplateCall) -> Result<(), ProviderError>;

    /// Launch templates by their tags.
    async fn templates(&self, of: &Belonging) -> Result<Vec<SeenTemplate>, ProviderError>;

    /// Removes a launch template by its name.
    async fn delete_template(&self, name: &str) -> Result<(), ProviderError>;

    /// Makes at most `count` instances in one call, from whichever pools have room, if any has.
    async fn create_fleet(&self, call: &FleetCall) -> Result<Filled, ProviderError>;

    /// Ids of the records of fleets, by their tags. Those that are deleted may be among them.
    async fn fleets(&self, of: &ClusterUid) -> Result<Vec<String>, ProviderError>;

    /// Removes records of fleets, at most 25 in one call, and what instances they have; those that are gone are removed.
    async fn delete_fleets(&self, fleets: &[String]) -> Result<(), ProviderError>;

    /// Ends instances, at most 1,000 in one call.
    async fn terminate(&self, instances: &[InstanceId]) -> Result<(), ProviderError>;

    /// Sets tags of instances, at most 1,000 in one call.
    async fn tag(
        &self,
        instances: &[InstanceId],
        tags: &BTreeMap<String, String>,
    ) -> Result<(), ProviderError>;

    /// Removes a tag of instances.
    async fn untag(&self, instances: &[InstanceId], key: &str) -> Result<(), ProviderError>;

    /// What an instance has written to its console; empty where nothing is there yet.
    async fn console(&self, instance: &InstanceId) -> Result<String, ProviderError>;

    /// What a machine image calls its root volume.
    async fn root_device(&self, ami: &str) -> Result<Option<String>, ProviderError>;

    /// The VPC of a subnet.
    async fn vpc_of_subnet(&self, subnet: &str) -> Result<String, ProviderError>;

    /// The zones of subnets, by the subnets' ids.
    async fn zones_of(&self, subnets: &[String]) -> Result<BTreeMap<String, String>, ProviderError>;

    /// Security groups by their tags.
    async fn groups(&self, of: &Belonging) -> Result<Vec<SeenGroup>, ProviderError>;

    /// Makes a security group; its id. Its name is unique in a VPC.
    async fn create_group(&self, call: &GroupCall) -> Result<String, ProviderError>;

    /// Lets the members of a group reach each other.
    async fn let_members_in(&self, group: &str) -> Result<(), ProviderError>;

    /// Opens the clients' ports to blocks of addresses.
    async fn let_in(&self, group: &str, blocks: &[ClientBlock]) -> Result<(), ProviderError>;

    /// Closes the clients' ports to blocks of addresses.
    async fn shut_out(&self, group: &str, blocks: &[ClientBlock]) -> Result<(), ProviderError>;

    /// Removes a security group; one that is gone is removed.
    async fn delete_group(&self, group: &str) -> Result<(), ProviderError>;

    /// The values of all parameters below a path, decrypted, by their names.
    async fn parameter_values(&self, path: &str) -> Result<BTreeMap<String, String>, ProviderError>;

    /// Names of all parameters below a path.
    async fn parameters(&self, path: &str) -> Result<Vec<String>, ProviderError>;

    /// Makes a parameter, or replaces its value.
    async fn put_parameter(&self, call: &ParameterCall) -> Result<(), ProviderError>;

    /// Removes parameters, at most ten in one call; those that are gone are removed.
    async fn delete_parameters(&self, names: &[String]) -> Result<(), ProviderError>;
}

/// To whom things belong that are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belonging {
    /// To a cluster.
    Cluster(ClusterUid),
    /// To a launch of a cluster.
    Launch(ClusterUid, LaunchId),
    /// To all clusters of an installation.
    Installation(String),
    /// To the clusters of all installations.
    Anybody,
}

/// A security group as EC2 shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenGroup {
    /// Its id.
    pub id: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Whether its members may reach each other.
    pub members_are_in: bool,
    /// Who may reach the clients' ports.
    pub clients: Vec<ClientBlock>,
}

/// A launch template as EC2 shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTemplate {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What came of a fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filled {
    /// All that it has made.
    pub instances: Vec<InstanceId>,
    /// Why there are not more.
    pub refusals: Vec<PoolRefusal>,
}

/// Why a fleet got nothing from a pool, or not enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRefusal {
    /// Which pool, for people: `m7i.large in us-east-1a`.
    pub pool: String,
    /// AWS' code of the error.
    pub code: String,
    /// AWS' own words.
    pub message: String,
}

/// `CreateSecurityGroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupCall {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// In which VPC; `None`: the default one.
    pub vpc: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// `PutParameter`.
#[derive(Clone, PartialEq, Eq)]
pub struct ParameterCall {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether its value is kept encrypted.
    pub secrecy: Secrecy,
}

/// Whether a parameter's value is kept encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// As a `SecureString`.
    Encrypted,
    /// As a `String`.
    Plain,
}

/// Without the value, which may be a secret.
impl std::fmt::Debug for ParameterCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParameterCall")
            .field("name", &self.name)
            .field("secrecy", &self.secrecy)
            .finish_non_exhaustive()
    }
}
