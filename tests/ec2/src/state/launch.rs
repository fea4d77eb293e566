//! `RunInstances`, and what `CreateFleet` shares with it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::net::Ipv4Addr;

use super::{
    capacity::Market,
    catalog::{self, InstanceType},
    cloud::{Cloud, Effect},
    devices::root_of,
    instances::{Behaviour, Instance, Metadata, State},
    settings::{Hosts, Subnet},
    tags::{Tags, not_found, specified},
};
use crate::{
    error::ApiError,
    protocol::{Fields, Parameters},
};

/// User data may be this long, before it is encoded.
const USER_DATA: usize = 16 * 1024;

const TAGGABLE: [&str; 5] =
    ["instance", "volume", "network-interface", "spot-instances-request", "elastic-gpu"];

/// A launch that is well formed.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    pub parameters: Parameters,
    pub kind: InstanceType,
    pub image: String,
    /// One if it was named, else all of them.
    pub subnets: Vec<Subnet>,
    pub groups: Vec<String>,
    pub public: bool,
    pub market: Market,
    pub user_data: Vec<u8>,
    pub metadata: Metadata,
    pub profile: Option<String>,
    pub tags: [Tags; 3],
    pub fleet: Option<String>,
    pub token: Option<String>,
}

impl Cloud {
    pub(super) fn run_instances(&mut self, given: &Parameters) -> Result<Fields, ApiError> {
        if let Some(reservation) = self.repeated("RunInstances", given)? {
            return Ok(self.reservation_fields(&reservation));
        }
        let (Some(min), Some(max)) = (given.number("MinCount")?, given.number("MaxCount")?) else {
            return Err(ApiError::missing(if given.has("MinCount") { "MaxCount" } else { "MinCount" }));
        };
        if min < 1 || max < min {
            return Err(ApiError::invalid(format!(
                "Invalid value '{min}' for minCount or '{max}' for maxCount."
            )));
        }
        let launch = self.launch_of(given)?;
        let (reservation, _) = self.launch(&launch, min, max)?;
        self.remember("RunInstances", given, &reservation);
        Ok(self.reservation_fields(&reservation))
    }

    /// Reads and checks a launch, with the launch template that it names.
    pub(super) fn launch_of(&self, given: &Parameters) -> Result<Launch, ApiError> {
        let parameters = match given.get("LaunchTemplate") {
            Some(named) => given.over(&self.template_data(named)?),
            None => given.clone(),
        };
        let kind = parameters.text("InstanceType").unwrap_or("m1.small");
        let kind = catalog::find(kind)
            .ok_or_else(|| ApiError::invalid(format!("Invalid value '{kind}' for InstanceType.")))?;
        let image = self.image(parameters.required("ImageId")?, &kind)?;
        let interface = parameters.list("NetworkInterface").first().copied().cloned();
        let subnets = self.subnets_of(&parameters, interface.as_ref())?;
        let groups = self.groups_of(&parameters, interface.as_ref())?;
        let market = match parameters.text("InstanceMarketOptions.MarketType") {
            Some("spot") => Market::Spot,
            None => Market::OnDemand,
            Some(other) => return Err(ApiError::invalid(format!("Invalid market type '{other}'"))),
        };
        root_of(&parameters)?;
        Ok(Launch {
            kind,
            image,
            subnets,
            groups,
            public: interface
                .map_or(Ok(None), |found| found.flag("AssociatePublicIpAddress"))?
                .unwrap_or(true),
            market,
            user_data: user_data(&parameters)?,
            metadata: metadata(&parameters)?,
            profile: self.profile(&parameters)?,
            tags: [
                specified(&parameters, "instance", &TAGGABLE)?,
                specified(&parameters, "volume", &TAGGABLE)?,
                specified(&parameters, "network-interface", &TAGGABLE)?,
            ],
            fleet: None,
            token: parameters.text("ClientToken").map(str::to_owned),
            parameters,
        })
    }

    /// Makes as many as there are to be had, from `min` to `max`, or none.
    pub(super) fn launch(
        &mut self,
        launch: &Launch,
        min: u32,
        max: u32,
    ) -> Result<(String, Vec<String>), ApiError> {
        let (subnet, count) = self.place(launch, min, max)?;
        let reservation = self.ids.id("r");
        let mut ids = Vec::new();
        for index in 0..count {
            match self.make(launch, &subnet, &reservation, index) {
                Ok(id) => ids.push(id),
                Err(error) if index < min => {
                    for id in &ids {
                        self.unmake(id);
                    }
                    return Err(error);
                }
                Err(_) => break,
            }
        }
        Ok((reservation, ids))
    }

