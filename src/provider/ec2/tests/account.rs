//! An account that lives in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Mutex,
};

use async_trait::async_trait;

use super::now;
use crate::{
    model::{CallerEnvironment, ClusterUid, ErrorKind, InstanceId},
    provider::{
        ProviderError,
        ec2::{
            Belonging, Ec2Api, Filled, GroupCall, ParameterCall, PoolRefusal, Secrecy, SeenGroup,
            SeenTemplate,
            build::{ClientBlock, FleetCall, InstancesCall, Market, Place, Pool, TemplateCall},
            names::tag,
            observe::{InstanceState, SeenInstance},
        },
    },
};

/// An account. Every call is counted by its name.
#[derive(Default)]
pub struct Account {
    pub instances: BTreeMap<InstanceId, SeenInstance>,
    tokens: BTreeMap<String, (InstancesCall, Vec<InstanceId>)>,
    fleet_tokens: BTreeMap<String, (FleetCall, Filled)>,
    /// By their names.
    pub templates: BTreeMap<String, TemplateCall>,
    /// Records of fleets: their tags, by their ids.
    pub fleets: BTreeMap<String, BTreeMap<String, String>>,
    pub groups: BTreeMap<String, SeenGroup>,
    pub parameters: BTreeMap<String, (String, Secrecy)>,
    pub consoles: BTreeMap<InstanceId, String>,
    pub calls: BTreeMap<&'static str, u32>,
    /// The next call of that name has its effect, and its reply is lost.
    pub lose: BTreeSet<&'static str>,
    /// Where the caller is.
    pub caller: Option<IpAddr>,
    /// There is no room for this market.
    pub full: Option<Market>,
    /// There is no room for this type.
    pub full_type: Option<&'static str>,
    /// What was made is not described yet.
    pub hides: bool,
    /// How often credentials were handed over.
    pub renewals: u32,
}

#[derive(Default)]
pub struct Fake(Mutex<Account>);

impl Fake {
    fn call<T>(
        &self,
        name: &'static str,
        act: impl FnOnce(&mut Account) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let mut account = self.0.lock().unwrap();
        *account.calls.entry(name).or_default() += 1;
        let outcome = act(&mut account);
        if account.lose.remove(name) { Err(ProviderError::unsure("the reply was lost")) } else { outcome }
    }

    pub fn with<T>(&self, act: impl FnOnce(&mut Account) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }
}

impl Account {
    /// The subnets of each fleet that was asked for.
    pub fn pools(&self) -> Vec<Vec<String>> {
        let subnet = |pool: &Pool| match &pool.place {
            Place::Subnet(subnet) => Some(subnet.clone()),
            Place::Anywhere | Place::Zone(_) => None,
        };
        self.fleet_tokens.values().map(|(call, _)| call.pools.iter().filter_map(subnet).collect()).collect()
    }

    fn make(&mut self, count: u32, pool: &Pool, tags: &BTreeMap<String, String>) -> Vec<InstanceId> {
        let made = (0..count).map(|_| {
            let id = InstanceId::new(format!("i-{:017x}", self.instances.len()));
            let seen = SeenInstance {
                id: id.clone(),
                state: InstanceState::Running,
                reason: None,
                launched_at: now(),
                private_address: "10.0.0.5".parse().ok(),
                public_address: "203.0.113.5".parse().ok(),
                instance_type: pool.instance_type.to_string(),
                tags: tags.clone(),
            };
            self.instances.insert(id.clone(), seen);
            id
        });
        made.collect()
    }
}

fn fits(tags: &BTreeMap<String, String>, of: &Belonging) -> bool {
    let is = |key: &str, value: &str| tags.get(key).is_some_and(|found| found == value);
    match of {
        Belonging::Cluster(uid) => is(tag::CLUSTER_UID, uid.as_str()),
        Belonging::Launch(uid, launch) => {
            is(tag::CLUSTER_UID, uid.as_str()) && is(tag::LAUNCH, launch.as_str())
        }
        Belonging::Installation(id) => is(tag::INSTALLATION, id),
        Belonging::Anybody => tags.contains_key(tag::INSTALLATION),
    }
}

