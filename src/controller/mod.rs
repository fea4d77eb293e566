//! The loop, one per cluster, driven by hints, timers and finished actions; and what can be asked
//! of all of them together.

mod actions;
mod adopting;
mod cell;
mod clock;
mod copies;
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
#[cfg(feature = "kubernetes")]
mod told;
mod turn;
mod view;

pub use cell::ClusterCell;
pub use clock::{Clock, SystemClock};
pub use create::{Listener, described, summary};
pub use fleet::{Fleet, FleetTools, Installation};
pub use identities::IdentityError;
pub use reconciler::{Reconciler, Tools};
pub use requests::{
    CreateMode, CreateOutcome, CreateReply, CreateRequest, Fate, Leftover, Listed, Meeting, RequestError,
    ScaleRequest, Sweep, Unplaced,
};
#[cfg(feature = "kubernetes")]
pub use resize::scaled;
pub use summary::ClusterSummary;
#[cfg(feature = "kubernetes")]
pub use told::Told;
pub use view::{Awaited, ClientFiles, ClusterView, GroupView, NodePhase, NodeView};
