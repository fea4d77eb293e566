//! What a machine is: its type or what it must have, its image, its disk, how it is bought.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::{Memory, NameError, limits, names::name_error, schema_parts as parts, text::string_form};

/// What a group's machines are.
///
/// A template goes over another field by field. Types and requirements stand for each other: a template that names
/// either takes nothing of both from the one below.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineTemplate {
    /// Instance types, in the order in which they are tried. Default: those that have the `cpu` and `memory` of the
    /// scheduler or worker, the cheapest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "parts::instance_types")]
    pub instance_types: Vec<InstanceType>,
    /// The processors' architecture, where no types are named. Default: `x86_64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// At least so many GPUs, where no types are named. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = limits::GPUS))]
    pub gpus: Option<u32>,
    /// The machine image, which must have Docker: `ami-...`, or `resolve:ssm:NAME` for the parameter that holds its
    /// id. Default: Amazon's own for containers, on Amazon Linux 2023.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "parts::ami")]
    pub ami: Option<String>,
    /// The root volume, encrypted and gone with its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskSpec>,
    /// How machines are bought. Default: `onDemand`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase: Option<Purchase>,
    /// A placement group that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "parts::aws_name")]
    pub placement_group: Option<String>,
}

/// The root volume of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskSpec {
    /// Its size, in whole GiB. Default: 30GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Memory>,
    /// Its type. Default: `gp3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "type")]
    pub volume_type: Option<VolumeType>,
    /// Operations per second, for `gp3` and `io2`. Default: EC2's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = limits::DISK_IOPS[0], max = limits::DISK_IOPS[1]))]
    pub iops: Option<u32>,
    /// MiB per second, for `gp3`. Default: EC2's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = limits::DISK_THROUGHPUT[0], max = limits::DISK_THROUGHPUT[1]))]
    pub throughput: Option<u32>,
}

/// The type of a volume, by EC2's own names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VolumeType {
    /// General purpose.
    #[default]
    Gp3,
    /// General purpose, of the generation before.
    Gp2,
    /// Provisioned operations per second.
    Io2,
}

/// How machines are bought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Purchase {
    /// At the full price, and kept.
    #[default]
    OnDemand,
    /// Spare capacity, which is taken back with two minutes' notice.
    Spot,
    /// Spare capacity, and at the full price where there is none.
    SpotWithFallback,
}

/// The architecture of processors, by EC2's own names.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Architecture {
    /// Intel and AMD.
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
    /// Graviton.
    #[serde(rename = "arm64")]
    Arm64,
}

/// The name of an instance type, such as `m7i.large`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceType(String);

impl InstanceType {
    /// Most characters of one.
    pub const MAX_LENGTH: usize = 32;
    pub(in crate::spec) const PATTERN: &str = "^[a-z][a-z0-9-]*[0-9][a-z0-9-]*\\.[a-z0-9-]+$";

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The family: what stands before the point.
    pub fn family(&self) -> &str {
        self.0.split_once('.').map_or(self.0.as_str(), |(family, _)| family)
    }

    /// The architecture, which EC2's names tell: a `g` behind the generation stands for Graviton.
    pub fn architecture(&self) -> Architecture {
        let family = self.family();
        let behind = family.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let attributes = behind.trim_start_matches(|c: char| c.is_ascii_digit());
        let attributes = attributes.split('-').next().unwrap_or_default();
        if family == "a1" || attributes.contains('g') { Architecture::Arm64 } else { Architecture::X86_64 }
    }
}

impl FromStr for InstanceType {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parts: Vec<&str> = text.split('.').collect();
        let word = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        let fits = match parts.as_slice() {
            [family, size] => {
                word(family)
                    && word(size)
                    && family.starts_with(|c: char| c.is_ascii_lowercase())
                    && family.contains(|c: char| c.is_ascii_digit())
            }
            _ => false,
        };
        if fits && text.len() <= Self::MAX_LENGTH {
            return Ok(Self(text.to_owned()));
        }
        Err(name_error("instance type", text, "is not of the form of EC2's, such as m7i.large"))
    }
}

impl fmt::Display for InstanceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

string_form!(InstanceType, NameError);

impl Architecture {
    /// EC2's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

impl VolumeType {
    /// EC2's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gp3 => "gp3",
            Self::Gp2 => "gp2",
            Self::Io2 => "io2",
        }
    }
}

impl Purchase {
    /// As the document has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "onDemand",
            Self::Spot => "spot",
            Self::SpotWithFallback => "spotWithFallback",
        }
    }
}

impl MachineTemplate {
    /// This template over another, by the rule above.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        let names_either =
            !self.instance_types.is_empty() || self.architecture.is_some() || self.gpus.is_some();
        let chosen = if names_either { self } else { base };
        Self {
            instance_types: chosen.instance_types.clone(),
            architecture: chosen.architecture,
            gpus: chosen.gpus,
            ami: self.ami.clone().or_else(|| base.ami.clone()),
            disk: self.disk.clone().or_else(|| base.disk.clone()),
            purchase: self.purchase.or(base.purchase),
            placement_group: self.placement_group.clone().or_else(|| base.placement_group.clone()),
        }
    }

    /// The architecture of these machines: that of the types, else what is asked for.
    pub fn architecture(&self) -> Architecture {
        let named = self.instance_types.first().map(InstanceType::architecture);
        named.or(self.architecture).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_type_tells_its_architecture() {
        let architecture = |text: &str| text.parse::<InstanceType>().unwrap().architecture();
        for name in
            ["m7g.large", "t4g.micro", "c7gn.xlarge", "x2gd.large", "is4gen.large", "g5g.xlarge", "a1.large"]
        {
            assert_eq!(architecture(name), Architecture::Arm64, "{name}");
        }
        for name in
            ["m7i.large", "g4dn.xlarge", "g5.xlarge", "c7i-flex.large", "u-6tb1.metal", "p4de.24xlarge"]
        {
            assert_eq!(architecture(name), Architecture::X86_64, "{name}");
        }
    }

    #[test]
    fn what_is_no_type_says_what_one_looks_like() {
        for text in ["", "large", "m7i", "m7i.", ".large", "M7i.large", "m7i large", "m.large", "a.b.c"] {
            let error = text.parse::<InstanceType>().unwrap_err().to_string();
            assert!(error.contains("such as m7i.large"), "{error}");
        }
    }

    #[test]
    fn types_of_a_group_stand_for_the_requirements_below_and_the_reverse() {
        let types =
            MachineTemplate { instance_types: vec!["m7i.large".parse().unwrap()], ..Default::default() };
        let gpus = MachineTemplate { gpus: Some(1), ami: Some("ami-1".to_owned()), ..Default::default() };
        let over = types.over(&gpus);
        assert_eq!((over.instance_types.len(), over.gpus, over.ami.as_deref()), (1, None, Some("ami-1")));
        let under = gpus.over(&types);
        assert_eq!((under.instance_types.len(), under.gpus), (0, Some(1)));
        assert_eq!(MachineTemplate::default().over(&types), types);
    }
}
