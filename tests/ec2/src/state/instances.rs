//! What an instance is.

use jiff::Timestamp;

use super::{
    capacity::Market,
    catalog::InstanceType,
    cloud::Cloud,
    tags::{Tags, tag_set},
};
use crate::protocol::Fields;

/// A state of an instance, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Not yet booted.
    Pending,
    /// Booted.
    Running,
    /// Told to stop, or stopping by itself.
    Stopping,
    /// Stopped; may be started again.
    Stopped,
    /// Told to end, or ending by itself.
    ShuttingDown,
    /// Ended for good.
    Terminated,
}

impl State {
    /// As the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    pub(super) fn fields(self) -> Fields {
        Fields::new().with("code", self.code()).with("name", self.name())
    }
}

/// What a shutdown from inside leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// The instance can be started again.
    Stop,
    /// The instance is gone.
    Terminate,
}

/// Why a state was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// As in `Client.UserInitiatedShutdown`.
    pub code: &'static str,
    /// For people.
    pub message: &'static str,
}

impl Reason {
    pub(super) const USER: Self =
        Self { code: "Client.UserInitiatedShutdown", message: "User initiated shutdown" };
    pub(super) const INSIDE: Self =
        Self { code: "Client.InstanceInitiatedShutdown", message: "Instance initiated shutdown" };
    pub(super) const SPOT: Self =
        Self { code: "Server.SpotInstanceTermination", message: "Spot instance termination" };
    pub(super) const FAILED: Self =
        Self { code: "Server.InternalError", message: "Internal error on launch" };
}

/// An announced interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// When the machine is taken.
    pub at: Timestamp,
}

/// How an instance may ask about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Only with a token.
    pub tokens_required: bool,
    /// How many hops an answer lives.
    pub hop_limit: u32,
    /// Whether it is answered at all.
    pub enabled: bool,
    /// Whether its tags are among the answers.
    pub tags: bool,
}

/// A machine.
#[derive(Debug, Clone)]
pub struct Instance {
    /// As in `i-0123456789abcdef0`.
    pub id: String,
    /// The call that made it.
    pub reservation: String,
    /// The how many-eth of its launch.
    pub index: u32,
    /// The client's token.
    pub token: Option<String>,
    /// Its image.
    pub image: String,
    /// Its type.
    pub kind: InstanceType,
    /// How it is paid.
    pub market: Market,
    /// The request that a spot instance fulfils.
    pub spot_request: Option<String>,
    /// Its zone.
    pub zone: String,
    /// Its subnet.
    pub subnet: String,
    /// Its security groups.
    pub groups: Vec<String>,
    /// Its placement group.
    pub placement_group: Option<String>,
    /// Its key pair.
    pub key: Option<String>,
    /// Its instance profile's name.
    pub profile: Option<String>,
    /// What cloud-init gets.
    pub user_data: Vec<u8>,
    /// What a shutdown from inside leads to.
    pub behaviour: Behaviour,
    /// How it may ask about itself.
    pub metadata: Metadata,
    /// Inside the network.
    pub private_ip: std::net::Ipv4Addr,
    /// From outside, once it runs.
    pub public_ip: Option<std::net::Ipv4Addr>,
    /// Its network interface.
    pub interface: String,
    /// Its volumes, the root's first.
    pub volumes: Vec<String>,
    /// The fleet that made it.
    pub fleet: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// Where it is in its life.
    pub state: State,
    /// Why it left the last state.
    pub reason: Option<Reason>,
    /// When it was made or started again.
    pub launched: Timestamp,
    /// When it was made.
    pub made: Timestamp,
    /// When an imagined host's state changes by itself.
    pub due: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Not described any more.
    pub vanished: bool,
    /// An announced interruption.
    pub notice: Option<Notice>,
    /// What its console said.
    pub console: Vec<u8>,
}

impl Instance {
    /// Whether it has an address, a disk and a price.
    pub fn lives(&self) -> bool {
        self.state != State::Terminated
    }

    /// Whether somebody else could not have the machine.
    pub(super) fn holds_capacity(&self) -> bool {
        !matches!(self.state, State::Terminated | State::Stopped)
    }

