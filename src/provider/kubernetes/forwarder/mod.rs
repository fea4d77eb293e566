//! The forwarder: a small process per cluster that keeps local ports to its scheduler and dashboard.
//!
//! Clients on this machine connect to the local ports; each connection travels through the API server's
//! port-forward to the scheduler's pod of that moment. It outlives the controller, because a broken connection
//! makes Dask cancel what its client was waiting for, and ends when the cluster's anchor is gone.

mod api;
mod bounded_log;
mod dashboard;
mod files;
mod gate;
mod hearing;
mod hold;
mod kubeconfig;
mod listen;
mod ports;
mod process;
mod pulse;
mod record;
mod request;
mod request_head;
mod scheduler_pod;
mod startup;
mod status;
mod status_board;
mod tunnel;
mod watching;

pub(super) use hearing::board_changes;
pub use hold::{Forwarders, Held};
pub use ports::Ports;
pub use process::{ForwarderArguments, ForwarderError, run_forwarder};
pub use record::ForwarderRecord;
pub use request::{ApiTarget, DashboardAccess, ForwardRequest, TlsFiles};
pub use status::{Cut, Door, ForwarderStatus, Problem};
