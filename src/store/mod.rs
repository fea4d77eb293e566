//! Where wanted state and intents last.

mod contract;

pub use contract::{SecretName, Store, StoreError, Unreadable};
