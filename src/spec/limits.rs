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
/// Annotations of a pod or service.
pub(super) const ANNOTATIONS: usize = 64;
/// Characters of an annotation's value.
pub(super) const ANNOTATION: usize = 4_096;
/// Tolerations of a pod.
pub(super) const TOLERATIONS: usize = 32;
/// Pull secrets of a pod.
pub(super) const PULL_SECRETS: usize = 16;
/// Volumes of a pod.
pub(super) const VOLUMES: usize = 32;
/// Mounts of a container.
pub(super) const VOLUME_MOUNTS: usize = 64;
/// Resources of Kubernetes that a container asks for beside processors and memory.
pub(super) const POD_RESOURCES: usize = 16;
/// Characters of the name of a Kubernetes object; Kubernetes' own.
pub(super) const OBJECT_NAME: usize = 253;
/// Keys of a piece that is Kubernetes' own.
pub(super) const FRAGMENT: usize = 64;
/// Bytes of such a piece, as JSON.
pub(super) const FRAGMENT_BYTES: usize = 16_384;
/// Clients that a network policy lets in.
pub(super) const NETWORK_PEERS: usize = 32;
/// Blocks that are left out of one.
pub(super) const NETWORK_EXCEPT: usize = 16;
/// Instance types of a group.
pub(super) const INSTANCE_TYPES: usize = 16;
/// Zones or subnets of a cluster.
pub(super) const SUBNETS: usize = 16;
/// Blocks of addresses of clients; a security group has 60 rules unless its quota was raised.
pub(super) const CLIENT_CIDRS: usize = 32;
/// Tags of the document; EC2 takes 50, and Crewcall has some of its own.
pub(super) const TAGS: usize = 32;
/// Characters of a tag's key; EC2's own.
pub(super) const TAG_KEY: usize = 128;
/// Characters of a tag's value; EC2's own.
pub(super) const TAG_VALUE: usize = 256;
/// Prices that a document gives.
pub(super) const PRICES: usize = 64;
/// Characters of the name of a key pair or placement group; EC2's own.
pub(super) const AWS_NAME: usize = 255;
/// Characters of the name of an instance profile; IAM's own.
pub(super) const PROFILE_NAME: usize = 128;
/// GPUs of a machine.
pub(super) const GPUS: u32 = 16;
/// Least and most of a root volume, in GiB; the most is that of `gp3`.
pub(super) const DISK_GIB: [u64; 2] = [8, 65_536];
/// Least and most operations per second of a volume.
pub(super) const DISK_IOPS: [u32; 2] = [100, 256_000];
/// Least and most MiB per second of a volume.
pub(super) const DISK_THROUGHPUT: [u32; 2] = [125, 2_000];
/// Characters of a block of addresses.
pub(super) const CIDR: usize = 64;
