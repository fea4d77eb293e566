//! Dask: what its processes are started with, and how to talk to them.

pub mod rpc;
