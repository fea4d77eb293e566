//! Where wanted state and intents last.

mod contract;
mod directory;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;

pub use contract::{SecretName, Store, StoreError, Strangers, Unreadable};
pub use directory::{ControllerInfo, ControllerLock, DirectoryStore, Past};
