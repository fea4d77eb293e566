//! Dask's RPC, as far as a controller needs it: framed msgpack over TCP or mutual TLS, calls strictly in turn.
//!
//! `codec` knows bytes, `connection` one connection, `scheduler` the operations that a scheduler answers; `nanny` what a
//! nanny is asked, `server` the connection to one.

mod address;
mod codec;
mod connection;
mod error;
#[cfg(test)]
mod fake;
mod nanny;
mod scheduler;
mod server;
mod status;
mod stock;
mod tunnel;

pub use address::{AddressError, DaskAddress, Transport};
pub use codec::{CodecError, MAX_DEPTH, MAX_FRAMES, MAX_VALUES};
pub use connection::{Bounds, Connection, Credentials, MESSAGE_LIMIT, Target, dial};
pub use error::{Awaited, RpcError};
pub use nanny::{NannyAnswer, NannyWish};
pub use scheduler::{
    RegisteredWorker, RetireMode, SchedulerClient, SchedulerIdentity, SoftwareVersions, WorkerActivity,
};
pub use server::serve_nanny;
pub use status::{MAX_WAIT, Ranking, STATUS_PROTOCOL, StatusQuestion};
pub use tunnel::{Tunnel, TunnelEnd};
