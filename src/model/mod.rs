//! What the parts of Crewcall tell each other: ids, nodes, observations, conditions, events.
//!
//! Pure data; nothing here reads a file, a clock or the environment.

mod cluster;
mod condition;
mod context;
mod engine_status;
mod event;
mod failure;
mod ids;
pub mod label;
mod launch;
mod ledger;
mod node;
mod observed;
mod passage;

pub use cluster::{
    ClusterKey, ClusterRecord, EndReason, Ending, Presence, Progress, RECORD_FORMAT, RecordCopies, Wanted,
};
pub use condition::{Condition, ConditionKind, ConditionStatus, Phase};
pub use context::{
    CallerContext, CallerEnvironment, Ec2Context, Interpreter, KubernetesContext, SoftwareVersions,
};
pub use engine_status::{Demand, Departure, EngineStatus, WorkerState, WorkerStatus};
pub use event::{Event, EventKind, Severity};
pub use failure::{ErrorKind, Residue, Stop, with_causes};
#[cfg(feature = "local")]
pub(crate) use ids::hexadecimal;
pub use ids::{BootId, ClusterUid, IdError, Incarnation, MachineId, NodeName, ObjectUid, Slot, TemplateHash};
pub use launch::{
    Choice, InstanceId, LaunchId, LaunchIntent, Launching, Machine, Money, RequestHash, Shortage,
    SlotMachine, Spending,
};
pub use ledger::{
    AdaptiveSize, Anchoring, DrainReason, FailureNote, Failures, GroupLedger, HeldUp, Ledger, LetIn,
    SlotEntry, Stage,
};
pub use node::{NodeId, Role};
pub use observed::{AnchorState, Exit, NodeState, Observed, ObservedNode, Origin};
pub use passage::{Cut, Passage, WayIn};
