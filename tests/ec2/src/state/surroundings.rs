//! What was there before: the network, zones, images, types of instances.

use super::{
    catalog::{self, InstanceType},
    cloud::{Cloud, unknown},
    devices::named_exist,
    filters::{Filters, page},
    settings::{Image, Subnet},
    tags::Tags,
};
use crate::{
    error::ApiError,
    protocol::{Fields, Parameters},
};

impl Cloud {
    pub(super) fn surroundings(&self, action: &str, parameters: &Parameters) -> Result<Fields, ApiError> {
        match action {
            "DescribeAvailabilityZones" => self.zones(parameters),
            "DescribeVpcs" => self.vpcs(parameters),
            "DescribeSubnets" => self.describe_subnets(parameters),
            "DescribeImages" => self.describe_images(parameters),
            "DescribeInstanceTypes" => self.instance_types(parameters),
            "DescribeInstanceTypeOfferings" => self.offerings(parameters),
            "DescribeRegions" => {
                let region = Fields::new()
                    .with("regionName", &self.settings.region)
                    .with("regionEndpoint", format!("ec2.{}.amazonaws.com", self.settings.region))
                    .with("optInStatus", "opt-in-not-required");
                Ok(Fields::new().items("regionInfo", [region]))
            }
            "DescribeKeyPairs" => Ok(Fields::new().items::<Fields>("keySet", [])),
            "DescribePlacementGroups" => Ok(Fields::new().items::<Fields>("placementGroupSet", [])),
            "DescribeSpotInstanceRequests" => Ok(Fields::new().items::<Fields>("spotInstanceRequestSet", [])),
            _ => Err(unknown(action)),
        }
    }

    fn zones(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let filters = Filters::of(parameters)?;
        let named = parameters.texts("ZoneName");
        let mut found = Vec::new();
        for subnet in &self.settings.subnets {
            let fits = filters.fit(&Tags::new(), |name| {
                Some(match name {
                    "zone-name" => vec![subnet.zone.clone()],
                    "state" => vec!["available".into()],
                    "zone-type" => vec!["availability-zone".into()],
                    "opt-in-status" => vec!["opt-in-not-required".into()],
                    "region-name" => vec![self.settings.region.clone()],
                    _ => return None,
                })
            })?;
            if fits && (named.is_empty() || named.contains(&subnet.zone.as_str())) {
                found.push(
                    Fields::new()
                        .with("zoneState", "available")
                        .with("optInStatus", "opt-in-not-required")
                        .items::<Fields>("messageSet", [])
                        .with("regionName", &self.settings.region)
                        .with("zoneName", &subnet.zone)
                        .with("zoneId", self.zone_id(&subnet.zone))
                        .with("zoneType", "availability-zone"),
                );
            }
        }
        Ok(Fields::new().items("availabilityZoneInfo", found))
    }

    fn vpcs(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let vpc = &self.settings.vpc;
        named_exist(&parameters.texts("VpcId"), |id| id == vpc)?;
        let fits = Filters::of(parameters)?.fit(&Tags::new(), |name| {
            Some(match name {
                "vpc-id" => vec![vpc.clone()],
                "is-default" | "isDefault" => vec!["true".into()],
                "state" => vec!["available".into()],
                "cidr" => vec!["10.251.0.0/16".into()],
                _ => return None,
            })
        })?;
        let block = Fields::new()
            .with("cidrBlock", "10.251.0.0/16")
            .with("associationId", "vpc-cidr-assoc-0c0ffee0c0ffee001")
            .fields("cidrBlockState", Fields::new().with("state", "associated"));
        let fields = Fields::new()
            .with("vpcId", vpc)
            .with("ownerId", &self.settings.account)
            .with("state", "available")
            .with("cidrBlock", "10.251.0.0/16")
            .items("cidrBlockAssociationSet", [block])
            .with("dhcpOptionsId", "dopt-0c0ffee0c0ffee001")
            .with("instanceTenancy", "default")
            .with("isDefault", true);
        Ok(Fields::new().items("vpcSet", fits.then_some(fields)))
    }