    /// The first subnet with room for all, else the one with most room, if that is enough.
    fn place(&self, launch: &Launch, min: u32, max: u32) -> Result<(Subnet, u32), ApiError> {
        let mut best: Option<(Subnet, u32)> = None;
        let mut refusal = None;
        for subnet in &launch.subnets {
            let kind = (launch.kind.name.as_str(), launch.kind.vcpus);
            match self.attainable(kind, &subnet.zone, launch.market, (min, max)) {
                Ok(count) if best.as_ref().is_none_or(|(_, known)| count > *known) => {
                    best = Some((subnet.clone(), count));
                }
                Ok(_) => {}
                Err(error) => {
                    refusal.get_or_insert(error);
                }
            }
        }
        best.ok_or_else(|| refusal.unwrap_or_else(|| ApiError::invalid("There is no subnet")))
    }

    fn make(
        &mut self,
        launch: &Launch,
        subnet: &Subnet,
        reservation: &str,
        index: u32,
    ) -> Result<String, ApiError> {
        let private_ip = self.address(subnet)?;
        let id = self.ids.id("i");
        let public_ip = launch.public.then(|| self.public_address());
        let spot_request = (launch.market == Market::Spot).then(|| self.ids.id("sir"));
        let parameters = &launch.parameters;
        let text = |name: &str| parameters.text(name).map(str::to_owned);
        let behaviour = match parameters.text("InstanceInitiatedShutdownBehavior") {
            Some("terminate") => Behaviour::Terminate,
            // A spot instance of a one-time request cannot be stopped.
            _ if launch.market == Market::Spot => Behaviour::Terminate,
            _ => Behaviour::Stop,
        };
        let [tags, volume_tags, interface_tags] = &launch.tags;
        let now = self.now;
        let boot = now.checked_add(self.settings.boot).unwrap_or(now);
        let mut instance = Instance {
            id: id.clone(),
            reservation: reservation.to_owned(),
            index,
            token: launch.token.clone(),
            image: launch.image.clone(),
            kind: launch.kind.clone(),
            market: launch.market,
            spot_request,
            zone: subnet.zone.clone(),
            subnet: subnet.id.clone(),
            groups: launch.groups.clone(),
            placement_group: text("Placement.GroupName"),
            key: text("KeyName"),
            profile: launch.profile.clone(),
            user_data: launch.user_data.clone(),
            behaviour,
            metadata: launch.metadata.clone(),
            private_ip,
            public_ip,
            interface: String::new(),
            volumes: Vec::new(),
            fleet: launch.fleet.clone(),
            tags: tags.clone(),
            state: State::Pending,
            reason: None,
            launched: now,
            made: now,
            due: (self.settings.hosts == Hosts::Imagined).then_some(boot),
            ended: None,
            vanished: false,
            notice: None,
            console: Vec::new(),
        };
        instance.interface = self.make_interface(&instance, interface_tags);
        instance.volumes = self.make_volumes(&instance, parameters, volume_tags)?;
        self.instances.insert(id.clone(), instance);
        self.effects.push(Effect::Boot(id.clone()));
        Ok(id)
    }

    pub(super) fn unmake(&mut self, id: &str) {
        self.release_devices(id);
        if let Some(instance) = self.instances.remove(id) {
            self.addresses.remove(&u32::from(instance.private_ip));
        }
        self.effects.retain(|effect| *effect != Effect::Boot(id.to_owned()));
    }

    fn address(&mut self, subnet: &Subnet) -> Result<Ipv4Addr, ApiError> {
        let (a, b, c) = subnet.base;
        let first = u32::from(Ipv4Addr::new(a, b, c, 0));
        let free = (first + 10..first + 4095).find(|address| !self.addresses.contains(address)).ok_or_else(
            || {
                let text = format!("There are not enough free addresses in subnet '{}'", subnet.id);
                ApiError::new("InsufficientFreeAddressesInSubnet", text)
            },
        )?;
        self.addresses.insert(free);
        Ok(Ipv4Addr::from(free))
    }

