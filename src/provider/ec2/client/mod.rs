//! The calls to AWS, with AWS' own SDK. Its types are known here alone.

mod calls;
mod failure;
mod fleets;
mod session;
mod sessions;
mod shapes;
mod trials;

pub use session::{Ec2Client, resolve};
pub use sessions::StartedSession;
