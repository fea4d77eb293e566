//! What is there in an account, and whose it is. Pure.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{
    api::{SeenGroup, SeenTemplate},
    names::{self, tag},
    observe::{self, InstanceState, SeenInstance},
};
use crate::{
    model::{ClusterUid, Money},
    provider::{Managed, Vitality},
    spec::ClusterName,
};

/// What is past the time that its tag says is ended by whoever sees it after so long: clocks differ.
const OVERDUE: Duration = Duration::from_mins(15);

/// Who looks, where and when.
pub struct Here<'a> {
    /// The id of the installation.
    pub installation: &'a str,
    /// The region.
    pub region: &'a str,
    /// The time.
    pub now: Timestamp,
}

impl Here<'_> {
    /// What the installation has made, by cluster, and machines of others that should have been gone.
    pub fn managed(
        &self,
        seen: Vec<SeenInstance>,
        groups: &[SeenGroup],
        templates: &[SeenTemplate],
    ) -> Vec<Managed> {
        let (seen, foreign): (Vec<_>, Vec<_>) =
            seen.into_iter().partition(|one| is_of(one, self.installation));
        let mut found: BTreeMap<ClusterUid, Found> = BTreeMap::new();
        let machines = seen.iter().filter(|one| is_there(one));
        let machines = machines.map(|one| (&one.tags, Some(one), Some(one.launched_at)));
        let made = |tags: &BTreeMap<String, String>| tags.get(tag::CREATED_AT)?.parse().ok();
        let anchors = groups.iter().map(|group| (&group.tags, None, made(&group.tags)));
        let templates = templates.iter().map(|template| (&template.tags, None, Some(template.made_at)));
        for (tags, machine, since) in machines.chain(anchors).chain(templates) {
            let Some(uid) = tags.get(tag::CLUSTER_UID).and_then(|text| text.parse().ok()) else { continue };
            let found = found.entry(uid).or_default();
            found.name = found.name.take().or_else(|| tags.get(tag::CLUSTER)?.parse().ok());
            found.machines += u32::from(machine.is_some());
            found.oldest = found.oldest.into_iter().chain(since).min();
            let price = machine.and_then(|machine| observe::hourly(machine, self.region));
            found.hourly = found.hourly.into_iter().chain(price).reduce(Money::plus);
        }
        let own = found.into_iter().map(|(cluster, found)| managed(cluster, found, self.now));
        own.chain(expired(&foreign, self.region, self.now)).collect()
    }
}

/// Whether a machine is not gone yet.
pub fn is_there(seen: &SeenInstance) -> bool {
    seen.state != InstanceState::Terminated
}

/// Whether an installation has made a machine.
fn is_of(seen: &SeenInstance, installation: &str) -> bool {
    seen.tags.get(tag::INSTALLATION).is_some_and(|id| id == installation)
}

/// Whether a machine should have been gone for a while, by its own tag.
pub fn is_expired(seen: &SeenInstance, now: Timestamp) -> bool {
    let ends = matches!(seen.state, InstanceState::ShuttingDown | InstanceState::Terminated);
    let until = seen.tags.get(tag::EXPIRES_AT).and_then(|text| text.parse::<Timestamp>().ok());
    let over = until.map(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default());
    !ends && over.is_some_and(|over| over > OVERDUE)
}

/// Machines of other installations that should be gone, by cluster.
fn expired(foreign: &[SeenInstance], region: &str, now: Timestamp) -> Vec<Managed> {
    let mut found: BTreeMap<ClusterUid, Vec<&SeenInstance>> = BTreeMap::new();
    for one in foreign.iter().filter(|one| is_expired(one, now)) {
        if let Some(uid) = one.tags.get(tag::CLUSTER_UID).and_then(|text| text.parse().ok()) {
            found.entry(uid).or_default().push(one);
        }
    }
    let machines = |(cluster, machines): (ClusterUid, Vec<&SeenInstance>)| {
        let first = machines.first().copied();
        let own = Found {
            name: first.and_then(|one| one.tags.get(tag::CLUSTER)?.parse().ok()),
            machines: u32::try_from(machines.len()).unwrap_or(u32::MAX),
            oldest: machines.iter().map(|one| one.launched_at).min(),
            hourly: machines.iter().filter_map(|one| observe::hourly(one, region)).reduce(Money::plus),
        };
        let own = managed(cluster, own, now);
        let description =
            format!("{} of another installation, past its tag {}", own.description, tag::EXPIRES_AT);
        Managed { description, vitality: Vitality::Expired, ..own }
    };
    found.into_iter().map(machines).collect()
}

/// What is there of a cluster.
#[derive(Default)]
struct Found {
    name: Option<ClusterName>,
    machines: u32,
    oldest: Option<Timestamp>,
    hourly: Option<Money>,
}

fn managed(cluster: ClusterUid, found: Found, now: Timestamp) -> Managed {
    let Found { name, machines, oldest, hourly } = found;
    let what = match machines {
        0 => "a security group or launch templates, without machines".to_owned(),
        1 => "1 machine".to_owned(),
        _ => format!("{machines} machines"),
    };
    let called = name.as_ref().map_or_else(|| cluster.to_string(), ToString::to_string);
    let description = format!("{what} of cluster {called}");
    // What does not say when it was made counts as new.
    let age =
        oldest.map_or(Duration::ZERO, |at| Duration::try_from(now.duration_since(at)).unwrap_or_default());
    let vitality = if machines == 0 { Vitality::Dead } else { Vitality::Alive };
    Managed { id: names::anchor(&cluster), cluster, name, description, age, vitality, hourly }
}
