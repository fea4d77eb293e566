//! What runs in a cluster.

pub mod dask;
