//! The controller as a process: started on demand, found, replaced, ended; asked over its socket.

#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

#[path = "controller/api.rs"]
mod api;
#[path = "controller/cluster.rs"]
mod cluster;
#[path = "controller/directories.rs"]
mod directories;
#[path = "controller/life.rs"]
mod life;
#[path = "controller/reading.rs"]
mod reading;
#[path = "controller/support.rs"]
mod support;
