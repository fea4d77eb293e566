//! The calls to AWS, made to the double's state machine without a wire between: each is a step at which the
//! controller can end, and whose reply can be lost.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use crewcall::{
    model::{CallerEnvironment, InstanceId},
    provider::{
        ProviderError,
        ec2::{
            Belonging, Ec2Api, GroupCall, ParameterCall, Secrecy, SeenGroup,
            build::{ClientBlock, InstancesCall, Market, Place},
            error::{Refusal, refused},
            names::tag,
            observe::{InstanceState, SeenInstance},
        },
    },
};
use ec2_double::{
    error::ApiError,
    protocol::{Fields, Parameters},
    state::{Caller, Instance, Service, State, Verdict},
};
use serde_json::json;

use crate::{account::Account, steps::Steps};

/// From a call to its effect, and from that to its reply.
const LATENCY: Duration = Duration::from_millis(40);

/// The access key with which calls are signed, for tests that end it.
pub const ACCESS_KEY: &str = "AKIATESTTESTTESTTEST";

/// The actions that are called.
pub const ACTIONS: [&str; 11] = [
    "DescribeSecurityGroups",
    "CreateSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "GetParametersByPath",
    "PutParameter",
    "RunInstances",
    "DescribeInstances",
    "GetConsoleOutput",
    "TerminateInstances",
    "DeleteParameters",
    "DeleteSecurityGroup",
];

/// Those of them that change something.
pub const CHANGING: [&str; 7] = [
    "CreateSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "PutParameter",
    "RunInstances",
    "TerminateInstances",
    "DeleteParameters",
    "DeleteSecurityGroup",
];

/// The way of one controller to the account.
pub struct Calls {
    /// Where calls go.
    pub account: Arc<Account>,
    /// At which it can end.
    pub steps: Arc<Steps>,
}

fn told<T>(action: &str, result: Result<T, ApiError>, verdict: Verdict) -> Result<T, ProviderError> {
    if matches!(verdict, Verdict::LoseReply | Verdict::LoseRequest) {
        return Err(ProviderError::unsure(format!("{action} was not answered: the connection was closed")));
    }
    result.map_err(|error| refused(&Refusal { action, code: &error.code, message: &error.message }))
}

impl Calls {
    async fn ec2(&self, action: &'static str, parameters: &Parameters) -> Result<Fields, ProviderError> {
        let call = async {
            tokio::time::sleep(LATENCY).await;
            let answered = {
                let mut stock = self.account.stock();
                let now = stock.now();
                stock.cloud.query(Service::Ec2, action, parameters, &Caller::anybody(), now)
            };
            self.account.tell();
            tokio::time::sleep(LATENCY).await;
            told(&format!("ec2:{action}"), answered.result, answered.verdict)
        };
        self.steps.call(action, call).await
    }

    async fn ssm(
        &self,
        action: &'static str,
        request: serde_json::Value,
    ) -> Result<serde_json::Value, ProviderError> {
        let call = async {
            tokio::time::sleep(LATENCY).await;
            let answered = {
                let mut stock = self.account.stock();
                let now = stock.now();
                stock.cloud.ssm(action, request.to_string().as_bytes(), &Caller::anybody(), now)
            };
            tokio::time::sleep(LATENCY).await;
            told(&format!("ssm:{action}"), answered.result, answered.verdict)
        };
        self.steps.call(action, call).await
    }

    async fn change(&self, action: &'static str, pairs: &[(String, String)]) -> Result<(), ProviderError> {
        self.ec2(action, &form(pairs)).await.map(drop)
    }
}