#[async_trait]
impl Ec2Api for Fake {
    fn region(&self) -> &'static str {
        "eu-central-1"
    }

    fn machines_ssm(&self) -> String {
        "https://ssm.eu-central-1.amazonaws.com".to_owned()
    }

    fn renew(&self, _: &CallerEnvironment) {
        self.with(|account| account.renewals += 1);
    }

    async fn callers_address(&self) -> Option<IpAddr> {
        self.with(|account| account.caller)
    }

    async fn instances(&self, of: &Belonging) -> Result<Vec<SeenInstance>, ProviderError> {
        self.call("instances", |account| {
            let seen = account.instances.values().filter(|one| !account.hides && fits(&one.tags, of));
            Ok(seen.cloned().collect())
        })
    }

    async fn create_template(&self, call: &TemplateCall) -> Result<(), ProviderError> {
        self.call("create_template", |account| {
            if account.templates.contains_key(&call.name) {
                return Err(ProviderError::new(ErrorKind::Conflict, "AlreadyExistsException"));
            }
            account.templates.insert(call.name.clone(), call.clone());
            Ok(())
        })
    }

    async fn templates(&self, of: &Belonging) -> Result<Vec<SeenTemplate>, ProviderError> {
        self.call("templates", |account| {
            let fitting = account.templates.values().filter(|template| fits(&template.tags, of));
            let seen = |call: &TemplateCall| SeenTemplate {
                name: call.name.clone(),
                made_at: now(),
                tags: call.tags.clone(),
            };
            Ok(fitting.map(seen).collect())
        })
    }

    async fn delete_template(&self, name: &str) -> Result<(), ProviderError> {
        self.call("delete_template", |account| {
            let gone = || ProviderError::new(ErrorKind::NotFound, "NotFoundException");
            account.templates.remove(name).map(drop).ok_or_else(gone)
        })
    }

    async fn create_fleet(&self, call: &FleetCall) -> Result<Filled, ProviderError> {
        self.call("create_fleet", |account| {
            if let Some((known, filled)) = account.fleet_tokens.get(&call.token) {
                let mismatch = ProviderError::new(ErrorKind::Conflict, "IdempotentParameterMismatch");
                return if known == call { Ok(filled.clone()) } else { Err(mismatch) };
            }
            if !account.templates.contains_key(&call.template) {
                return Err(ProviderError::new(ErrorKind::NotFound, "there is no such launch template"));
            }
            let is_full = |pool: &&Pool| {
                account.full == Some(call.market) || account.full_type == Some(pool.instance_type.as_str())
            };
            let refusal = |pool: &Pool| PoolRefusal {
                pool: pool.to_string(),
                code: "InsufficientInstanceCapacity".to_owned(),
                message: "There is no room.".to_owned(),
            };
            let refusals = call.pools.iter().filter(is_full).map(refusal).collect();
            let pool = call.pools.iter().find(|pool| !is_full(pool)).cloned();
            let fleet = format!("fleet-{}", account.fleets.len());
            account.fleets.insert(fleet.clone(), call.tags.clone());
            let mut tags = call.tags.clone();
            tags.insert(tag::FLEET.to_owned(), fleet);
            let instances = pool.map(|pool| account.make(call.count, &pool, &tags)).unwrap_or_default();
            let filled = Filled { instances, refusals };
            account.fleet_tokens.insert(call.token.clone(), (call.clone(), filled.clone()));
            Ok(filled)
        })
    }

    async fn fleets(&self, of: &ClusterUid) -> Result<Vec<String>, ProviderError> {
        self.call("fleets", |account| {
            let fitting =
                account.fleets.iter().filter(|(_, tags)| fits(tags, &Belonging::Cluster(of.clone())));
            Ok(fitting.map(|(id, _)| id.clone()).collect())
        })
    }

    async fn delete_fleets(&self, fleets: &[String]) -> Result<(), ProviderError> {
        assert!(fleets.len() <= 25);
        self.call("delete_fleets", |account| {
            account.fleets.retain(|id, _| !fleets.contains(id));
            Ok(())
        })
    }

    async fn zones_of(&self, subnets: &[String]) -> Result<BTreeMap<String, String>, ProviderError> {
        // By the last character of a subnet's id.
        let zone = |subnet: &String| (subnet.clone(), subnet.chars().last().into_iter().collect());
        self.call("zones_of", |_| Ok(subnets.iter().map(zone).collect()))
    }

    async fn run_instances(&self, call: &InstancesCall) -> Result<Vec<InstanceId>, ProviderError> {
        self.call("run_instances", |account| {
            if let Some((known, made)) = account.tokens.get(&call.token) {
                let mismatch = ProviderError::new(ErrorKind::Conflict, "IdempotentParameterMismatch");
                return if known == call { Ok(made.clone()) } else { Err(mismatch) };
            }
            if account.full == Some(call.market) {
                return Err(ProviderError::new(ErrorKind::Capacity, "InsufficientInstanceCapacity"));
            }
            let made = account.make(call.count, &call.pool, &call.tags);
            account.tokens.insert(call.token.clone(), (call.clone(), made.clone()));
            Ok(made)
        })
    }

    async fn terminate(&self, instances: &[InstanceId]) -> Result<(), ProviderError> {
        self.call("terminate", |account| {
            let unknown = instances.iter().filter(|id| !account.instances.contains_key(id));
            let unknown: Vec<&str> = unknown.map(InstanceId::as_str).collect();
            if !unknown.is_empty() {
                let message = format!("the instance IDs '{}' do not exist", unknown.join(", "));
                return Err(ProviderError::new(ErrorKind::NotFound, message));
            }
            for id in instances {
                account.instances.get_mut(id).unwrap().state = InstanceState::Terminated;
            }
            Ok(())
        })
    }

    async fn tag(
        &self,
        instances: &[InstanceId],
        tags: &BTreeMap<String, String>,
    ) -> Result<(), ProviderError> {
        self.call("tag", |account| {
            for id in instances {
                account.instances.get_mut(id).unwrap().tags.extend(tags.clone());
            }
            Ok(())
        })
    }

    async fn untag(&self, instances: &[InstanceId], key: &str) -> Result<(), ProviderError> {
        self.call("untag", |account| {
            for id in instances {
                account.instances.get_mut(id).unwrap().tags.remove(key);
            }
            Ok(())
        })
    }

    async fn console(&self, instance: &InstanceId) -> Result<String, ProviderError> {
        self.call("console", |account| Ok(account.consoles.get(instance).cloned().unwrap_or_default()))
    }

    async fn root_device(&self, _: &str) -> Result<Option<String>, ProviderError> {
        Ok(Some("/dev/sda1".to_owned()))
    }

    async fn vpc_of_subnet(&self, _: &str) -> Result<String, ProviderError> {
        Ok("vpc-1".to_owned())
    }

    async fn groups(&self, of: &Belonging) -> Result<Vec<SeenGroup>, ProviderError> {
        self.call("groups", |account| {
            Ok(account.groups.values().filter(|one| fits(&one.tags, of)).cloned().collect())
        })
    }

    async fn create_group(&self, call: &GroupCall) -> Result<String, ProviderError> {
        self.call("create_group", |account| {
            if account.groups.contains_key(&call.name) {
                return Err(ProviderError::new(ErrorKind::Conflict, "InvalidGroup.Duplicate"));
            }
            let group = SeenGroup {
                id: call.name.clone(),
                tags: call.tags.clone(),
                members_are_in: false,
                clients: Vec::new(),
            };
            account.groups.insert(call.name.clone(), group);
            Ok(call.name.clone())
        })
    }

    async fn let_members_in(&self, group: &str) -> Result<(), ProviderError> {
        self.call("let_members_in", |account| {
            account.groups.get_mut(group).unwrap().members_are_in = true;
            Ok(())
        })
    }

    async fn let_in(&self, group: &str, blocks: &[ClientBlock]) -> Result<(), ProviderError> {
        self.call("let_in", |account| {
            account.groups.get_mut(group).unwrap().clients.extend(blocks.to_vec());
            Ok(())
        })
    }

    async fn shut_out(&self, group: &str, blocks: &[ClientBlock]) -> Result<(), ProviderError> {
        self.call("shut_out", |account| {
            account.groups.get_mut(group).unwrap().clients.retain(|block| !blocks.contains(block));
            Ok(())
        })
    }

    async fn delete_group(&self, group: &str) -> Result<(), ProviderError> {
        self.call("delete_group", |account| {
            if account.instances.values().any(|one| one.state != InstanceState::Terminated) {
                return Err(ProviderError::new(ErrorKind::Conflict, "DependencyViolation"));
            }
            account.groups.remove(group);
            Ok(())
        })
    }

    async fn parameter_values(&self, path: &str) -> Result<BTreeMap<String, String>, ProviderError> {
        let below = format!("{path}/");
        self.call("parameter_values", |account| {
            let all = account.parameters.iter().filter(|(name, _)| name.starts_with(&below));
            Ok(all.map(|(name, (value, _))| (name.clone(), value.clone())).collect())
        })
    }

    async fn parameters(&self, path: &str) -> Result<Vec<String>, ProviderError> {
        let below = format!("{path}/");
        self.call("parameters", |account| {
            Ok(account.parameters.keys().filter(|name| name.starts_with(&below)).cloned().collect())
        })
    }

    async fn put_parameter(&self, call: &ParameterCall) -> Result<(), ProviderError> {
        self.call("put_parameter", |account| {
            account.parameters.insert(call.name.clone(), (call.value.clone(), call.secrecy));
            Ok(())
        })
    }

    async fn delete_parameters(&self, names: &[String]) -> Result<(), ProviderError> {
        assert!(names.len() <= 10);
        self.call("delete_parameters", |account| {
            account.parameters.retain(|name, _| !names.contains(name));
            Ok(())
        })
    }
}
