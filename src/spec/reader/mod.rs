//! The tree read as a document: every mistake in keys, types and units is collected.

mod document;
mod ec2;
mod fields;
mod kubernetes;
mod shapes;
mod values;

pub(super) use document::read;
pub(super) use fields::Place;
pub(super) use shapes::{ALL as SHAPES, Shape};
