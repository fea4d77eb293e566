//! What the policy does, told as stories, and what it never does, whatever happens.

mod adapting;
mod anchoring;
mod batches;
mod checks;
mod ending;
mod failing;
mod growing;
mod properties;
mod restarting;
mod rolling;
mod shrinking;
mod simulator;
mod speed;
mod story;
