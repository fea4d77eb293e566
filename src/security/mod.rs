//! Who may talk to whom: one certificate authority per cluster, one leaf per role.
//!
//! Python's TLS checks the chain alone. Rust also checks the role, which is a DNS name in the certificate and has
//! nothing to do with the address that is dialled.

mod authority;
mod error;
mod identity;
mod role;
mod tls;

pub use authority::{ClusterAuthority, MAX_LIFETIME};
pub use error::SecurityError;
pub use identity::{Identity, PrivateKeyPem};
pub use role::{CertificateRole, san, server_name};
pub use tls::{client_config, expiry, peer_role, server_config};