    /// As in `ip-10-251-0-10.ec2.internal`.
    pub fn private_name(&self) -> String {
        let [a, b, c, d] = self.private_ip.octets();
        format!("ip-{a}-{b}-{c}-{d}.ec2.internal")
    }

    /// The public address, which only a running instance has.
    pub fn reachable_ip(&self) -> Option<std::net::Ipv4Addr> {
        self.public_ip.filter(|_| self.state == State::Running)
    }

    /// The hardware address, which follows from the private one.
    pub fn mac(&self) -> String {
        let [a, b, c, d] = self.private_ip.octets();
        format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    }
}

impl Cloud {
    /// As the API describes it.
    pub(super) fn instance_fields(&self, instance: &Instance) -> Fields {
        let lives = instance.lives();
        let fields = Fields::new()
            .with("instanceId", &instance.id)
            .with("imageId", &instance.image)
            .fields("instanceState", instance.state.fields())
            .with("privateDnsName", if lives { instance.private_name() } else { String::new() })
            .with("dnsName", "")
            .with("reason", instance.reason.as_ref().map_or("", |reason| reason.message))
            .with_some("keyName", instance.key.as_ref())
            .with("amiLaunchIndex", instance.index)
            .items::<Fields>("productCodes", [])
            .with("instanceType", &instance.kind.name)
            .with("launchTime", timestamp(instance.launched))
            .fields("placement", placement(instance))
            .fields("monitoring", Fields::new().with("state", "disabled"));
        let fields = if lives { self.place_fields(fields, instance) } else { fields };
        let fields = match &instance.reason {
            Some(reason) => fields.fields(
                "stateReason",
                Fields::new()
                    .with("code", reason.code)
                    .with("message", format!("{}: {}", reason.code, reason.message)),
            ),
            None => fields,
        };
        let spot = instance.market == Market::Spot;
        fields
            .with("architecture", instance.kind.architecture)
            .with("rootDeviceType", "ebs")
            .with("rootDeviceName", "/dev/xvda")
            .items("blockDeviceMapping", self.mappings(instance))
            .with("virtualizationType", "hvm")
            .with_some("instanceLifecycle", spot.then_some("spot"))
            .with_some("spotInstanceRequestId", instance.spot_request.as_ref())
            .with("clientToken", instance.token.as_deref().unwrap_or_default())
            .items("tagSet", tag_set(&instance.tags))
            .with("hypervisor", "xen")
            .items("networkInterfaceSet", self.interfaces_of(instance))
            .with("ebsOptimized", false)
            .with("enaSupport", true)
            .fields("metadataOptions", metadata(&instance.metadata))
    }

    fn place_fields(&self, fields: Fields, instance: &Instance) -> Fields {
        let fields = fields
            .with("subnetId", &instance.subnet)
            .with("vpcId", &self.settings.vpc)
            .with("privateIpAddress", instance.private_ip)
            .with_some("ipAddress", instance.reachable_ip())
            .with("sourceDestCheck", true)
            .items("groupSet", self.group_set(&instance.groups));
        match &instance.profile {
            Some(profile) => fields.fields(
                "iamInstanceProfile",
                Fields::new().with("arn", self.profile_arn(profile)).with("id", "AIPA0C0FFEE0C0FFEE000"),
            ),
            None => fields,
        }
    }

    /// The name by which policies know a profile.
    pub fn profile_arn(&self, name: &str) -> String {
        format!("arn:aws:iam::{}:instance-profile/{name}", self.settings.account)
    }
}

fn placement(instance: &Instance) -> Fields {
    Fields::new()
        .with("availabilityZone", &instance.zone)
        .with("groupName", instance.placement_group.as_deref().unwrap_or_default())
        .with("tenancy", "default")
}

fn metadata(metadata: &Metadata) -> Fields {
    let switch = |on| if on { "enabled" } else { "disabled" };
    Fields::new()
        .with("state", "applied")
        .with("httpTokens", if metadata.tokens_required { "required" } else { "optional" })
        .with("httpPutResponseHopLimit", metadata.hop_limit)
        .with("httpEndpoint", switch(metadata.enabled))
        .with("httpProtocolIpv6", "disabled")
        .with("instanceMetadataTags", switch(metadata.tags))
}

/// As EC2 writes times: to the second, with three digits of nothing.
pub(super) fn timestamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}