    /// One of 198.18.0.0/15, which RFC 2544 keeps for tests.
    fn public_address(&mut self) -> Ipv4Addr {
        self.next_public = (self.next_public + 1) % 0x1_ff00;
        Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + 10 + self.next_public)
    }

    fn image(&self, named: &str, kind: &InstanceType) -> Result<String, ApiError> {
        let id = match named.strip_prefix("resolve:ssm:") {
            Some(parameter) => self.public_parameter(parameter).ok_or_else(|| {
                ApiError::invalid(format!(
                    "Invalid value '{named}' for imageId: the parameter does not exist"
                ))
            })?,
            None => named.to_owned(),
        };
        let Some(image) = self.settings.images.iter().find(|image| image.id == id) else {
            let malformed = !id.starts_with("ami-");
            let code = if malformed { "InvalidAMIID.Malformed" } else { "InvalidAMIID.NotFound" };
            return Err(ApiError::new(code, format!("The image id '[{id}]' does not exist")));
        };
        if image.architecture == kind.architecture {
            return Ok(id);
        }
        Err(ApiError::invalid(format!(
            "The architecture '{}' of the specified instance type does not match the architecture '{}' of the specified \
             AMI. Specify an instance type and an AMI that have matching architectures, and try again.",
            kind.architecture, image.architecture
        )))
    }

    fn subnets_of(
        &self,
        parameters: &Parameters,
        interface: Option<&Parameters>,
    ) -> Result<Vec<Subnet>, ApiError> {
        if interface.is_some() && parameters.has("SubnetId") {
            let text =
                "Network interfaces and an instance-level subnet ID may not be specified on the same request";
            return Err(ApiError::combination(text));
        }
        let named =
            parameters.text("SubnetId").or_else(|| interface.and_then(|found| found.text("SubnetId")));
        let zone = parameters.text("Placement.AvailabilityZone");
        if let Some(named) = named {
            let subnet = self.settings.subnets.iter().find(|subnet| subnet.id == named);
            let subnet = subnet.ok_or_else(|| not_found(named))?;
            if zone.is_some_and(|zone| zone != subnet.zone) {
                return Err(ApiError::invalid(format!(
                    "The subnet '{named}' is not in the availability zone asked for"
                )));
            }
            return Ok(vec![subnet.clone()]);
        }
        let fitting: Vec<_> = self
            .settings
            .subnets
            .iter()
            .filter(|subnet| zone.is_none_or(|zone| zone == subnet.zone))
            .cloned()
            .collect();
        if fitting.is_empty() {
            let text = format!("Invalid availability zone: [{}]", zone.unwrap_or_default());
            return Err(ApiError::invalid(text));
        }
        Ok(fitting)
    }

    fn groups_of(
        &self,
        parameters: &Parameters,
        interface: Option<&Parameters>,
    ) -> Result<Vec<String>, ApiError> {
        let own = parameters.texts("SecurityGroupId");
        if interface.is_some() && !own.is_empty() {
            let text = "Network interfaces and an instance-level security groups may not be specified on the same request";
            return Err(ApiError::combination(text));
        }
        let of_interface = interface.map(|found| found.texts("SecurityGroupId")).unwrap_or_default();
        let mut groups: Vec<_> = own.into_iter().chain(of_interface).map(str::to_owned).collect();
        for id in &groups {
            if !self.groups.contains_key(id) {
                return Err(not_found(id));
            }
        }
        for name in parameters.texts("SecurityGroup") {
            groups.push(self.group_named(name)?);
        }
        if groups.is_empty() {
            groups.push(self.default_group());
        }
        Ok(groups)
    }

    fn profile(&self, parameters: &Parameters) -> Result<Option<String>, ApiError> {
        let Some(named) = parameters.get("IamInstanceProfile") else { return Ok(None) };
        let (kind, given) = match (named.text("Name"), named.text("Arn")) {
            (Some(_), Some(_)) => {
                return Err(ApiError::combination(
                    "The parameter 'iamInstanceProfile.name' may not be used with 'arn'",
                ));
            }
            (Some(name), None) => ("name", name),
            (None, Some(arn)) => ("arn", arn),
            (None, None) => return Ok(None),
        };
        let name = given.rsplit('/').next().unwrap_or(given);
        if self.settings.profiles.contains_key(name) {
            return Ok(Some(name.to_owned()));
        }
        Err(ApiError::invalid(format!(
            "Value ({given}) for parameter iamInstanceProfile.{kind} is invalid. Invalid IAM Instance Profile {kind}"
        )))
    }

    fn reservation_fields(&self, reservation: &str) -> Fields {
        let mut instances: Vec<_> =
            self.instances.values().filter(|instance| instance.reservation == reservation).collect();
        instances.sort_by_key(|instance| instance.index);
        Fields::new()
            .with("reservationId", reservation)
            .with("ownerId", &self.settings.account)
            .items::<Fields>("groupSet", [])
            .items("instancesSet", instances.into_iter().map(|instance| self.instance_fields(instance)))
    }
}

fn user_data(parameters: &Parameters) -> Result<Vec<u8>, ApiError> {
    let encoded = parameters.text("UserData").unwrap_or_default();
    let data = STANDARD
        .decode(encoded.trim())
        .map_err(|_| ApiError::new("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data."))?;
    if data.len() > USER_DATA {
        return Err(ApiError::invalid("User data is limited to 16384 bytes"));
    }
    Ok(data)
}

fn metadata(parameters: &Parameters) -> Result<Metadata, ApiError> {
    let hop_limit = parameters.number("MetadataOptions.HttpPutResponseHopLimit")?.unwrap_or(1);
    if !(1..=64).contains(&hop_limit) {
        return Err(ApiError::invalid(format!("Invalid value '{hop_limit}' for httpPutResponseHopLimit")));
    }
    Ok(Metadata {
        tokens_required: parameters.text("MetadataOptions.HttpTokens") == Some("required"),
        hop_limit,
        enabled: parameters.text("MetadataOptions.HttpEndpoint") != Some("disabled"),
        tags: parameters.text("MetadataOptions.InstanceMetadataTags") == Some("enabled"),
    })
}
