//! What only EC2 has.

use std::collections::BTreeMap;

use super::{
    fields::{Field, Reader, code_path},
    shapes,
};
use crate::spec::{
    AddressKind, Architecture, DiskSpec, Ec2Spec, InstanceProfiles, InstanceType, MachineTemplate, Purchase,
    TaskCredentials, VolumeType,
};

const TYPE_HELP: &str = "write it as EC2 has it, such as `m7i.large`";

impl Reader {
    pub(super) fn ec2(&mut self, field: &Field<'_>) -> Option<Ec2Spec> {
        let fields = self.fields(field, &shapes::EC2)?;
        let addresses = [
            ("public", AddressKind::Public),
            ("private", AddressKind::Private),
            ("sessionManager", AddressKind::SessionManager),
        ];
        let credentials =
            [("none", TaskCredentials::None), ("instanceProfile", TaskCredentials::InstanceProfile)];
        Some(Ec2Spec {
            region: self.optional(&fields, "region", Self::text),
            zones: self.optional(&fields, "zones", Self::list).unwrap_or_default(),
            subnets: self.optional(&fields, "subnets", Self::list).unwrap_or_default(),
            addresses: self
                .optional(&fields, "addresses", |reader, field| reader.word(field, &addresses))
                .unwrap_or_default(),
            client_cidrs: self.optional(&fields, "clientCidrs", Self::list).unwrap_or_default(),
            instance_profiles: self.optional(&fields, "instanceProfiles", Self::instance_profiles),
            task_credentials: self
                .optional(&fields, "taskCredentials", |reader, field| reader.word(field, &credentials))
                .unwrap_or_default(),
            key_name: self.optional(&fields, "keyName", Self::text),
            tags: self.optional(&fields, "tags", Self::texts).unwrap_or_default(),
            capacity_retry: self.optional(&fields, "capacityRetry", Self::time_limit),
            prices: self.optional(&fields, "prices", Self::prices).unwrap_or_default(),
            max_cost: self.optional(&fields, "maxCost", Self::number),
            max_hourly_cost: self.optional(&fields, "maxHourlyCost", Self::number),
            machines: self.optional(&fields, "machines", Self::machine_template).unwrap_or_default(),
        })
    }

    fn instance_profiles(&mut self, field: &Field<'_>) -> Option<InstanceProfiles> {
        let fields = self.fields(field, &shapes::INSTANCE_PROFILES)?;
        let help = "name the profile, as the Terraform module printed it";
        let scheduler = self.required(&fields, "scheduler", help, Self::text);
        let workers = self.required(&fields, "workers", help, Self::text);
        Some(InstanceProfiles { scheduler: scheduler?, workers: workers? })
    }

    fn prices(&mut self, field: &Field<'_>) -> Option<BTreeMap<InstanceType, f64>> {
        let mut prices = BTreeMap::new();
        for (name, price) in self.map_of(field, Self::number)? {
            match name.parse() {
                Ok(name) => {
                    prices.insert(name, price);
                }
                Err(error) => {
                    let error: crate::spec::NameError = error;
                    let path = field.path.key(&name);
                    self.refuse_key(&path, error.to_string(), TYPE_HELP);
                }
            }
        }
        Some(prices)
    }

    fn instance_type(&mut self, field: &Field<'_>) -> Option<InstanceType> {
        let text = self.text(field)?;
        match text.parse::<InstanceType>() {
            Ok(name) => Some(name),
            Err(error) => {
                self.refuse(field, format!("{}: {}", code_path(&field.path), error.problem()), TYPE_HELP)
            }
        }
    }

    pub(super) fn machine_template(&mut self, field: &Field<'_>) -> Option<MachineTemplate> {
        let fields = self.fields(field, &shapes::MACHINE)?;
        let architectures = [Architecture::X86_64, Architecture::Arm64]
            .map(|architecture| (architecture.as_str(), architecture));
        let purchases = [Purchase::OnDemand, Purchase::Spot, Purchase::SpotWithFallback]
            .map(|purchase| (purchase.as_str(), purchase));
        let types = |reader: &mut Self, field: &Field<'_>| reader.list_of(field, Self::instance_type);
        Some(MachineTemplate {
            instance_types: self.optional(&fields, "instanceTypes", types).unwrap_or_default(),
            architecture: self
                .optional(&fields, "architecture", |reader, field| reader.word(field, &architectures)),
            gpus: self.optional(&fields, "gpus", Self::count),
            ami: self.optional(&fields, "ami", Self::text),
            disk: self.optional(&fields, "disk", Self::disk),
            purchase: self.optional(&fields, "purchase", |reader, field| reader.word(field, &purchases)),
            placement_group: self.optional(&fields, "placementGroup", Self::text),
        })
    }

    fn disk(&mut self, field: &Field<'_>) -> Option<DiskSpec> {
        let fields = self.fields(field, &shapes::DISK)?;
        let types = [VolumeType::Gp3, VolumeType::Gp2, VolumeType::Io2].map(|kind| (kind.as_str(), kind));
        Some(DiskSpec {
            size: self.optional(&fields, "size", Self::memory),
            volume_type: self.optional(&fields, "type", |reader, field| reader.word(field, &types)),
            iops: self.optional(&fields, "iops", Self::count),
            throughput: self.optional(&fields, "throughput", Self::count),
        })
    }
}
