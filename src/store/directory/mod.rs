//! A store in a directory of the person's own: one folder per cluster.
//!
//! ```text
//! <state>/store.lock                     held while anything below `clusters` is changed
//! <state>/controller-<machine>.lock      held by the controller of that machine for its life
//! <state>/controller-<machine>.json      who that controller is
//! <state>/clusters/<name>/record.json    the record, replaced as a whole
//! <state>/clusters/<name>/events.jsonl   its history, one event per line
//! <state>/clusters/<name>/tls/*.pem      its secrets, for their owner only
//! <state>/clusters/<name>/logs/          what its nodes print
//! <state>/past/<name>.jsonl              the history of the last cluster of that name that has ended
//! <state>/clusters/.new-<uid>            a cluster that is being added
//! <state>/clusters/.removed-<uid>        a cluster that is being removed
//! ```
//!
//! A folder comes and goes by one rename, so that under a cluster's name there is always a whole
//! record or nothing. What a crash leaves has a name with a dot in front, and is deleted later.

mod events;
mod files;
mod folders;
mod lock;
mod past;
mod record;
mod store;
#[cfg(test)]
mod tests;

pub use lock::{ControllerInfo, ControllerLock};
pub use past::Past;
pub use store::DirectoryStore;
