//! What an installation has in a namespace, cluster by cluster. Pure.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{
    client::{Metadata, Resource},
    names::label,
};
use crate::{
    model::KubernetesContext,
    provider::{Managed, Vitality},
};

/// Objects of one cluster.
#[derive(Default)]
struct Group {
    name: Option<String>,
    counts: BTreeMap<Resource, usize>,
    oldest: Option<Timestamp>,
}

/// What was found, as clusters.
pub fn managed(
    found: &[(Resource, Vec<Metadata>)],
    context: &KubernetesContext,
    now: Timestamp,
) -> Vec<Managed> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (resource, objects) in found {
        for object in objects {
            let Some(labels) = &object.labels else { continue };
            let Some(uid) = labels.get(label::CLUSTER_UID) else { continue };
            let group = groups.entry(uid.clone()).or_default();
            *group.counts.entry(*resource).or_default() += 1;
            group.name = group.name.take().or_else(|| labels.get(label::CLUSTER).cloned());
            let made = object.creation_timestamp.as_ref().map(|time| time.0);
            group.oldest = [group.oldest, made].into_iter().flatten().min();
        }
    }
    groups.into_iter().filter_map(|(uid, group)| one(&uid, &group, context, now)).collect()
}

fn one(uid: &str, group: &Group, context: &KubernetesContext, now: Timestamp) -> Option<Managed> {
    let name = group.name.as_deref().and_then(|name| name.parse().ok());
    let each: Vec<String> =
        group.counts.iter().map(|(resource, count)| format!("{} {count}", resource.as_str())).collect();
    let age = group.oldest.map_or(Duration::ZERO, |oldest| {
        Duration::try_from(now.duration_since(oldest)).unwrap_or(Duration::ZERO)
    });
    Some(Managed {
        cluster: uid.parse().ok()?,
        description: format!(
            "cluster {} ({uid}) in namespace {} of {}: {}",
            group.name.as_deref().unwrap_or("without a name"),
            context.namespace,
            context.server,
            each.join(", ")
        ),
        name,
        id: uid.to_owned(),
        age,
        vitality: if group.counts.contains_key(&Resource::Pods) { Vitality::Alive } else { Vitality::Dead },
        hourly: None,
    })
}
