//! The loop, one per cluster, driven by hints, timers and finished actions; and what can be asked
//! of all of them together.

mod actions;
mod cell;
mod clock;
mod create;
mod engine_watch;
mod failpoint;
mod fleet;
mod gc;
mod identities;
mod operations;
pub mod process;
mod reconciler;
mod requests;
mod resize;
mod summary;
mod turn;
mod view;

pub use cell::ClusterCell;
pub use clock::{Clock, SystemClock};
pub use create::{Listener, described, summary};
pub use fleet::{Fleet, FleetTools, Installation};
pub use identities::IdentityError;
pub use reconciler::{Reconciler, Tools};
pub use requests::{
    CreateMode, CreateOutcome, CreateReply, CreateRequest, Fate, Leftover, Listed, RequestError,
    ScaleRequest, Sweep, Unplaced,
};
pub use summary::ClusterSummary;
pub use view::{Awaited, ClientFiles, ClusterView, GroupView, NodePhase, NodeView};
