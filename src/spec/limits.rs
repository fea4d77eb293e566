//! The most of everything: what the schema says and the rules check.

/// Workers in a group.
pub(super) const WORKERS: u32 = 10_000;
/// Threads in a worker.
pub(super) const THREADS: u32 = 1_024;
/// Groups beside the default one.
pub(super) const GROUPS: usize = 32;
/// Labels.
pub(super) const LABELS: usize = 64;
/// Characters of a label's value, and of its key behind the prefix; Kubernetes' own.
pub(super) const LABEL: usize = 63;
/// Characters of a label's key, prefix and all; Kubernetes' own.
pub(super) const LABEL_KEY: usize = 317;
/// Environment variables in one map.
pub(super) const ENV: usize = 256;
/// Characters of an environment variable's name.
pub(super) const ENV_NAME: usize = 128;
/// Characters of an environment variable's value.
pub(super) const ENV_VALUE: usize = 8_192;
/// Settings of Dask.
pub(super) const CONFIG: usize = 256;
/// Characters of the name of a setting of Dask.
pub(super) const CONFIG_KEY: usize = 256;
/// Preloads of one role.
pub(super) const PRELOADS: usize = 32;
/// Requirements.
pub(super) const PACKAGES: usize = 256;
/// Characters of a requirement, an image or a region.
pub(super) const REFERENCE: usize = 512;
/// Characters of a path or a preload.
pub(super) const PATH: usize = 4_096;
/// Abstract resources of a worker.
pub(super) const RESOURCES: usize = 64;
/// Characters of a resource's name.
pub(super) const RESOURCE: usize = 64;
/// Least memory of a scheduler or worker: what an idle one uses, rounded up (about 100 MiB).
pub(super) const LEAST_MEMORY: u64 = 128 << 20;
