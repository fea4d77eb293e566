//! The state machine: calls and time in, replies and effects out. No I/O, no clock, no randomness of its own.

mod admission;
mod capacity;
mod catalog;
mod cloud;
mod control;
mod describe;
mod devices;
mod filters;
mod fleets;
mod groups;
mod ids;
mod instances;
mod launch;
mod lifecycle;
mod quotas;
mod sessions;
mod settings;
mod ssm;
mod surroundings;
mod tags;
mod templates;

pub use admission::{Caller, Credentials, Fault, Mishap, Throttle, Verdict};
pub use capacity::{Market, Room};
pub use cloud::{Call, Cloud, Effect, Service};
pub use control::{Control, Setting};
pub use groups::{Direction, Peer, Rule};
pub use instances::{Behaviour, Instance, Metadata, Notice, Reason, State};
pub use sessions::{PORT_FORWARDING, Session};
pub use settings::{Hosts, Image, Policy, Settings, Subnet, matches};
pub use tags::Tags;
