//! Clusters that an operator looks after, through their custom resources and with a person's own rights.
//!
//! ```text
//! create, scale ─► ComputeCluster.spec ─► the operator ─► .status, Events, Secret NAME-client
//! get, watch ◄──── a view from spec and status ◄─────────────┘
//! reach ◄───────── the Secret as files, and a forwarder of this machine
//! ```

mod accept;
mod answers;
mod asked;
mod event;
mod shared;
mod story;
mod view;

pub use shared::Resources;
