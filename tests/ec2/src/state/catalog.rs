//! Instance types: a part of EC2's, with the figures of its public tables (November 2026).

/// What a type has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceType {
    /// As in `m5.large`.
    pub name: String,
    /// Virtual processors.
    pub vcpus: u32,
    /// MiB.
    pub memory: u32,
    /// `x86_64` or `arm64`.
    pub architecture: &'static str,
    /// GPUs, each of this name.
    pub gpus: Option<(u32, &'static str)>,
}

/// Families in which memory goes with processors: name, architecture, GiB for each processor.
const FAMILIES: [(&str, &str, u32); 18] = [
    ("c6a", "x86_64", 2),
    ("m7a", "x86_64", 4),
    ("c5", "x86_64", 2),
    ("c6i", "x86_64", 2),
    ("c6g", "arm64", 2),
    ("c7g", "arm64", 2),
    ("c7i", "x86_64", 2),
    ("m5", "x86_64", 4),
    ("m6a", "x86_64", 4),
    ("m6g", "arm64", 4),
    ("m6i", "x86_64", 4),
    ("m7g", "arm64", 4),
    ("m7i", "x86_64", 4),
    ("r5", "x86_64", 8),
    ("r6g", "arm64", 8),
    ("r6i", "x86_64", 8),
    ("r7g", "arm64", 8),
    ("r7i", "x86_64", 8),
];

const SIZES: [(&str, u32); 8] = [
    ("large", 2),
    ("xlarge", 4),
    ("2xlarge", 8),
    ("4xlarge", 16),
    ("8xlarge", 32),
    ("12xlarge", 48),
    ("16xlarge", 64),
    ("24xlarge", 96),
];

/// Name, processors, MiB, architecture, GPUs.
type Row = (&'static str, u32, u32, &'static str, Option<(u32, &'static str)>);

/// Types that follow no rule.
const OTHERS: [Row; 19] = [
    ("t3.nano", 2, 512, "x86_64", None),
    ("t3.micro", 2, 1024, "x86_64", None),
    ("t3.small", 2, 2048, "x86_64", None),
    ("t3.medium", 2, 4096, "x86_64", None),
    ("t3.large", 2, 8192, "x86_64", None),
    ("t3.xlarge", 4, 16384, "x86_64", None),
    ("t3.2xlarge", 8, 32768, "x86_64", None),
    ("t2.micro", 1, 1024, "x86_64", None),
    ("t4g.small", 2, 2048, "arm64", None),
    ("t4g.medium", 2, 4096, "arm64", None),
    ("t4g.large", 2, 8192, "arm64", None),
    ("m7g.medium", 1, 4096, "arm64", None),
    ("c7g.medium", 1, 2048, "arm64", None),
    ("g4dn.xlarge", 4, 16384, "x86_64", Some((1, "T4"))),
    ("g4dn.12xlarge", 48, 196_608, "x86_64", Some((4, "T4"))),
    ("g5.xlarge", 4, 16384, "x86_64", Some((1, "A10G"))),
    ("g5.2xlarge", 8, 32768, "x86_64", Some((1, "A10G"))),
    ("g6.xlarge", 4, 16384, "x86_64", Some((1, "L4"))),
    ("p4d.24xlarge", 96, 1_179_648, "x86_64", Some((8, "A100"))),
];

/// All types, by name.
pub fn types() -> Vec<InstanceType> {
    let families = FAMILIES.iter().flat_map(|&(family, architecture, ratio)| {
        SIZES.iter().map(move |&(size, vcpus)| InstanceType {
            name: format!("{family}.{size}"),
            vcpus,
            memory: vcpus * ratio * 1024,
            architecture,
            gpus: None,
        })
    });
    let others = OTHERS.iter().map(|&(name, vcpus, memory, architecture, gpus)| InstanceType {
        name: name.to_owned(),
        vcpus,
        memory,
        architecture,
        gpus,
    });
    let mut all: Vec<_> = families.chain(others).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// The type of this name.
pub fn find(name: &str) -> Option<InstanceType> {
    types().into_iter().find(|found| found.name == name)
}
