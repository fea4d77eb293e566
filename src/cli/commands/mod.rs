//! One file per verb.

mod completions;
mod controller;
mod create;
mod create_owned;
mod dashboard;
mod delete;
mod describe;
mod doctor;
mod env;
mod events;
#[cfg(all(any(feature = "kubernetes", feature = "ec2"), target_os = "linux"))]
mod forwarder;
#[cfg(feature = "kubernetes")]
mod gateway;
mod gc;
mod get;
#[cfg(all(feature = "local", target_os = "linux"))]
mod host;
mod list;
mod logs;
mod man;
#[cfg(feature = "kubernetes")]
mod operator;
mod run;
mod scale;
mod schema;

pub use completions::completions;
pub use controller::{controller, controller_process};
pub use create::create;
pub use dashboard::dashboard;
pub use delete::delete;
pub use describe::describe;
pub use doctor::doctor;
pub use env::env;
pub use events::events;
#[cfg(all(any(feature = "kubernetes", feature = "ec2"), target_os = "linux"))]
pub use forwarder::forwarder;
#[cfg(feature = "kubernetes")]
pub use gateway::gateway;
pub use gc::gc;
pub use get::get;
#[cfg(all(feature = "local", target_os = "linux"))]
pub use host::host;
pub use list::list;
pub use logs::logs;
pub use man::man;
#[cfg(feature = "kubernetes")]
pub use operator::operator;
pub use run::run;
pub use scale::scale;
pub use schema::schema;
