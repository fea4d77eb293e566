//! What things are called in AWS, and by which tags they are found again. Pure.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::{
    model::{ClusterKey, ClusterUid, LaunchId, Money, Role, TemplateHash},
    security::Identity,
    spec::{ClusterName, GroupName, InstanceType},
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
    /// What it costs an hour, in millionths of a dollar, by the document's prices; `TYPE=PRICE` for each type that the
    /// launch could have been of, where these are several.
    pub const HOURLY: &str = "crewcall:hourly";
    /// Only where clients need more than an address: how they reach the scheduler.
    pub const REACH: &str = "crewcall:reach";
    /// When the anchor was made, which EC2 itself does not say of a security group; the same form.
    pub const CREATED_AT: &str = "crewcall:created-at";
    /// When it is to be gone whatever happens, as RFC 3339 in UTC, by the second.
    pub const EXPIRES_AT: &str = "crewcall:expires-at";
    /// The fleet that a machine came by, as EC2 itself says.
    pub const FLEET: &str = "aws:ec2:fleet-id";
}

/// The value of [`tag::REACH`] on machines that are reached through AWS Systems Manager.
pub const SESSION_MANAGER: &str = "session-manager";

/// Where the scheduler listens for Dask's protocol.
pub const COMM_PORT: u16 = 8786;

/// Where the scheduler serves its dashboard to whoever has a certificate.
pub const DASHBOARD_PORT: u16 = 8787;

/// Most characters of a tag's value.
const MOST_OF_A_TAG: usize = 256;

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

/// Below which the copies of a cluster's record are. No machine's role may read there, so that nothing in it need be
/// hard to guess.
pub fn copies(installation: &str, cluster: &ClusterUid) -> String {
    format!("{}/{cluster}-copy/controller", parameters_of(installation))
}

/// A piece of a copy, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyPiece {
    /// Which state of the record it is of.
    pub generation: u64,
    /// Which text: pieces of two that were kept for one state do not make one.
    pub digest: String,
    /// Which piece, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

impl CopyPiece {
    /// All pieces of a text, in their order.
    pub fn all(generation: u64, text: &str, of: usize) -> impl Iterator<Item = Self> {
        let digest = Sha256::digest(text);
        let digest: String =
            digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        (1..=of).map(move |number| Self { generation, digest: digest.clone(), number, of })
    }

    /// The parameter's name.
    pub fn name(&self, copies: &str) -> String {
        let Self { generation, digest, number, of } = self;
        format!("{copies}/{generation}-{digest}.{number}-{of}")
    }

