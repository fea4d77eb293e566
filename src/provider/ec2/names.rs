//! What things are called in AWS, and by which tags they are found again. Pure.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::{
    model::{ClusterKey, ClusterUid, LaunchId, Money, Role, TemplateHash},
    security::Identity,
    spec::{ClusterName, GroupName},
};

/// Keys of tags. Machines read them from their metadata service, which takes neither blanks nor slashes.
pub mod tag {
    /// What people see.
    pub const NAME: &str = "Name";
    /// The cluster's name.
    pub const CLUSTER: &str = "crewcall:cluster";
    /// The cluster's uid, by which all that belongs to it is found.
    pub const CLUSTER_UID: &str = "crewcall:cluster-uid";
    /// Whose cluster it is.
    pub const INSTALLATION: &str = "crewcall:installation";
    /// `scheduler` or `worker`.
    pub const ROLE: &str = "crewcall:role";
    /// The group of workers.
    pub const GROUP: &str = "crewcall:group";
    /// The launch that made it.
    pub const LAUNCH: &str = "crewcall:launch";
    /// Fingerprint of the template.
    pub const TEMPLATE: &str = "crewcall:template";
    /// What it costs an hour, in millionths of a dollar, by the document's prices.
    pub const HOURLY: &str = "crewcall:hourly";
    /// When the anchor was made, which EC2 itself does not say of a security group; the same form.
    pub const CREATED_AT: &str = "crewcall:created-at";
    /// When it is to be gone whatever happens, as RFC 3339 in UTC, by the second.
    pub const EXPIRES_AT: &str = "crewcall:expires-at";
}

/// Where the scheduler listens for Dask's protocol.
pub const COMM_PORT: u16 = 8786;

/// Where the scheduler serves its dashboard to whoever has a certificate.
pub const DASHBOARD_PORT: u16 = 8787;

/// The anchor: the cluster's security group. Its name is unique for ever, as the uid is.
pub fn anchor(cluster: &ClusterUid) -> String {
    format!("crewcall-{cluster}")
}

/// A role as tags and names of parameters have it.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Scheduler => "scheduler",
        Role::Worker => "worker",
    }
}

/// What the members of a group do.
fn role_of(group: &GroupName) -> Role {
    if group.is_scheduler() { Role::Scheduler } else { Role::Worker }
}

/// Below which all parameters of an installation are.
pub fn parameters_of(installation: &str) -> String {
    format!("/crewcall/{installation}")
}

/// The parameter with what the machines of a group, made from one template, must keep to themselves.
///
/// Its path has 128 bits that nobody can guess who does not hold the role's key, and that are the same in every
/// call: IAM keeps installations and roles apart, these bits the clusters of one installation.
pub fn secrets(
    installation: &str,
    cluster: &ClusterUid,
    group: &GroupName,
    template: &TemplateHash,
    identity: &Identity,
) -> String {
    let digest = Sha256::digest(format!("crewcall parameter {cluster} {}", identity.key.expose()));
    let first: [u8; 16] = std::array::from_fn(|index| digest[index]);
    let bits = u128::from_be_bytes(first);
    let role = role_name(role_of(group));
    format!("{}/{cluster}-{bits:032x}/{role}/{group}-{template}", parameters_of(installation))
}

/// The parameters with the files that go with it, which are no secret, in their order.
pub fn files(secrets: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{secrets}.{number}")).collect()
}

/// The cluster that a parameter of the installation belongs to.
pub fn cluster_of_parameter(installation: &str, name: &str) -> Option<ClusterUid> {
    let rest = name.strip_prefix(&parameters_of(installation))?.strip_prefix('/')?;
    rest.split_once('-')?.0.parse().ok()
}

/// Tags of everything of a cluster: the document's, ours over them.
pub fn tags(
    cluster: &ClusterKey,
    installation: &str,
    document: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut tags = document.clone();
    tags.extend(
        [
            (tag::NAME, cluster.name.as_str()),
            (tag::CLUSTER, cluster.name.as_str()),
            (tag::CLUSTER_UID, cluster.uid.as_str()),
            (tag::INSTALLATION, installation),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    tags
}

/// Tags that a machine has beside those, and with it its volume and interface.
pub fn machine_tags(
    cluster: &ClusterName,
    group: &GroupName,
    launch: &LaunchId,
    template: &TemplateHash,
    expires_at: Option<jiff::Timestamp>,
    hourly: Option<Money>,
) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::from(
        [
            (tag::NAME, format!("{cluster}-{group}")),
            (tag::ROLE, role_name(role_of(group)).to_owned()),
            (tag::GROUP, group.to_string()),
            (tag::LAUNCH, launch.to_string()),
            (tag::TEMPLATE, template.as_str().to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    tags.extend(hourly.map(|hourly| (tag::HOURLY.to_owned(), hourly.0.to_string())));
    tags.extend(expires_at.map(|at| (tag::EXPIRES_AT.to_owned(), moment(at))));
    tags
}

/// A time as the tag has it, cut to the second.
pub fn moment(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::PrivateKeyPem;

    #[test]
    fn a_parameter_tells_its_cluster_and_nobody_guesses_its_name() {
        let identity = |key: &str| Identity {
            ca: String::new(),
            cert: String::new(),
            key: PrivateKeyPem::new(key.to_owned()),
        };
        let cluster = ClusterUid::from_random(7);
        let name = |key: &str| {
            secrets("here", &cluster, &GroupName::workers(), &TemplateHash::new("abc"), &identity(key))
        };
        assert_eq!(name("a"), name("a"));
        assert_ne!(name("a"), name("b"));
        let name = name("a");
        assert_eq!(name.len(), "/crewcall/here/".len() + 16 + 1 + 32 + "/worker/workers-abc".len());
        assert!(name.ends_with("/worker/workers-abc"));
        assert_eq!(cluster_of_parameter("here", &name), Some(cluster));
        assert_eq!(cluster_of_parameter("there", &name), None);
        assert_eq!(cluster_of_parameter("here", "/crewcall/here/other"), None);
        assert_eq!(files(&name, 2).last().unwrap(), &format!("{name}.2"));
    }

    #[test]
    fn times_are_cut_to_the_second_and_read_back() {
        let at: jiff::Timestamp = "2026-11-23T09:21:10.75Z".parse().unwrap();
        assert_eq!(moment(at), "2026-11-23T09:21:10Z");
        assert_eq!(moment(at).parse::<jiff::Timestamp>().unwrap().as_second(), at.as_second());
    }
}
