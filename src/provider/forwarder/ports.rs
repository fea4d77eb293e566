//! Which local ports a cluster gets. Pure.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::ClusterUid;

/// The local ports of one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ports {
    /// Leads to the scheduler.
    pub comm: u16,
    /// Leads to the dashboard.
    pub dashboard: u16,
}

/// Below the ports that Linux hands out by itself (`ip_local_port_range` begins at 32768): those may be taken by
/// any connection when the forwarder comes back for them.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// How many pairs are tried before the system may choose.
const PAIRS: u8 = 32;

/// Pairs to try in this order: those that the cluster had, then some that follow from its uid, so that they are the
/// same when the record is lost, and at last any that are free (0).
pub fn candidates(uid: &ClusterUid, had: Option<Ports>) -> impl Iterator<Item = Ports> {
    let uid = uid.clone();
    let derived = (0..PAIRS).map(move |attempt| {
        let digest = Sha256::digest([uid.as_str().as_bytes(), &[attempt]].concat());
        let number = digest.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        // Pairs begin at even ports, so that those of two clusters never overlap by one.
        let offset = u16::try_from(number % u32::from(COUNT / 2)).unwrap_or(0) * 2;
        Ports { comm: FIRST + offset, dashboard: FIRST + offset + 1 }
    });
    had.into_iter().chain(derived).chain([Ports { comm: 0, dashboard: 0 }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_gets_the_ports_it_had_first() {
        let uid = ClusterUid::from_random(7);
        let had = Ports { comm: 4711, dashboard: 4712 };
        assert_eq!(candidates(&uid, Some(had)).next(), Some(had));
    }

    #[test]
    fn ports_follow_from_the_uid_and_are_none_that_the_system_hands_out() {
        let uid = ClusterUid::from_random(7);
        let one: Vec<Ports> = candidates(&uid, None).collect();
        assert_eq!(one, candidates(&uid, None).collect::<Vec<_>>());
        assert_ne!(one[0], candidates(&ClusterUid::from_random(8), None).next().unwrap());
        let (last, chosen) = one.split_last().unwrap();
        assert_eq!(*last, Ports { comm: 0, dashboard: 0 });
        for ports in chosen {
            assert!((20_000..30_000).contains(&ports.comm), "{ports:?}");
            assert_eq!(ports.dashboard, ports.comm + 1);
        }
    }
}
