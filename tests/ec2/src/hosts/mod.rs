//! Hosts that really boot: systemd in a network namespace, from a machine image that all of them share.
//!
//! Needs root, `systemd-nspawn`, `ip`, `iptables` and overlayfs; `tests/ec2/run build` makes the image.

mod command;
mod firewall;
mod keeper;
mod machine;
mod network;
mod service;

pub use command::CommandError;
pub use firewall::rules;
pub use keeper::{Keeper, Lab};
pub use network::Network;
pub use service::serve_metadata;