    /// From a parameter's name.
    pub fn named(copies: &str, name: &str) -> Option<Self> {
        let (state, piece) = name.strip_prefix(copies)?.strip_prefix('/')?.split_once('.')?;
        let (generation, digest) = state.split_once('-')?;
        let (number, of) = piece.split_once('-')?;
        let (generation, digest) = (generation.parse().ok()?, digest.to_owned());
        Some(Self { generation, digest, number: number.parse().ok()?, of: of.parse().ok()? })
    }
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

/// Tags that what belongs to a group has beside those.
pub fn group_tags(
    cluster: &ClusterName,
    group: &GroupName,
    template: &TemplateHash,
) -> BTreeMap<String, String> {
    BTreeMap::from(
        [
            (tag::NAME, format!("{cluster}-{group}")),
            (tag::ROLE, role_name(role_of(group)).to_owned()),
            (tag::GROUP, group.to_string()),
            (tag::TEMPLATE, template.as_str().to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    )
}

/// Tags that a machine has beside those of its cluster. `hourly`: as [`hourly_tag`] has it.
pub fn machine_tags(
    cluster: &ClusterName,
    group: &GroupName,
    launch: &LaunchId,
    template: &TemplateHash,
    expires_at: Option<jiff::Timestamp>,
    hourly: Option<String>,
) -> BTreeMap<String, String> {
    let mut tags = group_tags(cluster, group, template);
    tags.insert(tag::LAUNCH.to_owned(), launch.to_string());
    tags.extend(hourly.map(|hourly| (tag::HOURLY.to_owned(), hourly)));
    tags.extend(expires_at.map(|at| (tag::EXPIRES_AT.to_owned(), moment(at))));
    tags
}

/// What machines of one launch cost, as the tag [`tag::HOURLY`] has it: the price, or those of several types by their
/// names, as many as there is room for. `None` where there is no price.
pub fn hourly_tag(prices: &[(&InstanceType, Option<Money>)]) -> Option<String> {
    if let [(_, price)] = prices {
        return price.map(|price| price.0.to_string());
    }
    let pairs = prices.iter().filter_map(|(name, price)| Some(format!("{name}={}", (*price)?.0)));
    let mut text = String::new();
    for pair in pairs {
        let between = if text.is_empty() { "" } else { " " };
        if text.len() + between.len() + pair.len() > MOST_OF_A_TAG {
            break;
        }
        text.extend([between, &pair]);
    }
    (!text.is_empty()).then_some(text)
}

/// What a machine of that type costs by the tag [`tag::HOURLY`].
pub fn hourly_of(tag: &str, instance_type: &str) -> Option<Money> {
    let of_type = || tag.split(' ').find_map(|pair| pair.strip_prefix(instance_type)?.strip_prefix('='));
    tag.parse().ok().or_else(|| of_type()?.parse().ok()).map(Money)
}

/// The launch template of a group's machines. Its name has a digest of what is in it: what it says stays so.
pub fn launch_template(cluster: &ClusterUid, group: &GroupName, data: &str) -> String {
    let digest = Sha256::digest(data);
    let first: [u8; 8] = std::array::from_fn(|index| digest[index]);
    format!("crewcall-{cluster}-{group}-{:016x}", u64::from_be_bytes(first))
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
        assert_eq!(cluster_of_parameter("here", &name), Some(cluster.clone()));
        assert_eq!(cluster_of_parameter("there", &name), None);
        assert_eq!(cluster_of_parameter("here", "/crewcall/here/other"), None);
        let copies = copies("here", &cluster);
        let second = CopyPiece::all(7, "text", 3).nth(1).unwrap();
        assert_ne!(Some(&second), CopyPiece::all(7, "other", 3).nth(1).as_ref());
        let piece = second.name(&copies);
        assert_eq!(CopyPiece::named(&copies, &piece), Some(second));
        assert_eq!(cluster_of_parameter("here", &piece), Some(cluster));
        assert!(!piece.contains("/scheduler/") && !piece.contains("/worker/"), "what machines may read");
        assert_eq!(files(&name, 2).last().unwrap(), &format!("{name}.2"));
    }

    #[test]
    fn a_tag_has_the_price_of_each_type_that_a_machine_may_be_of() {
        let types: Vec<InstanceType> =
            (0..20).map(|n| format!("m7i-flex{n}.metal-24xl").parse().unwrap()).collect();
        let prices: Vec<_> =
            types.iter().zip(1..).map(|(name, price)| (name, Some(Money(price * 1_000_000)))).collect();
        assert_eq!((hourly_tag(&[]), hourly_tag(&[(&types[0], None)])), (None, None));
        let one = hourly_tag(&prices[..1]).unwrap();
        assert_eq!((one.as_str(), hourly_of(&one, "whatever.large")), ("1000000", Some(Money(1_000_000))));
        let two = hourly_tag(&prices[..2]).unwrap();
        assert_eq!(two, "m7i-flex0.metal-24xl=1000000 m7i-flex1.metal-24xl=2000000");
        assert_eq!(hourly_of(&two, "m7i-flex1.metal-24xl"), Some(Money(2_000_000)));
        assert_eq!(hourly_of(&two, "m7i-flex1.metal"), None);
        let unknown = hourly_tag(&[(&types[0], None), prices[1]]).unwrap();
        assert_eq!(hourly_of(&unknown, "m7i-flex0.metal-24xl"), None);
        let all = hourly_tag(&prices).unwrap();
        assert!(all.len() <= MOST_OF_A_TAG && all.ends_with("000000"), "{all}");
    }

    #[test]
    fn times_are_cut_to_the_second_and_read_back() {
        let at: jiff::Timestamp = "2026-11-23T09:21:10.75Z".parse().unwrap();
        assert_eq!(moment(at), "2026-11-23T09:21:10Z");
        assert_eq!(moment(at).parse::<jiff::Timestamp>().unwrap().as_second(), at.as_second());
    }
}
