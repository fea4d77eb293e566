//! What is counted of the loops' work.

use std::time::Duration;

/// Takes down what loops do, for whoever watches over them.
pub trait Measure: Send + Sync {
    /// A tick has taken so long.
    fn tick(&self, took: Duration);
    /// A call to a provider or engine was begun: `launch`, `drain`, …
    fn action(&self, name: &'static str);
    /// A tick or a call has failed, in this way.
    fn failure(&self, kind: &str);
}

/// Takes nothing down.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unmeasured;

impl Measure for Unmeasured {
    fn tick(&self, _: Duration) {}
    fn action(&self, _: &'static str) {}
    fn failure(&self, _: &str) {}
}