fn form(pairs: &[(String, String)]) -> Parameters {
    Parameters::of(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

#[expect(clippy::needless_pass_by_value, reason = "numbers and texts are written where they are given")]
fn pair(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn filters(of: &Belonging) -> Vec<(String, String)> {
    let wanted: Vec<(&str, &str)> = match of {
        Belonging::Cluster(cluster) => vec![(tag::CLUSTER_UID, cluster.as_str())],
        Belonging::Launch(cluster, launch) => {
            vec![(tag::CLUSTER_UID, cluster.as_str()), (tag::LAUNCH, launch.as_str())]
        }
        Belonging::Installation(id) => vec![(tag::INSTALLATION, id)],
        Belonging::Anybody => {
            return vec![pair("Filter.1.Name", "tag-key"), pair("Filter.1.Value.1", tag::INSTALLATION)];
        }
    };
    let each = |(index, (key, value)): (usize, (&str, &str))| {
        let number = index + 1;
        [
            pair(&format!("Filter.{number}.Name"), format!("tag:{key}")),
            pair(&format!("Filter.{number}.Value.1"), value),
        ]
    };
    wanted.into_iter().enumerate().flat_map(each).collect()
}

fn tags(kinds: &[&str], tags: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        let place = format!("TagSpecification.{}", index + 1);
        pairs.push(pair(&format!("{place}.ResourceType"), kind));
        for (number, (key, value)) in tags.iter().enumerate() {
            let number = number + 1;
            pairs.push(pair(&format!("{place}.Tag.{number}.Key"), key));
            pairs.push(pair(&format!("{place}.Tag.{number}.Value"), value));
        }
    }
    pairs
}

fn ids(instances: &[InstanceId], list: &str) -> Vec<(String, String)> {
    instances.iter().enumerate().map(|(index, id)| pair(&format!("{list}.{}", index + 1), id)).collect()
}

fn launch(call: &InstancesCall) -> Vec<(String, String)> {
    let mut pairs = vec![
        pair("ClientToken", &call.token),
        pair("MinCount", 1),
        pair("MaxCount", call.count),
        pair("ImageId", &call.image),
        pair("InstanceType", call.choice.instance_type.as_str()),
        pair("IamInstanceProfile.Name", &call.profile),
        pair("UserData", &call.user_data),
        pair("InstanceInitiatedShutdownBehavior", "terminate"),
        pair("SecurityGroupId.1", &call.group),
    ];
    if call.choice.market == Market::Spot {
        pairs.push(pair("InstanceMarketOptions.MarketType", "spot"));
    }
    if let Place::Zone(zone) = &call.choice.place {
        pairs.push(pair("Placement.AvailabilityZone", zone));
    }
    pairs.extend(tags(&["instance", "volume", "network-interface"], &call.tags));
    pairs
}

fn seen(instance: &Instance) -> SeenInstance {
    let state = match instance.state {
        State::Pending => InstanceState::Pending,
        State::Running => InstanceState::Running,
        State::Stopping => InstanceState::Stopping,
        State::Stopped => InstanceState::Stopped,
        State::ShuttingDown => InstanceState::ShuttingDown,
        State::Terminated => InstanceState::Terminated,
    };
    SeenInstance {
        id: InstanceId::new(&instance.id),
        state,
        reason: instance.reason.as_ref().map(|reason| reason.message.to_owned()),
        launched_at: instance.launched,
        private_address: instance.lives().then_some(IpAddr::V4(instance.private_ip)),
        public_address: instance.reachable_ip().map(IpAddr::V4),
        instance_type: instance.kind.name.clone(),
        tags: instance.tags.clone(),
    }
}

fn seen_group(fields: &Fields, place: &str) -> Option<SeenGroup> {
    let text = |path: String| fields.text(&format!("{place}.{path}"));
    let id = text("groupId".to_owned())?.to_owned();
    let tags = (0..fields.count(&format!("{place}.tagSet")))
        .filter_map(|n| {
            Some((text(format!("tagSet.{n}.key"))?.to_owned(), text(format!("tagSet.{n}.value"))?.to_owned()))
        })
        .collect();
    let mut group = SeenGroup { id, tags, members_are_in: false, clients: Vec::new() };
    for rule in 0..fields.count(&format!("{place}.ipPermissions")) {
        let peer = text(format!("ipPermissions.{rule}.groups.0.groupId"));
        group.members_are_in |= peer == Some(group.id.as_str());
        let ranges = fields.count(&format!("{place}.ipPermissions.{rule}.ipRanges"));
        group.clients.extend((0..ranges).filter_map(|n| {
            text(format!("ipPermissions.{rule}.ipRanges.{n}.cidrIp"))
                .map(|block| ClientBlock::V4(block.to_owned()))
        }));
    }
    Some(group)
}

fn clients(group: &str, blocks: &[ClientBlock]) -> Vec<(String, String)> {
    let mut pairs = vec![
        pair("GroupId", group),
        pair("IpPermissions.1.IpProtocol", "tcp"),
        pair("IpPermissions.1.FromPort", 8786),
        pair("IpPermissions.1.ToPort", 8786),
    ];
    let each = |(index, block): (usize, &ClientBlock)| {
        pair(&format!("IpPermissions.1.IpRanges.{}.CidrIp", index + 1), block.as_str())
    };
    pairs.extend(blocks.iter().enumerate().map(each));
    pairs
}

#[async_trait]
impl Ec2Api for Calls {
    fn region(&self) -> &'static str {
        "us-east-1"
    }

    fn machines_ssm(&self) -> String {
        "https://ssm.us-east-1.amazonaws.com".to_owned()
    }

    fn renew(&self, _: &CallerEnvironment) {}

    async fn callers_address(&self) -> Option<IpAddr> {
        "198.51.100.7".parse().ok()
    }

    async fn instances(&self, of: &Belonging) -> Result<Vec<SeenInstance>, ProviderError> {
        let mut parameters = form(&filters(of));
        let mut all = Vec::new();
        loop {
            let page = self.ec2("DescribeInstances", &parameters).await?;
            let stock = self.account.stock();
            for reservation in 0..page.count("reservationSet") {
                let place = format!("reservationSet.{reservation}.instancesSet");
                let ids =
                    (0..page.count(&place)).filter_map(|n| page.text(&format!("{place}.{n}.instanceId")));
                all.extend(ids.filter_map(|id| stock.cloud.instance(id)).map(seen));
            }
            match page.text("nextToken") {
                Some(token) => parameters.set("NextToken", token),
                None => return Ok(all),
            }
        }
    }

    async fn run_instances(&self, call: &InstancesCall) -> Result<Vec<InstanceId>, ProviderError> {
        let made = self.ec2("RunInstances", &form(&launch(call))).await?;
        let id = |n| made.text(&format!("instancesSet.{n}.instanceId")).map(InstanceId::new);
        Ok((0..made.count("instancesSet")).filter_map(id).collect())
    }

    async fn terminate(&self, instances: &[InstanceId]) -> Result<(), ProviderError> {
        self.change("TerminateInstances", &ids(instances, "InstanceId")).await
    }

    async fn tag(
        &self,
        instances: &[InstanceId],
        tags: &BTreeMap<String, String>,
    ) -> Result<(), ProviderError> {
        let mut pairs = ids(instances, "ResourceId");
        for (index, (key, value)) in tags.iter().enumerate() {
            pairs.push(pair(&format!("Tag.{}.Key", index + 1), key));
            pairs.push(pair(&format!("Tag.{}.Value", index + 1), value));
        }
        self.change("CreateTags", &pairs).await
    }

    async fn untag(&self, instances: &[InstanceId], key: &str) -> Result<(), ProviderError> {
        let mut pairs = ids(instances, "ResourceId");
        pairs.push(pair("Tag.1.Key", key));
        self.change("DeleteTags", &pairs).await
    }

    async fn console(&self, instance: &InstanceId) -> Result<String, ProviderError> {
        let parameters = form(&[pair("InstanceId", instance)]);
        self.ec2("GetConsoleOutput", &parameters).await?;
        let stock = self.account.stock();
        let console = stock.cloud.instance(instance.as_str()).map(|one| one.console.clone());
        Ok(String::from_utf8_lossy(&console.unwrap_or_default()).into_owned())
    }

    async fn root_device(&self, _: &str) -> Result<Option<String>, ProviderError> {
        Ok(None)
    }

    async fn vpc_of_subnet(&self, subnet: &str) -> Result<String, ProviderError> {
        let found = self.ec2("DescribeSubnets", &form(&[pair("SubnetId.1", subnet)])).await?;
        Ok(found.text("subnetSet.0.vpcId").unwrap_or_default().to_owned())
    }

    async fn groups(&self, of: &Belonging) -> Result<Vec<SeenGroup>, ProviderError> {
        let found = self.ec2("DescribeSecurityGroups", &form(&filters(of))).await?;
        let count = found.count("securityGroupInfo");
        Ok((0..count).filter_map(|n| seen_group(&found, &format!("securityGroupInfo.{n}"))).collect())
    }

    async fn create_group(&self, call: &GroupCall) -> Result<String, ProviderError> {
        let mut pairs = vec![pair("GroupName", &call.name), pair("GroupDescription", &call.description)];
        pairs.extend(call.vpc.iter().map(|vpc| pair("VpcId", vpc)));
        pairs.extend(tags(&["security-group"], &call.tags));
        let made = self.ec2("CreateSecurityGroup", &form(&pairs)).await?;
        Ok(made.text("groupId").unwrap_or_default().to_owned())
    }

    async fn let_members_in(&self, group: &str) -> Result<(), ProviderError> {
        let pairs = [
            pair("GroupId", group),
            pair("IpPermissions.1.IpProtocol", "-1"),
            pair("IpPermissions.1.Groups.1.GroupId", group),
        ];
        self.change("AuthorizeSecurityGroupIngress", &pairs).await
    }

    async fn let_in(&self, group: &str, blocks: &[ClientBlock]) -> Result<(), ProviderError> {
        self.change("AuthorizeSecurityGroupIngress", &clients(group, blocks)).await
    }

    async fn shut_out(&self, group: &str, blocks: &[ClientBlock]) -> Result<(), ProviderError> {
        self.change("RevokeSecurityGroupIngress", &clients(group, blocks)).await
    }

    async fn delete_group(&self, group: &str) -> Result<(), ProviderError> {
        self.change("DeleteSecurityGroup", &[pair("GroupId", group)]).await
    }

    async fn parameters(&self, path: &str) -> Result<Vec<String>, ProviderError> {
        let (mut all, mut token) = (Vec::new(), None::<String>);
        loop {
            let request = json!({"Path": path, "Recursive": true, "NextToken": token});
            let page = self.ssm("GetParametersByPath", request).await?;
            let found = page["Parameters"].as_array().cloned().unwrap_or_default();
            all.extend(found.iter().filter_map(|one| one["Name"].as_str().map(str::to_owned)));
            token = page["NextToken"].as_str().map(str::to_owned);
            if token.is_none() {
                return Ok(all);
            }
        }
    }

    async fn put_parameter(&self, call: &ParameterCall) -> Result<(), ProviderError> {
        let kind = match call.secrecy {
            Secrecy::Encrypted => "SecureString",
            Secrecy::Plain => "String",
        };
        let request = json!({"Name": call.name, "Value": call.value, "Type": kind, "Overwrite": true});
        self.ssm("PutParameter", request).await.map(drop)
    }

    async fn delete_parameters(&self, names: &[String]) -> Result<(), ProviderError> {
        self.ssm("DeleteParameters", json!({"Names": names})).await.map(drop)
    }
}