    fn describe_subnets(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let named = parameters.texts("SubnetId");
        named_exist(&named, |id| self.settings.subnets.iter().any(|subnet| subnet.id == id))?;
        let filters = Filters::of(parameters)?;
        let mut found = Vec::new();
        for subnet in &self.settings.subnets {
            let fits = filters.fit(&Tags::new(), |name| {
                Some(match name {
                    "subnet-id" => vec![subnet.id.clone()],
                    "vpc-id" => vec![self.settings.vpc.clone()],
                    "availability-zone" | "availabilityZone" => vec![subnet.zone.clone()],
                    "default-for-az" | "defaultForAz" | "map-public-ip-on-launch" => vec!["true".into()],
                    "state" => vec!["available".into()],
                    _ => return None,
                })
            })?;
            if fits && (named.is_empty() || named.contains(&subnet.id.as_str())) {
                found.push((subnet.id.clone(), self.subnet_fields(subnet)));
            }
        }
        let (found, token) = page(found, parameters, self.settings.page)?;
        let found = found.into_iter().map(|(_, fields)| fields);
        Ok(Fields::new().items("subnetSet", found).with_some("nextToken", token))
    }

    fn zone_id(&self, zone: &str) -> String {
        let index = self.settings.subnets.iter().position(|subnet| subnet.zone == zone).unwrap_or_default();
        format!("use1-az{}", index + 1)
    }

    fn subnet_fields(&self, subnet: &Subnet) -> Fields {
        let used = self.instances.values().filter(|found| found.lives() && found.subnet == subnet.id).count();
        Fields::new()
            .with("subnetId", &subnet.id)
            .with(
                "subnetArn",
                format!(
                    "arn:aws:ec2:{}:{}:subnet/{}",
                    self.settings.region, self.settings.account, subnet.id
                ),
            )
            .with("state", "available")
            .with("ownerId", &self.settings.account)
            .with("vpcId", &self.settings.vpc)
            .with("cidrBlock", subnet.cidr())
            .with("availableIpAddressCount", 4085_usize.saturating_sub(used))
            .with("availabilityZone", &subnet.zone)
            .with("availabilityZoneId", self.zone_id(&subnet.zone))
            .with("assignIpv6AddressOnCreation", false)
            .with("ipv6Native", false)
            .with("defaultForAz", true)
            .with("mapPublicIpOnLaunch", true)
    }

    fn describe_images(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let named = parameters.texts("ImageId");
        for id in &named {
            if !self.settings.images.iter().any(|image| image.id == *id) {
                let text = format!("The image id '[{id}]' does not exist");
                return Err(ApiError::new("InvalidAMIID.NotFound", text));
            }
        }
        let owners = parameters.texts("Owner");
        let filters = Filters::of(parameters)?;
        let mut found = Vec::new();
        for image in &self.settings.images {
            let fits = filters.fit(&Tags::new(), |name| {
                Some(match name {
                    "image-id" => vec![image.id.clone()],
                    "name" => vec![image.name.into()],
                    "architecture" => vec![image.architecture.into()],
                    "owner-id" => vec![image.owner.into()],
                    "owner-alias" => vec!["amazon".into()],
                    "state" => vec!["available".into()],
                    "virtualization-type" => vec!["hvm".into()],
                    "root-device-type" => vec!["ebs".into()],
                    "image-type" => vec!["machine".into()],
                    "is-public" => vec!["true".into()],
                    "block-device-mapping.volume-type" => vec!["gp3".into()],
                    "hypervisor" => vec!["xen".into()],
                    _ => return None,
                })
            })?;
            let owned =
                owners.is_empty() || owners.iter().any(|owner| *owner == image.owner || *owner == "amazon");
            if fits && owned && (named.is_empty() || named.contains(&image.id.as_str())) {
                found.push(image_fields(image));
            }
        }
        Ok(Fields::new().items("imagesSet", found))
    }

