//! The calls to AWS, made to the double's state machine without a wire between: each is a step at which the
//! controller can end, and whose reply can be lost.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use crewcall::{
    model::{CallerEnvironment, ClusterUid, InstanceId},
    provider::{
        ProviderError,
        ec2::{
            Belonging, Ec2Api, Filled, GroupCall, ParameterCall, Secrecy, SeenGroup, SeenTemplate,
            build::{ClientBlock, FleetCall, InstancesCall, TemplateCall},
            error::{Refusal, refused},
            names::tag,
            observe::SeenInstance,
        },
    },
};
use ec2_double::{
    error::ApiError,
    protocol::{Fields, Parameters},
    state::{Caller, Service, Verdict},
};
use serde_json::json;

use crate::{
    account::Account,
    forms::{
        clients, filled, filters, fleet, form, ids, launch, pair, seen, seen_group, tags, tags_of, template,
    },
    steps::Steps,
};

/// From a call to its effect, and from that to its reply.
const LATENCY: Duration = Duration::from_millis(40);

/// The access key with which calls are signed, for tests that end it.
pub const ACCESS_KEY: &str = "AKIATESTTESTTESTTEST";

/// The actions that are called for clusters whose launches are fleets.
pub const ACTIONS: [&str; 16] = [
    "DescribeSecurityGroups",
    "CreateSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "GetParametersByPath",
    "PutParameter",
    "CreateLaunchTemplate",
    "CreateFleet",
    "DescribeInstances",
    "GetConsoleOutput",
    "TerminateInstances",
    "DescribeTags",
    "DeleteFleets",
    "DescribeLaunchTemplates",
    "DeleteLaunchTemplate",
    "DeleteParameters",
    "DeleteSecurityGroup",
];

/// Those of them that change something.
pub const CHANGING: [&str; 10] = [
    "CreateSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "PutParameter",
    "CreateLaunchTemplate",
    "CreateFleet",
    "TerminateInstances",
    "DeleteFleets",
    "DeleteLaunchTemplate",
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

    async fn create_template(&self, call: &TemplateCall) -> Result<(), ProviderError> {
        self.change("CreateLaunchTemplate", &template(call)).await
    }

    async fn templates(&self, of: &Belonging) -> Result<Vec<SeenTemplate>, ProviderError> {
        let found = self.ec2("DescribeLaunchTemplates", &form(&filters(of))).await?;
        let seen = |n: usize| {
            let place = format!("launchTemplates.{n}");
            Some(SeenTemplate {
                name: found.text(&format!("{place}.launchTemplateName"))?.to_owned(),
                made_at: found.text(&format!("{place}.createTime"))?.parse().ok()?,
                tags: tags_of(&found, &place),
            })
        };
        Ok((0..found.count("launchTemplates")).filter_map(seen).collect())
    }

    async fn delete_template(&self, name: &str) -> Result<(), ProviderError> {
        self.change("DeleteLaunchTemplate", &[pair("LaunchTemplateName", name)]).await
    }

    async fn create_fleet(&self, call: &FleetCall) -> Result<Filled, ProviderError> {
        Ok(filled(&self.ec2("CreateFleet", &form(&fleet(call))).await?))
    }

    async fn fleets(&self, of: &ClusterUid) -> Result<Vec<String>, ProviderError> {
        let filters = [("resource-type", "fleet"), ("key", tag::CLUSTER_UID), ("value", of.as_str())];
        let each = |(index, (name, value)): (usize, (&str, &str))| {
            let place = format!("Filter.{}", index + 1);
            [pair(&format!("{place}.Name"), name), pair(&format!("{place}.Value.1"), value)]
        };
        let pairs: Vec<_> = filters.into_iter().enumerate().flat_map(each).collect();
        let found = self.ec2("DescribeTags", &form(&pairs)).await?;
        let id = |n| found.text(&format!("tagSet.{n}.resourceId")).map(str::to_owned);
        Ok((0..found.count("tagSet")).filter_map(id).collect())
    }

    async fn delete_fleets(&self, fleets: &[String]) -> Result<(), ProviderError> {
        let mut pairs = vec![pair("TerminateInstances", true)];
        pairs.extend(fleets.iter().enumerate().map(|(n, id)| pair(&format!("FleetId.{}", n + 1), id)));
        self.change("DeleteFleets", &pairs).await
    }

    async fn zones_of(&self, subnets: &[String]) -> Result<BTreeMap<String, String>, ProviderError> {
        let pairs: Vec<_> =
            subnets.iter().enumerate().map(|(n, id)| pair(&format!("SubnetId.{}", n + 1), id)).collect();
        let found = self.ec2("DescribeSubnets", &form(&pairs)).await?;
        let text = |n: usize, name: &str| Some(found.text(&format!("subnetSet.{n}.{name}"))?.to_owned());
        let zone = |n| Some((text(n, "subnetId")?, text(n, "availabilityZone")?));
        Ok((0..found.count("subnetSet")).filter_map(zone).collect())
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
        Ok(self.parameter_values(path).await?.into_keys().collect())
    }

    async fn parameter_values(&self, path: &str) -> Result<BTreeMap<String, String>, ProviderError> {
        let (mut all, mut token) = (BTreeMap::new(), None::<String>);
        loop {
            let request =
                json!({"Path": path, "Recursive": true, "WithDecryption": true, "NextToken": token});
            let page = self.ssm("GetParametersByPath", request).await?;
            let found = page["Parameters"].as_array().cloned().unwrap_or_default();
            let pair = |one: &serde_json::Value| {
                Some((one["Name"].as_str()?.to_owned(), one["Value"].as_str()?.to_owned()))
            };
            all.extend(found.iter().filter_map(pair));
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
