//! Volumes and network interfaces of instances.

use jiff::Timestamp;

use super::{
    cloud::Cloud,
    filters::{Filters, page},
    instances::{Instance, timestamp},
    tags::{Tags, not_found, tag_set},
};
use crate::{
    error::ApiError,
    protocol::{Fields, Parameters},
};

/// The smallest root volume that the images fit on, in GiB.
const SMALLEST: u32 = 8;

/// A disk.
#[derive(Debug, Clone)]
pub struct Volume {
    /// The instance that it is attached to.
    pub instance: Option<String>,
    /// As in `/dev/xvda`.
    pub device: String,
    /// GiB.
    pub size: u32,
    /// As in `gp3`.
    pub kind: String,
    /// Whether it goes with its instance.
    pub goes: bool,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Its zone.
    pub zone: String,
    /// When it was made.
    pub made: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

/// A network interface.
#[derive(Debug, Clone)]
pub struct Interface {
    /// The instance that it is attached to.
    pub instance: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// When it was made.
    pub made: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

/// A volume as the call asks for it.
struct Wanted {
    device: String,
    size: u32,
    kind: String,
    goes: bool,
    encrypted: bool,
}

/// The volumes that a launch asks for, the root's first.
fn wanted(parameters: &Parameters) -> Result<Vec<Wanted>, ApiError> {
    let root = Wanted {
        device: "/dev/xvda".into(),
        size: SMALLEST,
        kind: "gp3".into(),
        goes: true,
        encrypted: false,
    };
    let mut volumes = vec![root];
    for mapping in parameters.list("BlockDeviceMapping") {
        let Some(disk) = mapping.get("Ebs") else { continue };
        let device = mapping.required("DeviceName")?.to_owned();
        let asked = Wanted {
            size: disk.number("VolumeSize")?.unwrap_or(SMALLEST),
            kind: disk.text("VolumeType").unwrap_or("gp3").to_owned(),
            goes: disk.flag("DeleteOnTermination")?.unwrap_or(true),
            encrypted: disk.flag("Encrypted")?.unwrap_or(false),
            device,
        };
        if asked.size < SMALLEST {
            let text = format!(
                "Volume of size {}GB is smaller than snapshot, expect size >= {SMALLEST}GB",
                asked.size
            );
            return Err(ApiError::new("InvalidBlockDeviceMapping", text));
        }
        match volumes.first_mut() {
            Some(root) if root.device == asked.device => *root = asked,
            _ => volumes.push(asked),
        }
    }
    Ok(volumes)
}

/// Whether a launch asks for volumes that there can be.
pub(super) fn root_of(parameters: &Parameters) -> Result<(), ApiError> {
    wanted(parameters).map(drop)
}

impl Cloud {
    pub(super) fn make_volumes(
        &mut self,
        instance: &Instance,
        parameters: &Parameters,
        tags: &Tags,
    ) -> Result<Vec<String>, ApiError> {
        let wanted = wanted(parameters)?;
        Ok(wanted
            .into_iter()
            .map(|wanted| {
                let id = self.ids.id("vol");
                let volume = Volume {
                    instance: Some(instance.id.clone()),
                    device: wanted.device,
                    size: wanted.size,
                    kind: wanted.kind,
                    goes: wanted.goes,
                    encrypted: wanted.encrypted,
                    zone: instance.zone.clone(),
                    made: self.now,
                    tags: tags.clone(),
                };
                self.volumes.insert(id.clone(), volume);
                id
            })
            .collect())
    }

    pub(super) fn make_interface(&mut self, instance: &Instance, tags: &Tags) -> String {
        let id = self.ids.id("eni");
        let interface = Interface {
            instance: instance.id.clone(),
            groups: instance.groups.clone(),
            made: self.now,
            tags: tags.clone(),
        };
        self.interfaces.insert(id.clone(), interface);
        id
    }

    /// The instance has ended: what goes with it goes, the rest is free.
    pub(super) fn release_devices(&mut self, instance: &str) {
        self.interfaces.retain(|_, interface| interface.instance != instance);
        self.volumes.retain(|_, volume| !(volume.goes && volume.instance.as_deref() == Some(instance)));
        for volume in self.volumes.values_mut().filter(|volume| volume.instance.as_deref() == Some(instance))
        {
            volume.instance = None;
        }
    }

    pub(super) fn mappings(&self, instance: &Instance) -> Vec<Fields> {
        let attached = instance.volumes.iter().filter_map(|id| Some((id, self.volumes.get(id)?)));
        attached
            .map(|(id, volume)| {
                Fields::new().with("deviceName", &volume.device).fields(
                    "ebs",
                    Fields::new()
                        .with("volumeId", id)
                        .with("status", "attached")
                        .with("attachTime", timestamp(volume.made))
                        .with("deleteOnTermination", volume.goes),
                )
            })
            .collect()
    }

    pub(super) fn interfaces_of(&self, instance: &Instance) -> Vec<Fields> {
        self.interfaces
            .get(&instance.interface)
            .map(|interface| self.interface_fields(&instance.interface, interface))
            .into_iter()
            .collect()
    }

