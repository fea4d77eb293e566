//! How calls and replies look on the wire: forms in, XML or JSON out.

mod fields;
mod parameters;

pub(crate) use fields::escape;
pub use fields::{Fields, Value};
pub use parameters::Parameters;
