//! What can be found out about an account before a cluster is created in it. Nothing is left there.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    api::{Belonging, Ec2Api, GroupCall, ParameterCall, Secrecy},
    build::{self, FleetCall, InstancesCall, LaunchChoice, Market, fleet_trial, trial},
    names::{self, tag},
    observe::InstanceState,
    plugin, prepare, prices,
};
use crate::{
    model::{CallerEnvironment, ClusterKey, ClusterUid, ErrorKind, InstanceId},
    provider::ProviderError,
    spec::{AddressKind, ComputeCluster, GroupName, InstanceType, Size, WorkerGroupSpec},
};

/// Calls that are made only to find something out.
#[async_trait]
pub trait Ec2Trials: Ec2Api {
    /// Who AWS takes the caller for, as an ARN.
    async fn who(&self) -> Result<String, ProviderError>;

    /// Whether AWS would do that; it does not.
    async fn attempt(&self, trial: Trial<'_>) -> Result<(), ProviderError>;

    /// Subnets by their ids, or the default ones where none is named.
    async fn subnets(&self, named: &[String]) -> Result<Vec<SeenSubnet>, ProviderError>;

    /// How many processors may run at a time under a quota of EC2's.
    async fn quota(&self, quota: Quota) -> Result<u32, ProviderError>;
}

/// What would be done.
#[derive(Debug, Clone, Copy)]
pub enum Trial<'a> {
    /// `RunInstances`, with `PassRole` and `CreateTags`.
    Launch(&'a InstancesCall),
    /// `CreateFleet`, from a launch template that is there.
    Fleet(&'a FleetCall),
    /// `AuthorizeSecurityGroupIngress`.
    LetIn(&'a str),
    /// `RevokeSecurityGroupIngress`.
    ShutOut(&'a str),
    /// `TerminateInstances`.
    Terminate(&'a InstanceId),
    /// `CreateTags`.
    Tag(&'a InstanceId),
    /// `DeleteTags`.
    Untag(&'a InstanceId),
    /// `GetConsoleOutput`.
    ReadConsole(&'a InstanceId),
}

/// A subnet as EC2 shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenSubnet {
    /// Its id.
    pub id: String,
    /// In which zone.
    pub zone: String,
    /// How many addresses it has left.
    pub free: u32,
}

/// A quota of processors, by the code that Service Quotas has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quota(pub &'static str);

impl Quota {
    /// That which a type counts under; `None`: it is not one of those that Crewcall knows.
    fn of(instance_type: &InstanceType, market: Market) -> Option<Self> {
        let family = instance_type.family().chars().next()?;
        Some(Self(match (family, market) {
            ('a' | 'c' | 'd' | 'h' | 'i' | 'm' | 'r' | 't' | 'z', Market::OnDemand) => "L-1216C47A",
            ('a' | 'c' | 'd' | 'h' | 'i' | 'm' | 'r' | 't' | 'z', Market::Spot) => "L-34B43A08",
            ('g' | 'v', Market::OnDemand) => "L-DB2E81BA",
            ('g' | 'v', Market::Spot) => "L-3819A6DF",
            ('p', Market::OnDemand) => "L-417A185B",
            ('p', Market::Spot) => "L-7212CCBC",
            _ => return None,
        }))
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// What.
    pub what: &'static str,
    /// How that ended.
    pub outcome: Outcome,
}

/// How a look ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Good, and what was seen.
    Good(String),
    /// Something may not work.
    Doubtful(ProviderError),
    /// Clusters will not work.
    Bad(ProviderError),
}

impl Examined {
    fn good(what: &'static str, message: impl Into<String>) -> Self {
        Self { what, outcome: Outcome::Good(message.into()) }
    }

    fn bad(what: &'static str, error: ProviderError) -> Self {
        Self { what, outcome: Outcome::Bad(error) }
    }

    fn doubtful(what: &'static str, message: impl Into<String>, hint: &str) -> Self {
        let error = ProviderError::new(ErrorKind::Invalid, message).with_hint(hint);
        Self { what, outcome: Outcome::Doubtful(error) }
    }

    fn of(what: &'static str, outcome: Result<String, ProviderError>) -> Self {
        match outcome {
            Ok(message) => Self::good(what, message),
            Err(error) => Self::bad(what, error),
        }
    }
}

const LAUNCHING: &str = "launching";
const PARAMETERS: &str = "parameters";
const QUOTA: &str = "quota";
const REACH: &str = "reach";

/// Looks at everything that clusters of that document need, for a caller with that environment. `bits` are random.
pub async fn examine(
    api: &dyn Ec2Trials,
    document: &ComputeCluster,
    environment: &CallerEnvironment,
    installation: &str,
    bits: u64,
    now: Timestamp,
) -> Vec<Examined> {
    let caller = Examined::of("caller", api.who().await.map(|who| format!("{who}, in {}", api.region())));
    if matches!(caller.outcome, Outcome::Bad(_)) {
        return vec![caller];
    }
    let cluster = ClusterKey { uid: ClusterUid::from_random(bits), name: document.metadata.name.clone() };
    let mut found = vec![caller, network(api, document).await];
    found.push(Examined::of(
        "document",
        prepare::check(document, api.region())
            .map(|()| "there are machines for every group, and a profile for every role".to_owned()),
    ));
    found.extend(groups_and_launches(api, document, &cluster, installation, now).await);
    found.push(machines(api, installation).await);
    found.push(Examined::of(PARAMETERS, parameters(api, installation, bits).await));
    found.extend(quotas(api, document).await);
    found.push(reach(api, document, environment).await);
    found
}

async fn network(api: &dyn Ec2Trials, document: &ComputeCluster) -> Examined {
    const WHAT: &str = "network";
    let named = document.spec.ec2().map(|ec2| ec2.subnets.clone()).unwrap_or_default();
    let subnets = match api.subnets(&named).await {
        Ok(subnets) => subnets,
        Err(error) => return Examined::bad(WHAT, error),
    };
    if subnets.is_empty() {
        let error = ProviderError::new(ErrorKind::Invalid, "this region has no default subnet");
        return Examined::bad(WHAT, error.with_hint("name `subnets` in `provider.ec2`"));
    }
    let told: Vec<String> = subnets
        .iter()
        .map(|subnet| format!("{} in {} ({} addresses free)", subnet.id, subnet.zone, subnet.free))
        .collect();
    if subnets.iter().all(|subnet| subnet.free == 0) {
        return Examined::doubtful(WHAT, told.join(", "), "name `subnets` with addresses left");
    }
    Examined::good(WHAT, told.join(", "))
}

/// The first choice of every group, and the scheduler's.
fn first_choices(document: &ComputeCluster, region: &str) -> Vec<(GroupName, LaunchChoice)> {
    let groups = document.spec.groups().map(|(name, _)| name);
    std::iter::once(GroupName::scheduler())
        .chain(groups)
        .filter_map(|group| {
            let first = build::choices(document, &group, region).into_iter().next()?;
            Some((group, first))
        })
        .collect()
}

/// A security group, which is made, tried and removed: the smallest policy allows launches into such a group only.
async fn groups_and_launches(
    api: &dyn Ec2Trials,
    document: &ComputeCluster,
    cluster: &ClusterKey,
    installation: &str,
    now: Timestamp,
) -> Vec<Examined> {
    const WHAT: &str = "groups";
    let ec2 = document.spec.ec2().cloned().unwrap_or_default();
    let tags = names::tags(cluster, installation, &ec2.tags);
    let mut of_group = tags.clone();
    // By its age `gc` finds one that was not removed.
    of_group.insert(tag::CREATED_AT.to_owned(), names::moment(now));
    let group = match make_group(api, ec2.subnets.first(), cluster, of_group).await {
        Ok(group) => group,
        Err(error) => return vec![Examined::bad(WHAT, error)],
    };
    let mut tried = all_of(api, &[Trial::LetIn(&group), Trial::ShutOut(&group)]).await;
    let launches = launches(api, document, cluster, &group, &tags).await;
    if let Err(error) = api.delete_group(&group).await {
        tried = Err(error);
    }
    let tried = tried.map(|()| "may be made, opened, closed and removed".to_owned());
    std::iter::once(Examined::of(WHAT, tried)).chain(launches).collect()
}

async fn make_group(
    api: &dyn Ec2Trials,
    subnet: Option<&String>,
    cluster: &ClusterKey,
    tags: BTreeMap<String, String>,
) -> Result<String, ProviderError> {
    let vpc = match subnet {
        Some(subnet) => Some(api.vpc_of_subnet(subnet).await?),
        None => None,
    };
    let call = GroupCall {
        name: names::anchor(&cluster.uid),
        description: "Crewcall looks whether it may make groups".to_owned(),
        vpc,
        tags,
    };
    api.create_group(&call).await
}

/// Launches of a machine of each group, which are not made: of each type, and by a fleet where it would be one.
async fn launches(
    api: &dyn Ec2Trials,
    document: &ComputeCluster,
    cluster: &ClusterKey,
    security_group: &str,
    tags: &BTreeMap<String, String>,
) -> Vec<Examined> {
    let mut found = Vec::new();
    if document.spec.ec2().is_none_or(|ec2| ec2.instance_profiles.is_none()) {
        return found;
    }
    for (group, choice) in first_choices(document, api.region()) {
        let mut profile = String::new();
        let mut refused = Vec::new();
        for priced in &choice.types {
            let here = choice.pools().into_iter().find(|pool| pool.instance_type == priced.instance_type);
            let Some(pool) = here else { continue };
            let call = trial(document, &group, &choice, pool, (security_group, tags.clone()));
            profile.clone_from(&call.data.profile);
            if let Err(error) = api.attempt(Trial::Launch(&call)).await {
                refused.push((priced.instance_type.to_string(), error));
            }
        }
        let told = format!("{group}: {choice}, with its image, profile {profile} and tags");
        found.push(of_types(told, refused, choice.types.len()));
        if choice.single().is_none() {
            let tried = by_fleet(api, document, (cluster, &group), &choice, (security_group, tags)).await;
            found.push(Examined::of(LAUNCHING, tried.map(|()| format!("{group}: by a fleet"))));
        }
    }
    found
}

/// What came of trying each type: one that will not do is a matter of choice, as long as another does.
fn of_types(told: String, mut refused: Vec<(String, ProviderError)>, types: usize) -> Examined {
    let all = refused.len() == types;
    let Some((name, error)) = refused.pop() else { return Examined::good(LAUNCHING, told) };
    if all {
        return Examined::bad(LAUNCHING, error);
    }
    let error = ProviderError { message: format!("{name}: {}", error.message), ..error };
    Examined { what: LAUNCHING, outcome: Outcome::Doubtful(error) }
}

/// A launch template, which is made and removed, and a fleet from it, which is not made.
async fn by_fleet(
    api: &dyn Ec2Trials,
    document: &ComputeCluster,
    (cluster, group): (&ClusterKey, &GroupName),
    choice: &LaunchChoice,
    (security_group, tags): (&str, &BTreeMap<String, String>),
) -> Result<(), ProviderError> {
    let (template, fleet) = fleet_trial(document, (cluster, group), choice, (security_group, tags.clone()));
    let tried = match api.create_template(&template).await {
        Ok(()) => api.attempt(Trial::Fleet(&fleet)).await,
        Err(error) => Err(error),
    };
    // Also where the creating reply was lost; and what was found wrong first is what is told.
    let removed = api.delete_template(&template.name).await;
    tried?;
    removed?;
    // What is there is looked for when a cluster is removed.
    api.templates(&Belonging::Cluster(cluster.uid.clone())).await?;
    api.fleets(&cluster.uid).await.map(drop)
}

/// What is done with machines that are there.
async fn machines(api: &dyn Ec2Trials, installation: &str) -> Examined {
    const WHAT: &str = "machines";
    let seen = match api.instances(&Belonging::Installation(installation.to_owned())).await {
        Ok(seen) => seen,
        Err(error) => return Examined::bad(WHAT, error),
    };
    // A policy that asks for our tags refuses these calls for everything that does not have them.
    let Some(one) = seen.iter().find(|one| is_up(one.state)) else {
        return Examined::good(
            WHAT,
            "may be seen; whether they may be ended can be asked once there are some",
        );
    };
    let trials =
        [Trial::Terminate(&one.id), Trial::Tag(&one.id), Trial::Untag(&one.id), Trial::ReadConsole(&one.id)];
    let tried = all_of(api, &trials).await;
    Examined::of(WHAT, tried.map(|()| "may be ended, tagged and listened to".to_owned()))
}

fn is_up(state: InstanceState) -> bool {
    matches!(state, InstanceState::Pending | InstanceState::Running)
}

async fn all_of(api: &dyn Ec2Trials, trials: &[Trial<'_>]) -> Result<(), ProviderError> {
    for trial in trials {
        api.attempt(*trial).await?;
    }
    Ok(())
}

/// Systems Manager has no calls without effect: a parameter is made, seen and removed.
async fn parameters(api: &dyn Ec2Trials, installation: &str, bits: u64) -> Result<String, ProviderError> {
    let path = format!("{}/doctor", names::parameters_of(installation));
    let name = format!("{path}/{bits:016x}");
    let call = ParameterCall { name: name.clone(), value: "-".to_owned(), secrecy: Secrecy::Encrypted };
    api.put_parameter(&call).await?;
    let seen = api.parameters(&path).await;
    // Also what an earlier look could not remove.
    let mut all = seen.as_ref().map_or_else(|_| Vec::new(), Clone::clone);
    if !all.contains(&name) {
        all.push(name);
    }
    for batch in all.chunks(10) {
        api.delete_parameters(batch).await?;
    }
    seen?;
    Ok(format!("may be written, seen and removed below {}", names::parameters_of(installation)))
}

/// Processors that the document asks for at most, by the quota that they count under.
fn processors(document: &ComputeCluster, region: &str) -> BTreeMap<Quota, u32> {
    let offers = prices::offers();
    let mut wanted: BTreeMap<Quota, u32> = BTreeMap::new();
    for (group, choice) in first_choices(document, region) {
        let count = match document.spec.group(&group).map(WorkerGroupSpec::size) {
            None => 1,
            Some(None) => 0,
            Some(Some(Size::Fixed(count) | Size::Adaptive { max: count, .. })) => count,
        };
        let mut most: BTreeMap<Quota, u32> = BTreeMap::new();
        for priced in &choice.types {
            let offer = offers.iter().find(|offer| offer.name == priced.instance_type);
            let quota = Quota::of(&priced.instance_type, choice.market);
            if let (Some(offer), Some(quota)) = (offer, quota) {
                let known = most.entry(quota).or_default();
                *known = offer.processors.max(*known);
            }
        }
        for (quota, processors) in most {
            let sum = wanted.entry(quota).or_default();
            *sum = sum.saturating_add(processors.saturating_mul(count));
        }
    }
    wanted
}

async fn quotas(api: &dyn Ec2Trials, document: &ComputeCluster) -> Vec<Examined> {
    let mut found = Vec::new();
    for (quota, wanted) in processors(document, api.region()) {
        found.push(match api.quota(quota).await {
            // Nothing but this look needs it.
            Err(error) => Examined { what: QUOTA, outcome: Outcome::Doubtful(error) },
            Ok(allowed) if allowed < wanted => Examined::doubtful(
                QUOTA,
                format!(
                    "{wanted} processors are asked for at most, and {} allows {allowed} at a time",
                    quota.0
                ),
                &format!(
                    "aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {} \
                     --desired-value {wanted}",
                    quota.0
                ),
            ),
            Ok(allowed) => Examined::good(
                QUOTA,
                format!("{} allows {allowed} processors at a time; at most {wanted} are asked for", quota.0),
            ),
        });
    }
    found
}

async fn reach(api: &dyn Ec2Trials, document: &ComputeCluster, environment: &CallerEnvironment) -> Examined {
    let ec2 = document.spec.ec2().cloned().unwrap_or_default();
    if let Err(error) = prepare::check_clients(document, api, environment).await {
        return Examined::bad(REACH, error);
    }
    let clients = format!("clients at {}", ec2.client_cidrs.join(", "));
    match ec2.addresses {
        AddressKind::SessionManager => Examined::doubtful(
            REACH,
            format!(
                "through Session Manager: {} is on the PATH; whether sessions are allowed shows with the first machine",
                plugin::PLUGIN
            ),
            "with `session_manager = true` the module in `terraform/` allows you to start them, and the scheduler to \
             offer them",
        ),
        AddressKind::Private => Examined::doubtful(
            REACH,
            format!("{clients}, who have a route to the scheduler's private address"),
            "run crewcall inside the network, or behind a VPN that leads there; without one write `addresses: \
             sessionManager`",
        ),
        AddressKind::Public if ec2.client_cidrs.is_empty() => {
            let address = api.callers_address().await.map(|address| address.to_string());
            Examined::good(REACH, format!("clients at {}", address.unwrap_or_default()))
        }
        AddressKind::Public => Examined::good(REACH, clients),
    }
}
