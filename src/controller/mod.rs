//! The loop: one per cluster, driven by hints, timers and finished actions.

mod cell;
mod clock;
mod engine_watch;
mod identities;
mod operations;
mod reconciler;
mod view;

pub use cell::ClusterCell;
pub use clock::{Clock, SystemClock};
pub use identities::IdentityError;
pub use reconciler::{Reconciler, Tools};
pub use view::{Awaited, ClientFiles, ClusterView, GroupView, NodePhase, NodeView};