    fn instance_types(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let named = parameters.texts("InstanceType");
        for name in &named {
            if catalog::find(name).is_none() {
                let text = format!("The following supplied instance types do not exist: [{name}]");
                return Err(ApiError::new("InvalidInstanceType", text));
            }
        }
        let filters = Filters::of(parameters)?;
        let mut found = Vec::new();
        for kind in catalog::types() {
            let fits = filters.fit(&Tags::new(), |name| {
                Some(match name {
                    "instance-type" => vec![kind.name.clone()],
                    "processor-info.supported-architecture" => vec![kind.architecture.into()],
                    "current-generation" => vec!["true".into()],
                    "vcpu-info.default-vcpus" => vec![kind.vcpus.to_string()],
                    "memory-info.size-in-mib" => vec![kind.memory.to_string()],
                    "supported-usage-class" => vec!["on-demand".into(), "spot".into()],
                    "bare-metal" => vec!["false".into()],
                    _ => return None,
                })
            })?;
            if fits && (named.is_empty() || named.contains(&kind.name.as_str())) {
                found.push((kind.name.clone(), type_fields(&kind)));
            }
        }
        // EC2 answers with at most 100 at a time.
        let longest = self.settings.page.unwrap_or(100).min(100);
        let (found, token) = page(found, parameters, Some(longest))?;
        let found = found.into_iter().map(|(_, fields)| fields);
        Ok(Fields::new().items("instanceTypeSet", found).with_some("nextToken", token))
    }

    fn offerings(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let by = parameters.text("LocationType").unwrap_or("region");
        let locations: Vec<String> = match by {
            "region" => vec![self.settings.region.clone()],
            "availability-zone" => self.settings.subnets.iter().map(|subnet| subnet.zone.clone()).collect(),
            other => {
                return Err(ApiError::invalid(format!(
                    "Value ({other}) for parameter locationType is invalid."
                )));
            }
        };
        let filters = Filters::of(parameters)?;
        let mut found = Vec::new();
        for kind in catalog::types() {
            for location in &locations {
                let fits = filters.fit(&Tags::new(), |name| {
                    Some(match name {
                        "instance-type" => vec![kind.name.clone()],
                        "location" => vec![location.clone()],
                        _ => return None,
                    })
                })?;
                if fits {
                    let fields = Fields::new()
                        .with("instanceType", &kind.name)
                        .with("locationType", by)
                        .with("location", location);
                    found.push((format!("{} {location}", kind.name), fields));
                }
            }
        }
        let (found, token) = page(found, parameters, self.settings.page)?;
        let found = found.into_iter().map(|(_, fields)| fields);
        Ok(Fields::new().items("instanceTypeOfferingSet", found).with_some("nextToken", token))
    }
}

fn image_fields(image: &Image) -> Fields {
    let disk = Fields::new().with("deviceName", "/dev/xvda").fields(
        "ebs",
        Fields::new()
            .with("snapshotId", "snap-0c0ffee0c0ffee001")
            .with("volumeSize", 8)
            .with("deleteOnTermination", true)
            .with("volumeType", "gp3")
            .with("encrypted", false),
    );
    Fields::new()
        .with("imageId", &image.id)
        .with("imageLocation", format!("amazon/{}", image.name))
        .with("imageState", "available")
        .with("imageOwnerId", image.owner)
        .with("imageOwnerAlias", "amazon")
        .with("isPublic", true)
        .with("architecture", image.architecture)
        .with("imageType", "machine")
        .with("name", image.name)
        .with("creationDate", "2026-11-10T00:00:00.000Z")
        .with("rootDeviceType", "ebs")
        .with("rootDeviceName", "/dev/xvda")
        .with("virtualizationType", "hvm")
        .with("hypervisor", "xen")
        .with("enaSupport", true)
        .items("blockDeviceMapping", [disk])
}

fn type_fields(kind: &InstanceType) -> Fields {
    let fields = Fields::new()
        .with("instanceType", &kind.name)
        .with("currentGeneration", true)
        .with("freeTierEligible", false)
        .items("supportedUsageClasses", ["on-demand", "spot"])
        .items("supportedRootDeviceTypes", ["ebs"])
        .items("supportedVirtualizationTypes", ["hvm"])
        .with("bareMetal", false)
        .with("hypervisor", "nitro")
        .fields("processorInfo", Fields::new().items("supportedArchitectures", [kind.architecture]))
        .fields("vCpuInfo", Fields::new().with("defaultVCpus", kind.vcpus))
        .fields("memoryInfo", Fields::new().with("sizeInMiB", kind.memory))
        .with("instanceStorageSupported", false);
    let Some((count, name)) = kind.gpus else { return fields };
    let gpu = Fields::new().with("name", name).with("manufacturer", "NVIDIA").with("count", count);
    fields.fields("gpuInfo", Fields::new().items("gpus", [gpu]))
}
