//! The calls to AWS that a provider makes, in plain types: made by the client, or by a fake in tests.

use std::{collections::BTreeMap, net::IpAddr};

use async_trait::async_trait;

use super::{
    build::{ClientBlock, InstancesCall},
    observe::SeenInstance,
};
use crate::{
    model::{CallerEnvironment, ClusterUid, InstanceId, LaunchId},
    provider::ProviderError,
};

/// The calls that are used. Each is one of AWS' actions, or all pages of one; none tries again by policy of its own.
#[async_trait]
pub trait Ec2Api: Send + Sync {
    /// The region that is asked.
    fn region(&self) -> &str;

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
