//! The whole account, and the way of a call through it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    admission::{Caller, Credentials, Mishap, Throttle, Verdict},
    capacity::Room,
    devices::{Interface, Volume},
    fleets::Fleet,
    groups::Group,
    ids::Generator,
    instances::Instance,
    sessions::Session,
    settings::{Policy, Settings},
    ssm::Parameter,
    templates::Template,
};
use crate::{
    error::ApiError,
    protocol::{Fields, Parameters},
};

/// A service of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Machines.
    Ec2,
    /// Parameters.
    Ssm,
    /// Who calls.
    Sts,
    /// Instance profiles.
    Iam,
    /// How much an account may have.
    ServiceQuotas,
}

impl Service {
    /// As policies name its actions.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Ssm => "ssm",
            Self::Sts => "sts",
            Self::Iam => "iam",
            Self::ServiceQuotas => "servicequotas",
        }
    }
}

/// A call that was made.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Call {
    /// When.
    pub at: Timestamp,
    /// Of which service.
    pub service: Service,
    /// As in `RunInstances`.
    pub action: String,
    /// Who.
    pub access_key: String,
    /// The code it was refused with.
    pub error: Option<String>,
    /// Whether its answer was withheld.
    pub lost: bool,
}

/// What is to happen to hosts, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Boot this instance.
    Boot(String),
    /// Reboot it.
    Reboot(String),
    /// Ask it to power off, then see that it does.
    End(String),
    /// It is gone for good: remove its disk.
    Forget(String),
    /// Who may reach whom has changed.
    Rules,
}

/// The answer of a call, and what becomes of it on its way.
#[derive(Debug)]
pub struct Answered {
    /// What it answers.
    pub result: Result<Fields, ApiError>,
    /// Whether that arrives.
    pub verdict: Verdict,
}

/// An account in a region.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// The world and its habits.
    pub settings: Settings,
    pub(super) ids: Generator,
    pub(super) instances: BTreeMap<String, Instance>,
    pub(super) volumes: BTreeMap<String, Volume>,
    pub(super) interfaces: BTreeMap<String, Interface>,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) templates: BTreeMap<String, Template>,
    pub(super) fleets: BTreeMap<String, Fleet>,
    pub(super) parameters: BTreeMap<String, Parameter>,
    pub(super) sessions: BTreeMap<String, Session>,
    /// By action and token: what was asked, and the id of what was made.
    pub(super) tokens: BTreeMap<(&'static str, String), (Parameters, String)>,
    pub(super) addresses: BTreeSet<u32>,
    pub(super) next_public: u32,
    pub(super) principals: BTreeMap<String, Credentials>,
    /// What callers whose credentials are not known may do.
    pub(super) everybody: Policy,
    pub(super) rooms: Vec<Room>,
    pub(super) throttles: Vec<Throttle>,
    pub(super) mishaps: Vec<Mishap>,
    pub(super) calls: Vec<Call>,
    pub(super) effects: Vec<Effect>,
    pub(super) now: Timestamp,
}

impl Cloud {
    /// An empty account, whose ids follow from the seed.
    pub fn new(settings: Settings, seed: u64, now: Timestamp) -> Self {
        let mut cloud = Self {
            settings,
            ids: Generator::new(seed),
            instances: BTreeMap::new(),
            volumes: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            groups: BTreeMap::new(),
            templates: BTreeMap::new(),
            fleets: BTreeMap::new(),
            parameters: BTreeMap::new(),
            sessions: BTreeMap::new(),
            tokens: BTreeMap::new(),
            addresses: BTreeSet::new(),
            next_public: 0,
            principals: BTreeMap::new(),
            everybody: Policy::administrator(),
            rooms: Vec::new(),
            throttles: Vec::new(),
            mishaps: Vec::new(),
            calls: Vec::new(),
            effects: Vec::new(),
            now,
        };
        cloud.add_default_group();
        cloud
    }

    /// The calls that were made, the first one first.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Forgets the calls that were made.
    pub fn forget_calls(&mut self) {
        self.calls.clear();
    }

