//! Where wanted state and intents last.

mod contract;
mod directory;

pub use contract::{News, SecretName, Store, StoreError, Unreadable};
pub use directory::{ControllerInfo, ControllerLock, DirectoryStore};
