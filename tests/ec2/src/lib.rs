//! An EC2 for tests.
//!
//! [`state`] is the service as a state machine: calls, time and a seed in; replies and effects out. [`wire`]
//! speaks its protocols, still without I/O, so that a test may put it under an SDK in its own process.
//! [`server`] opens a port for it, [`session`] carries connections to ports of machines, and [`hosts`] boots what is
//! launched.

pub mod error;
pub mod hosts;
pub mod metadata;
pub mod protocol;
pub mod server;
pub mod session;
pub mod state;
pub mod wire;
