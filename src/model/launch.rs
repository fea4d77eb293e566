//! Nodes that are made in batches and named by their provider: launches, instances, and what they cost.

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ClusterUid, Incarnation, Slot, TemplateHash, ids::hexadecimal};
use crate::spec::GroupName;

hexadecimal!(
    /// One batched creating call; in the tags of everything that it makes: 16 lowercase hexadecimal digits.
    LaunchId, u64, 16, "launch id"
);

impl LaunchId {
    /// The id of the launch whose first node fills `slot` for the `incarnation`-th time, decided at `at`.
    ///
    /// Neither position nor time alone would do: a record that was brought back from a backup counts
    /// incarnations that were used before.
    pub fn of(
        cluster: &ClusterUid,
        group: &GroupName,
        slot: Slot,
        incarnation: Incarnation,
        at: Timestamp,
    ) -> Self {
        let text = format!("{cluster} {group} {slot} {incarnation} {}", at.as_nanosecond());
        let digest = Sha256::digest(text);
        let bits = digest.iter().take(8).fold(0, |bits: u64, byte| bits << 8 | u64::from(*byte));
        Self::from_random(bits)
    }

    /// What makes the launch of `cluster` one call, however often it is made: 42 characters of
    /// `[a-z0-9-]`. EC2 allows 64 of ASCII.
    pub fn token(&self, cluster: &ClusterUid) -> String {
        format!("crewcall-{cluster}-{self}")
    }
}

/// What a provider names a machine: `i-0abc…`. The name of its node is `<cluster>-<group>-<instance>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(String);

impl InstanceId {
    /// Takes the text as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Stands for the id in what a whole launch runs; each machine puts its own in its place.
    pub fn placeholder() -> Self {
        Self::new("{instance}")
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Fingerprint of all that a launch is made from: the same token must never go with another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestHash(String);

impl RequestHash {
    /// Of a request, written out: 16 hexadecimal digits.
    pub fn of(request: &str) -> Self {
        let digest = Sha256::digest(request);
        let first: [u8; 8] = std::array::from_fn(|index| digest[index]);
        Self(format!("{:016x}", u64::from_be_bytes(first)))
    }
}

/// An amount of money, in millionths of a US dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(pub u64);

impl Money {
    /// What an hourly price comes to after `time`.
    #[must_use]
    pub fn for_time(self, time: Duration) -> Self {
        let amount = u128::from(self.0).saturating_mul(time.as_millis()) / 3_600_000;
        Self(u64::try_from(amount).unwrap_or(u64::MAX))
    }

    /// How long it takes until an hourly price comes to this; `None` when it costs nothing.
    pub fn lasts_at(self, hourly: Self) -> Option<Duration> {
        let millis = u128::from(self.0).saturating_mul(3_600_000).checked_div(u128::from(hourly.0))?;
        // One more: it has come to this when the time is over, not just before.
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX).saturating_add(1)))
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference; nothing when the other is more.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// As people write it: `$1.20`, and with up to four digits after the point when it is less than ten cents.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digits, unit) = if self.0 < 100_000 { (4, 100) } else { (2, 10_000) };
        let rounded = self.0.saturating_add(unit / 2) / unit;
        let whole = 10_u64.pow(digits);
        write!(f, "${}.{:0width$}", rounded / whole, rounded % whole, width = digits as usize)
    }
}

/// What a provider that launches in batches knows of a node beyond its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// The launch that made it, from its tags.
    pub launch: LaunchId,
    /// What it costs an hour, as long as it is there; `None`: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<Money>,
    /// When the provider takes it back, if it has given notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back_at: Option<Timestamp>,
    /// When it is to be gone whatever happens, from its tags; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What it has done since it booted, as it says itself, the newest last: `pulling the image`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
}

/// How a provider launches the nodes of one cluster; follows from the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launching {
    /// For each group, the scheduler's among them: what to ask for, the most preferred first. A launch
    /// asks for one of them. A group without any has a single one of which nothing is known.
    pub choices: BTreeMap<GroupName, Vec<Choice>>,
    /// Most nodes of one launch.
    pub largest: u32,
    /// When no choice has room, all are tried anew after so long.
    pub capacity_retry: Duration,
    /// What the cluster may cost in its life.
    pub max_cost: Option<Money>,
    /// What it may cost an hour.
    pub max_hourly_cost: Option<Money>,
}

/// What a launch can ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// For people: `m6i.large, spot, in eu-central-1a`.
    pub label: String,
    /// What a node of it costs an hour at most; `None`: nobody knows.
    pub hourly: Option<Money>,
}

/// The intent of a launch: noted before its call, forgotten when all is known that came of it.
///
/// The call of an intent that is there may have been made, and is made again with the same token until
/// it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchIntent {
    /// Of which group.
    pub group: GroupName,
    /// How many nodes the call asks for.
    pub count: u32,
    /// Which of the group's choices, from 0.
    pub choice: u32,
    /// What the nodes are made from.
    pub template: TemplateHash,
    /// Fingerprint of the call.
    pub request: RequestHash,
    /// Since when it is meant.
    pub at: Timestamp,
}

/// The machine of a slot whose node is named by the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SlotMachine {
    /// It comes from this launch.
    Awaited(LaunchId),
    /// This is it.
    Known(InstanceId),
}

/// A group's launches found no room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shortage {
    /// The choice to try next; as many as there are choices: none has room.
    pub next: u32,
    /// When the newest was refused.
    pub at: Timestamp,
    /// What the provider said.
    pub message: String,
}

/// What a cluster has cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spending {
    /// So much until `since`.
    pub spent: Money,
    /// From then on `hourly` is added.
    pub since: Timestamp,
    /// What it costs an hour.
    pub hourly: Money,
}

impl Spending {
    /// What the cluster has cost until `now`.
    pub fn until(&self, now: Timestamp) -> Money {
        let time = Duration::try_from(now.duration_since(self.since)).unwrap_or_default();
        self.spent.plus(self.hourly.for_time(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_is_another_one_at_another_time_or_position() {
        let (cluster, group) = (ClusterUid::from_random(7), GroupName::workers());
        let at = |slot, incarnation, second| {
            let at = Timestamp::from_second(second).unwrap();
            LaunchId::of(&cluster, &group, Slot(slot), Incarnation(incarnation), at)
        };
        let launches = [at(0, 0, 0), at(1, 0, 0), at(0, 1, 0), at(0, 0, 1)];
        let different: std::collections::BTreeSet<_> = launches.iter().collect();
        assert_eq!(different.len(), 4);
        assert_eq!(at(0, 0, 0), launches[0]);
        assert!(launches[0].token(&cluster).len() <= 64);
    }

    #[test]
    fn money_reads_as_people_write_it() {
        let texts =
            [0, 49, 50, 41_600, 99_960, 100_000, 1_234_567, 250_000_000].map(|m| Money(m).to_string());
        assert_eq!(
            texts,
            ["$0.0000", "$0.0000", "$0.0001", "$0.0416", "$0.1000", "$0.10", "$1.23", "$250.00"]
        );
    }

    #[test]
    fn an_hourly_price_lasts_until_it_comes_to_the_amount() {
        let (hourly, amount) = (Money(96_000), Money(1_000_000));
        let lasts = amount.lasts_at(hourly).unwrap();
        assert!(hourly.for_time(lasts) >= amount);
        assert!(hourly.for_time(lasts.saturating_sub(Duration::from_millis(100))) < amount);
        assert_eq!(amount.lasts_at(Money(0)), None);
        assert_eq!(Money(u64::MAX).lasts_at(Money(1)), Some(Duration::from_millis(u64::MAX)));
    }
}
