//! What goes into calls to AWS, as plain types.

mod choices;
mod contents;
mod fleet;
mod group;
mod launch;
mod user_data;

pub use choices::{LaunchChoice, Market, Place, Pool, PricedType, choices, launching};
pub use contents::{BuildError, Contents, MAX_PARAMETER, contents};
pub use fleet::{FleetCall, TemplateCall, fleet, fleet_trial, one_subnet_of_each_zone};
pub use group::{ClientBlock, client_blocks};
pub use launch::{Disk, Installed, InstancesCall, LaunchData, launch, trial};
pub use user_data::{MAX_USER_DATA, user_data};

#[cfg(test)]
mod tests;
