//! What a document's values must satisfy together, whichever way the document arrived.
//!
//! Rules run over the plain types and name fields by path; `load` turns paths into places in the
//! text, and [`validate`] leaves them as they are.

mod addresses;
mod ec2;
mod kubernetes;
mod machines;
mod names;
mod pod_spec;
mod pods;
mod problem;
mod sizes;
mod software;

pub(super) use names::is_variable;
pub use problem::{Invalid, Mark, Problem, Target, problems, validate};
