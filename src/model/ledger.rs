//! The durable part of what the controller has decided: intents, drains, failures.
//!
//! A ledger is written before the calls that follow from it, so that a restart repeats the same
//! calls under the same names.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    EndReason, Incarnation, InstanceId, LaunchId, LaunchIntent, NodeId, NodeName, Shortage, Slot,
    SlotMachine, Spending, TemplateHash,
};
use crate::spec::{ClusterName, GroupName};

/// What was decided and may have been begun.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// Whether the anchor was made.
    #[serde(default)]
    pub anchor: Anchoring,
    /// Since when an anchor that was seen is not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor_missing_since: Option<Timestamp>,
    /// Failures to make the anchor.
    #[serde(default, skip_serializing_if = "Failures::is_none")]
    pub anchor_failures: Failures,
    /// By group; the scheduler is a group of one.
    #[serde(default)]
    pub groups: BTreeMap<GroupName, GroupLedger>,
    /// Which coming ends were announced.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ends_announced: BTreeSet<EndReason>,
    /// Since when the cluster may have been idle for all that is known: the start of its idleness, or
    /// else the last time that anybody looked. Noted now and then, and only with an `idleTimeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_from: Option<Timestamp>,
    /// What some tasks ask for that no group has, as it was announced.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unsatisfiable: BTreeSet<String>,
    /// Launches of which not all is known that came of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub launches: BTreeMap<LaunchId, LaunchIntent>,
    /// What the cluster has cost, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spending: Option<Spending>,
    /// The generation of which a copy is kept where the cluster is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_generation: Option<u64>,
    /// Whom the anchor lets in, where addresses decide that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub let_in: Option<LetIn>,
}

/// The clients for whom an anchor is made, as the document names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LetIn {
    /// It was begun.
    Asked(Vec<String>),
    /// It is done.
    Done(Vec<String>),
}

/// How far the anchor is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Anchoring {
    /// Asked for, not yet seen.
    #[default]
    Intended,
    /// Seen.
    Made,
}

/// The slots of one group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupLedger {
    /// Every slot that was ever filled; an entry stays when the slot is empty, so that no name is
    /// used twice.
    #[serde(default)]
    pub slots: BTreeMap<Slot, SlotEntry>,
    /// What failed lately.
    #[serde(default, skip_serializing_if = "Failures::is_none")]
    pub failures: Failures,
    /// The generation at which a scale-down was given up for want of a recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_at_generation: Option<u64>,
    /// The size of an adaptive group; `None` of a fixed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<AdaptiveSize>,
    /// How long starts take, from the intent to the registration, in milliseconds; the newest weighs
    /// as much as all before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_millis: Option<u64>,
    /// Set while launches find no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortage: Option<Shortage>,
}

/// The size of an adaptive group, and what is known for its next change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdaptiveSize {
    /// How many workers the group should have now.
    pub wanted: u32,
    /// The last change and why, for a person: `2 to 6 workers, because …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
    /// Workers with nothing to do while the group has more than it needs, and since when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub idle: BTreeMap<Slot, Timestamp>,
    /// Set while the group keeps idle workers whose data nobody can take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_up: Option<HeldUp>,
}

/// Idle workers stay, because nobody could take their data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldUp {
    /// Tries in a row that came to nothing.
    pub tries: u32,
    /// When the newest did.
    pub at: Timestamp,
}

/// The newest filling of a slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotEntry {
    /// Which filling this is.
    pub incarnation: Incarnation,
    /// How far it is.
    pub stage: Stage,
    /// Since when it is in this stage.
    pub since: Timestamp,
    /// What it is made from.
    pub template: TemplateHash,
    /// Since when the scheduler no longer sees a worker that it saw before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen_since: Option<Timestamp>,
    /// Its machine, where the provider names nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<SlotMachine>,
    /// What its machine was last reported to do while it boots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booting: Option<String>,
}

/// How far a slot's node is, as far as a restart must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The slot is empty. A node of this name that still exists is to be removed.
    Vacant,
    /// The creating call may have been made.
    Intended,
    /// The provider has it.
    Launched,
    /// The engine has seen it.
    Registered,
    /// It hands its data over, to be removed.
    Draining(DrainReason),
}

/// Why a node is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DrainReason {
    /// Its group has more than it was told to have.
    ScaleDown,
    /// Its adaptive group does not need it, and it has had nothing to do for a while.
    Idle,
    /// Its template was changed, and its successor is there.
    Rolled,
    /// Its group was taken out of the document.
    GroupRemoved,
    /// Its provider takes it back, and it hands its data over by itself.
    TakenBack,
}

/// What failed in a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    /// Failures since the last success, those of one moment counted once.
    pub streak: u32,
    /// The newest.
    pub last: Option<FailureNote>,
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureNote {
    /// When.
    pub at: Timestamp,
    /// Which node, if one.
    pub node: Option<NodeName>,
    /// What, for a person.
    pub message: String,
}

impl Failures {
    /// Whether nothing has failed lately.
    pub fn is_none(&self) -> bool {
        self.streak == 0 && self.last.is_none()
    }
}

impl SlotEntry {
    /// A slot of which no more is known.
    pub fn new(incarnation: Incarnation, stage: Stage, since: Timestamp, template: TemplateHash) -> Self {
        Self { incarnation, stage, since, template, unseen_since: None, machine: None, booting: None }
    }

    /// Whether the slot's node counts towards its group's size.
    pub fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Intended | Stage::Launched | Stage::Registered)
    }

    /// Whether the slot's node hands its data over.
    pub fn is_draining(&self) -> bool {
        matches!(self.stage, Stage::Draining(_))
    }

    /// What the provider calls the slot's node, if it is known.
    pub fn instance(&self) -> Option<&InstanceId> {
        match &self.machine {
            Some(SlotMachine::Known(instance)) => Some(instance),
            Some(SlotMachine::Awaited(_)) | None => None,
        }
    }

    /// The launch that is to fill the slot, and has not done so yet.
    pub fn awaited(&self) -> Option<&LaunchId> {
        match &self.machine {
            Some(SlotMachine::Awaited(launch)) if self.stage == Stage::Intended => Some(launch),
            _ => None,
        }
    }

    /// Moves on to another stage.
    pub fn enter(&mut self, stage: Stage, now: Timestamp) {
        self.stage = stage;
        self.since = now;
        self.unseen_since = None;
    }
}

impl GroupLedger {
    /// The node that fills `slot` now, or filled it last.
    pub fn node(&self, cluster: &ClusterName, group: &GroupName, slot: Slot) -> Option<NodeId> {
        let entry = self.slots.get(&slot)?;
        Some(NodeId {
            cluster: cluster.clone(),
            group: group.clone(),
            slot,
            incarnation: entry.incarnation,
            instance: entry.instance().cloned(),
        })
    }
}