    /// How many calls of each action were made.
    pub fn count_calls(&self) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for call in &self.calls {
            *counts.entry(call.action.clone()).or_default() += 1;
        }
        counts
    }

    /// What is to happen to hosts since this was asked last.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// All instances that were ever made, by id.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    /// An instance.
    pub fn instance(&self, id: &str) -> Option<&Instance> {
        self.instances.get(id)
    }

    /// What costs money or clutters the account, as `kind id`; empty when nothing is left behind.
    pub fn leftovers(&self) -> Vec<String> {
        let default = self.default_group();
        let instances = self.instances.values().filter(|instance| instance.lives()).map(|found| &found.id);
        let groups = self.groups.keys().filter(|id| **id != default);
        let fleets = self.fleets.iter().filter(|(_, fleet)| !fleet.deleted).map(|(id, _)| id);
        let kinds: [(&str, Vec<&String>); 8] = [
            ("instance", instances.collect()),
            ("volume", self.volumes.keys().collect()),
            ("network-interface", self.interfaces.keys().collect()),
            ("security-group", groups.collect()),
            ("launch-template", self.templates.keys().collect()),
            ("fleet", fleets.collect()),
            ("parameter", self.parameters.keys().collect()),
            ("session", self.open_sessions()),
        ];
        kinds.iter().flat_map(|(kind, ids)| ids.iter().map(move |id| format!("{kind} {id}"))).collect()
    }

    /// Answers a call of EC2, STS or IAM.
    pub fn query(
        &mut self,
        service: Service,
        action: &str,
        parameters: &Parameters,
        caller: &Caller,
        now: Timestamp,
    ) -> Answered {
        let verdict = match self.admit(service, action, caller, now) {
            Ok(verdict) => verdict,
            Err(error) => return Answered { result: Err(error), verdict: Verdict::Answer },
        };
        if verdict == Verdict::LoseRequest {
            return Answered { result: Ok(Fields::new()), verdict };
        }
        let result = self.permitted(service, action, parameters, caller);
        let result = result.and_then(|()| match service {
            Service::Ec2 => self.ec2(action, parameters),
            Service::Sts => self.sts(action, caller),
            Service::Iam => self.iam(action, parameters),
            Service::Ssm | Service::ServiceQuotas => {
                Err(ApiError::new("UnknownOperationException", "this service speaks JSON"))
            }
        });
        if let (Err(error), Some(call)) = (&result, self.calls.last_mut()) {
            call.error = Some(error.code.clone());
        }
        Answered { result, verdict }
    }

    fn permitted(
        &self,
        service: Service,
        action: &str,
        parameters: &Parameters,
        caller: &Caller,
    ) -> Result<(), ApiError> {
        if !self.allowed(service, action, "", caller) {
            let text = match service {
                Service::Ec2 => format!(
                    "You are not authorized to perform this operation. User: arn:aws:iam::{}:{} is not authorized to \
                     perform: ec2:{action} because no identity-based policy allows the ec2:{action} action",
                    self.settings.account,
                    self.principal(caller)
                ),
                _ => format!("User is not authorized to perform: {}:{action}", service.prefix()),
            };
            let code = if service == Service::Ec2 { "UnauthorizedOperation" } else { "AccessDenied" };
            return Err(ApiError::new(code, text).status(403));
        }
        if service == Service::Ec2 && parameters.flag("DryRun")? == Some(true) {
            let text = "Request would have succeeded, but DryRun flag is set.";
            return Err(ApiError::new("DryRunOperation", text).status(412));
        }
        Ok(())
    }

    fn ec2(&mut self, action: &str, parameters: &Parameters) -> Result<Fields, ApiError> {
        match action {
            "RunInstances" => self.run_instances(parameters),
            "DescribeInstances" => self.describe_instances(parameters),
            "DescribeInstanceStatus" => self.describe_instance_status(parameters),
            "DescribeInstanceAttribute" => self.describe_instance_attribute(parameters),
            "TerminateInstances" | "StopInstances" | "StartInstances" | "RebootInstances" => {
                self.change_instances(action, parameters)
            }
            "GetConsoleOutput" => self.console_output(parameters),
            "CreateTags" => self.create_tags(parameters),
            "DeleteTags" => self.delete_tags(parameters),
            "DescribeTags" => self.describe_tags(parameters),
            "CreateFleet" => self.create_fleet(parameters),
            "DescribeFleets" => self.describe_fleets(parameters),
            "DeleteFleets" => self.delete_fleets(parameters),
            "CreateLaunchTemplate" => self.create_template(parameters),
            "CreateLaunchTemplateVersion" => self.create_template_version(parameters),
            "DescribeLaunchTemplates" => self.describe_templates(parameters),
            "DescribeLaunchTemplateVersions" => self.describe_template_versions(parameters),
            "DeleteLaunchTemplate" => self.delete_template(parameters),
            "CreateSecurityGroup" => self.create_group(parameters),
            "DescribeSecurityGroups" => self.describe_groups(parameters),
            "DescribeSecurityGroupRules" => self.describe_rules(parameters),
            "AuthorizeSecurityGroupIngress" | "AuthorizeSecurityGroupEgress" => {
                self.authorize(action, parameters)
            }
            "RevokeSecurityGroupIngress" | "RevokeSecurityGroupEgress" => self.revoke(action, parameters),
            "DeleteSecurityGroup" => self.delete_group(parameters),
            "DescribeVolumes" => self.describe_volumes(parameters),
            "DescribeNetworkInterfaces" => self.describe_interfaces(parameters),
            _ => self.surroundings(action, parameters),
        }
    }

    fn sts(&self, action: &str, caller: &Caller) -> Result<Fields, ApiError> {
        if action != "GetCallerIdentity" {
            return Err(unknown(action));
        }
        let principal = self.principal(caller);
        let service = if principal.starts_with("assumed-role/") { "sts" } else { "iam" };
        let account = &self.settings.account;
        Ok(Fields::new()
            .with("Arn", format!("arn:aws:{service}::{account}:{principal}"))
            .with("UserId", caller.access_key.as_deref().unwrap_or_default())
            .with("Account", account))
    }

    fn iam(&self, action: &str, parameters: &Parameters) -> Result<Fields, ApiError> {
        if action != "GetInstanceProfile" {
            return Err(unknown(action));
        }
        let name = parameters.required("InstanceProfileName")?;
        if !self.settings.profiles.contains_key(name) {
            return Err(ApiError::new("NoSuchEntity", format!("Instance Profile {name} cannot be found."))
                .status(404));
        }
        Ok(Fields::new().fields(
            "InstanceProfile",
            Fields::new()
                .with("Path", "/")
                .with("InstanceProfileName", name)
                .with("InstanceProfileId", "AIPA0C0FFEE0C0FFEE000")
                .with("Arn", self.profile_arn(name))
                .with("CreateDate", "2026-01-01T00:00:00Z"),
        ))
    }

    /// The id that an earlier call of the same token made; another request under that token is refused.
    pub(super) fn repeated(
        &self,
        action: &'static str,
        parameters: &Parameters,
    ) -> Result<Option<String>, ApiError> {
        let Some(token) = parameters.text("ClientToken") else { return Ok(None) };
        if token.len() > 64 {
            return Err(ApiError::invalid(format!(
                "Invalid value '{token}' for clientToken: longer than 64 characters"
            )));
        }
        match self.tokens.get(&(action, token.to_owned())) {
            Some((asked, made)) if asked == parameters => Ok(Some(made.clone())),
            Some(_) => Err(ApiError::mismatch()),
            None => Ok(None),
        }
    }

    /// Remembers what a token made.
    pub(super) fn remember(&mut self, action: &'static str, parameters: &Parameters, made: &str) {
        if let Some(token) = parameters.text("ClientToken") {
            self.tokens.insert((action, token.to_owned()), (parameters.clone(), made.to_owned()));
        }
    }

    /// Whether what was made then is described by now.
    pub(super) fn visible(&self, made: Timestamp) -> bool {
        self.now.duration_since(made) >= self.settings.visibility
    }
}

/// There is no such action.
pub(super) fn unknown(action: &str) -> ApiError {
    ApiError::new("InvalidAction", format!("The action {action} is not valid for this web service."))
}
