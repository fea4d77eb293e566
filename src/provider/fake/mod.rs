//! A world in memory, with a provider and an engine over it, for tests of what is above them.
//!
//! Time passes in it as it does for [`tokio::time`], so that a test on paused time is quick and
//! always the same. Nobody has to drive it: whatever is due happens when somebody looks.

mod engine;
mod people;
mod provider;
mod world;

pub use engine::FakeEngine;
pub use provider::FakeProvider;
pub use world::{Call, Habits, Mishap, World};