    fn interface_fields(&self, id: &str, interface: &Interface) -> Fields {
        let fields = Fields::new()
            .with("networkInterfaceId", id)
            .with("vpcId", &self.settings.vpc)
            .with("description", "")
            .with("ownerId", &self.settings.account)
            .with("status", "in-use")
            .with("interfaceType", "interface")
            .items("groupSet", self.group_set(&interface.groups));
        let Some(instance) = self.instances.get(&interface.instance) else { return fields };
        let address = Fields::new()
            .with("privateIpAddress", instance.private_ip)
            .with("privateDnsName", instance.private_name())
            .with("primary", true);
        let (address, fields) = match instance.reachable_ip() {
            Some(public) => {
                let association = Fields::new()
                    .with("publicIp", public)
                    .with("publicDnsName", "")
                    .with("ipOwnerId", "amazon");
                let fields = fields.fields("association", association.clone());
                (address.fields("association", association), fields)
            }
            None => (address, fields),
        };
        fields
            .with("requesterManaged", false)
            .items("privateIpAddressesSet", [address])
            .with("subnetId", &instance.subnet)
            .with("availabilityZone", &instance.zone)
            .with("macAddress", instance.mac())
            .with("privateIpAddress", instance.private_ip)
            .with("privateDnsName", instance.private_name())
            .with("sourceDestCheck", true)
            .fields(
                "attachment",
                Fields::new()
                    .with("attachmentId", id.replace("eni-", "eni-attach-"))
                    .with("instanceId", &instance.id)
                    .with("instanceOwnerId", &self.settings.account)
                    .with("deviceIndex", 0)
                    .with("networkCardIndex", 0)
                    .with("status", "attached")
                    .with("attachTime", timestamp(interface.made))
                    .with("deleteOnTermination", true),
            )
    }

    pub(super) fn describe_interfaces(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let named = parameters.texts("NetworkInterfaceId");
        named_exist(&named, |id| self.interfaces.contains_key(id))?;
        let filters = Filters::of(parameters)?;
        let mut found = Vec::new();
        for (id, interface) in &self.interfaces {
            let instance = self.instances.get(&interface.instance);
            let fits = filters.fit(&interface.tags, |name| {
                Some(match name {
                    "network-interface-id" => vec![id.clone()],
                    "group-id" => interface.groups.clone(),
                    "attachment.instance-id" => vec![interface.instance.clone()],
                    "status" => vec!["in-use".into()],
                    "vpc-id" => vec![self.settings.vpc.clone()],
                    "subnet-id" => instance.map(|instance| instance.subnet.clone()).into_iter().collect(),
                    "private-ip-address" => {
                        instance.map(|instance| instance.private_ip.to_string()).into_iter().collect()
                    }
                    _ => return None,
                })
            })?;
            if fits && self.visible(interface.made) && (named.is_empty() || named.contains(&id.as_str())) {
                let fields = self.interface_fields(id, interface).items("tagSet", tag_set(&interface.tags));
                found.push((id.clone(), fields));
            }
        }
        let (found, token) = page(found, parameters, self.settings.page)?;
        let found = found.into_iter().map(|(_, fields)| fields);
        Ok(Fields::new().items("networkInterfaceSet", found).with_some("nextToken", token))
    }

    pub(super) fn describe_volumes(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let named = parameters.texts("VolumeId");
        named_exist(&named, |id| self.volumes.contains_key(id))?;
        let filters = Filters::of(parameters)?;
        let mut found = Vec::new();
        for (id, volume) in &self.volumes {
            let status = if volume.instance.is_some() { "in-use" } else { "available" };
            let fits = filters.fit(&volume.tags, |name| {
                Some(match name {
                    "volume-id" => vec![id.clone()],
                    "attachment.instance-id" => volume.instance.clone().into_iter().collect(),
                    "status" => vec![status.into()],
                    "availability-zone" => vec![volume.zone.clone()],
                    _ => return None,
                })
            })?;
            if fits && self.visible(volume.made) && (named.is_empty() || named.contains(&id.as_str())) {
                found.push((id.clone(), volume_fields(id, volume, status)));
            }
        }
        let (found, token) = page(found, parameters, self.settings.page)?;
        let found = found.into_iter().map(|(_, fields)| fields);
        Ok(Fields::new().items("volumeSet", found).with_some("nextToken", token))
    }
}

fn volume_fields(id: &str, volume: &Volume, status: &str) -> Fields {
    let attached = volume.instance.iter().map(|instance| {
        Fields::new()
            .with("volumeId", id)
            .with("instanceId", instance)
            .with("device", &volume.device)
            .with("status", "attached")
            .with("attachTime", timestamp(volume.made))
            .with("deleteOnTermination", volume.goes)
    });
    Fields::new()
        .with("volumeId", id)
        .with("size", volume.size)
        .with("snapshotId", "snap-0c0ffee0c0ffee001")
        .with("availabilityZone", &volume.zone)
        .with("status", status)
        .with("createTime", timestamp(volume.made))
        .items("attachmentSet", attached)
        .items("tagSet", tag_set(&volume.tags))
        .with("volumeType", &volume.kind)
        .with("encrypted", volume.encrypted)
        .with("multiAttachEnabled", false)
}

/// All that a call names exist, or the error names one that does not.
pub(super) fn named_exist(named: &[&str], exists: impl Fn(&str) -> bool) -> Result<(), ApiError> {
    named.iter().find(|id| !exists(id)).map_or(Ok(()), |id| Err(not_found(id)))
}
