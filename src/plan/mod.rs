//! All policy: from what is wanted and what is seen to what is to be done.
//!
//! Pure: [`plan`] is a function of its [`Situation`], the clock included. What it decides is in the
//! [`Plan`]'s ledger, which is made durable before any action is carried out.

mod adopting;
mod anchor;
mod backoff;
mod belt;
mod bind;
mod conditions;
mod converge;
mod copies;
mod cost;
mod draining;
mod launching;
mod machines;
mod operations;
mod outcome;
mod planner;
mod settle;
mod shortage;
mod situation;
mod size;
mod sizing;
mod template;
#[cfg(test)]
mod tests;
mod unseen;

pub use adopting::{Adoption, adopt};
pub use backoff::delay_after;
pub use bind::bind;
pub use conditions::phase;
pub use operations::{
    AnchorCall, CopyCall, DrainCall, ExpiryCall, LaunchCall, LaunchFailure, LaunchReply, MadeNodes,
    Operations,
};
pub use outcome::{Action, Outcome, Plan, PlannedLaunch, PlannedNode};
pub use planner::{needs_ranking, plan};
pub use situation::{EngineView, EnvironmentMatch, Facts, Situation, Surroundings};
pub use size::desired;
pub use template::template_hash;
pub use unseen::{unseen_action, unseen_conditions};
