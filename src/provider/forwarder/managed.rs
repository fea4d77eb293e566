//! Forwarders as garbage collection sees them.

use std::time::Duration;

use jiff::Timestamp;

use super::hold::{Forwarders, Held};
use crate::provider::{FORWARDER, Managed, ProviderError, Vitality};

/// The forwarders to what has that name in their records.
pub fn managed(forwarders: &Forwarders, server: &str, now: Timestamp) -> Result<Vec<Managed>, ProviderError> {
    let held = forwarders.list()?;
    let here = |held: &Held| held.record.as_ref().is_none_or(|record| record.server == server);
    Ok(held.iter().filter(|held| here(held)).map(|held| one(forwarders, held, now)).collect())
}

fn one(forwarders: &Forwarders, held: &Held, now: Timestamp) -> Managed {
    let since = forwarders.since(&held.cluster).unwrap_or(now);
    let name = held.record.as_ref().map(|record| record.cluster.name.clone());
    let called = name.as_ref().map_or_else(|| held.cluster.to_string(), ToString::to_string);
    let (what, vitality) = if held.alive {
        ("the forwarder", Vitality::Alive)
    } else {
        ("what a forwarder left", Vitality::Dead)
    };
    Managed {
        cluster: held.cluster.clone(),
        name,
        id: format!("{FORWARDER}{}", held.cluster),
        description: format!("{what} of cluster {called} ({}) on this machine", held.cluster),
        age: Duration::try_from(now.duration_since(since)).unwrap_or_default(),
        vitality,
        hourly: None,
    }
}
