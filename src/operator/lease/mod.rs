//! One operator of several leads: it holds a Lease, as Kubernetes' own controllers do.

mod decide;
mod hold;

pub use hold::{Held, Lease};
