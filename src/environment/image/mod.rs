//! The image that has the caller's software: which it would be, and which are like it. Pure.

mod error;
mod nearest;
mod reference;
mod template;

pub use error::ImageError;
pub use reference::{Digest, ImageReference};
pub use template::{ImageTemplate, PinnedImage};
