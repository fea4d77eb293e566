//! The forwarder: a small process per cluster that keeps local ports to its scheduler and dashboard.
//!
//! Clients on this machine connect to the local ports; each connection travels on the cluster's way to the scheduler
//! of that moment: through an API server's port-forward to a pod, or straight to a machine's one open port. It outlives
//! the controller, because a broken connection makes Dask cancel what its client was waiting for, and ends with the
//! cluster.

mod bounded_log;
mod carry;
mod dashboard;
mod direct;
mod end;
mod files;
mod gate;
mod hearing;
mod hold;
mod listen;
mod managed;
mod ports;
mod process;
mod record;
mod request;
mod request_head;
#[cfg(feature = "ec2")]
mod session;
#[cfg(not(feature = "ec2"))]
#[path = "session_elsewhere.rs"]
mod session;
mod startup;
mod status;
mod status_board;
mod way;

#[cfg(feature = "ec2")]
pub(in crate::provider) use self::session::end_session;
#[cfg_attr(
    not(feature = "kubernetes"),
    expect(unused_imports, reason = "its way is the one to fail for long")
)]
pub(in crate::provider) use self::{
    end::End,
    gate::{Gate, Refuser},
    managed::managed,
    status_board::StatusBoard,
    way::Refusal,
};
pub use hearing::board_changes;
pub use hold::{Forwarders, Held};
pub use ports::Ports;
pub use process::{ForwarderArguments, ForwarderError, run_forwarder};
pub use record::ForwarderRecord;
pub use request::{
    ApiTarget, DashboardAccess, Destination, ForwardRequest, MachineTarget, PodTarget, SessionTarget,
    TlsFiles,
};
pub use status::{Cut, Door, ForwarderStatus, Problem};
