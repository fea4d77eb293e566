//! What only EC2 has: where machines are, who may reach them, what they are, and what they may cost.

mod machine;
mod settings;

pub use machine::{Architecture, DiskSpec, InstanceType, MachineTemplate, Purchase, VolumeType};
pub use settings::{ANYWHERE, AddressKind, Ec2Spec, InstanceProfiles, TaskCredentials};
