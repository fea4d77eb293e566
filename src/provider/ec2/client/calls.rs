//! Each call as the SDK makes it.

use std::{collections::BTreeMap, net::IpAddr};

use async_trait::async_trait;
use aws_sdk_ec2::{
    error::SdkError,
    operation::run_instances::{RunInstancesError, RunInstancesOutput},
    types::{
        HttpTokensState, IamInstanceProfileSpecification, InstanceMarketOptionsRequest,
        InstanceMetadataOptionsRequest, InstanceMetadataTagsState, IpPermission, MarketType, Reservation,
        ResourceType, ShutdownBehavior, Subnet, Tag, UserIdGroupPair,
    },
};
use aws_sdk_ssm::types::ParameterType;
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    failure::nothing,
    fleets::{filled, fleet_filters, not_deleted, seen_template, template_data},
    session::Ec2Client,
    shapes::{
        client_rules, count, disk, filters, ids, interfaces, placement, sdk_tags, seen, seen_group, tagged,
    },
};
use crate::{
    model::{CallerEnvironment, ClusterUid, Ec2Context, ErrorKind, InstanceId},
    provider::{
        ProviderError,
        ec2::{
            api::{Belonging, Ec2Api, Filled, GroupCall, ParameterCall, Secrecy, SeenGroup, SeenTemplate},
            build::{ClientBlock, FleetCall, InstancesCall, Market, TemplateCall},
            observe::SeenInstance,
        },
    },
};

#[async_trait]
impl Ec2Api for Ec2Client {
    fn region(&self) -> &str {
        &self.place().region
    }

    fn context(&self) -> Option<&Ec2Context> {
        Some(self.place())
    }

    fn machines_ssm(&self) -> String {
        let Ec2Context { region, endpoint, .. } = self.place();
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        endpoint.clone().unwrap_or_else(|| format!("https://ssm.{region}.{domain}"))
    }

    fn renew(&self, environment: &CallerEnvironment) {
        self.take_over(environment);
    }

    async fn callers_address(&self) -> Option<IpAddr> {
        self.address().await
    }

    async fn instances(&self, of: &Belonging) -> Result<Vec<SeenInstance>, ProviderError> {
        const ACTION: &str = "ec2:DescribeInstances";
        let mut pages =
            self.ec2().await?.describe_instances().set_filters(Some(filters(of))).into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed(ACTION, &error))?;
            all.extend(page.reservations().iter().flat_map(Reservation::instances).filter_map(seen));
        }
        Ok(all)
    }

    async fn run_instances(&self, call: &InstancesCall) -> Result<Vec<InstanceId>, ProviderError> {
        const ACTION: &str = "ec2:RunInstances";
        let answer = self.launch(call, None).await?.map_err(|error| self.failed(ACTION, &error))?;
        Ok(answer.instances().iter().filter_map(|one| one.instance_id()).map(InstanceId::new).collect())
    }

    async fn create_template(&self, call: &TemplateCall) -> Result<(), ProviderError> {
        let call = self
            .ec2()
            .await?
            .create_launch_template()
            .launch_template_name(&call.name)
            .launch_template_data(template_data(call))
            .tag_specifications(tagged(ResourceType::LaunchTemplate, &call.tags));
        call.send().await.map(|_| ()).map_err(|error| self.failed("ec2:CreateLaunchTemplate", &error))
    }

    async fn templates(&self, of: &Belonging) -> Result<Vec<SeenTemplate>, ProviderError> {
        const ACTION: &str = "ec2:DescribeLaunchTemplates";
        let call = self.ec2().await?.describe_launch_templates().set_filters(Some(filters(of)));
        let mut pages = call.into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed(ACTION, &error))?;
            all.extend(page.launch_templates().iter().filter_map(seen_template));
        }
        Ok(all)
    }

    async fn delete_template(&self, name: &str) -> Result<(), ProviderError> {
        let call = self.ec2().await?.delete_launch_template().launch_template_name(name);
        call.send().await.map(|_| ()).map_err(|error| self.failed("ec2:DeleteLaunchTemplate", &error))
    }

    async fn create_fleet(&self, call: &FleetCall) -> Result<Filled, ProviderError> {
        let answer = self.fleet(call, None).await?;
        let answer = answer.map_err(|error| self.failed("ec2:CreateFleet", &error))?;
        Ok(filled(&answer))
    }

    async fn fleets(&self, of: &ClusterUid) -> Result<Vec<String>, ProviderError> {
        const ACTION: &str = "ec2:DescribeTags";
        // Instant fleets are described to those only who know their ids.
        let call = self.ec2().await?.describe_tags().set_filters(Some(fleet_filters(of)));
        let mut pages = call.into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed(ACTION, &error))?;
            all.extend(page.tags().iter().filter_map(|tag| tag.resource_id.clone()));
        }
        Ok(all)
    }

    async fn delete_fleets(&self, fleets: &[String]) -> Result<(), ProviderError> {
        const ACTION: &str = "ec2:DeleteFleets";
        let call = self.ec2().await?.delete_fleets().set_fleet_ids(Some(fleets.to_vec()));
        let answer = call.terminate_instances(true).send().await;
        let answer = answer.map_err(|error| self.failed(ACTION, &error))?;
        not_deleted(ACTION, &answer).map_or(Ok(()), Err)
    }

    async fn terminate(&self, instances: &[InstanceId]) -> Result<(), ProviderError> {
        let call = self.ec2().await?.terminate_instances().set_instance_ids(Some(ids(instances)));
        call.send().await.map(|_| ()).map_err(|error| self.failed("ec2:TerminateInstances", &error))
    }

    async fn tag(
        &self,
        instances: &[InstanceId],
        tags: &BTreeMap<String, String>,
    ) -> Result<(), ProviderError> {
        let call = self
            .ec2()
            .await?
            .create_tags()
            .set_resources(Some(ids(instances)))
            .set_tags(Some(sdk_tags(tags)));
        call.send().await.map(|_| ()).map_err(|error| self.failed("ec2:CreateTags", &error))
    }

    async fn untag(&self, instances: &[InstanceId], key: &str) -> Result<(), ProviderError> {
        let call = self
            .ec2()
            .await?
            .delete_tags()
            .set_resources(Some(ids(instances)))
            .tags(Tag::builder().key(key).build());
        call.send().await.map(|_| ()).map_err(|error| self.failed("ec2:DeleteTags", &error))
    }

    async fn console(&self, instance: &InstanceId) -> Result<String, ProviderError> {
        const ACTION: &str = "ec2:GetConsoleOutput";
        let call = self.ec2().await?.get_console_output().instance_id(instance.as_str()).latest(true);
        let answer = match call.send().await.map_err(|error| self.failed(ACTION, &error)) {
            // Machines without Nitro do not have the latest.
            Err(error) if error.kind == ErrorKind::Invalid => {
                let call = self.ec2().await?.get_console_output().instance_id(instance.as_str());
                call.send().await.map_err(|error| self.failed(ACTION, &error))?
            }
            answer => answer?,
        };
        let bytes = STANDARD.decode(answer.output().unwrap_or_default().trim()).unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn root_device(&self, ami: &str) -> Result<Option<String>, ProviderError> {
        let answer = self.ec2().await?.describe_images().image_ids(ami).send().await;
        let answer = answer.map_err(|error| self.failed("ec2:DescribeImages", &error))?;
        Ok(answer.images().first().and_then(|image| image.root_device_name.clone()))
    }

    async fn vpc_of_subnet(&self, subnet: &str) -> Result<String, ProviderError> {
        const ACTION: &str = "ec2:DescribeSubnets";
        let answer = self.ec2().await?.describe_subnets().subnet_ids(subnet).send().await;
        let answer = answer.map_err(|error| self.failed(ACTION, &error))?;
        let vpc = answer.subnets().first().and_then(|subnet| subnet.vpc_id.clone());
        vpc.ok_or_else(|| nothing(ACTION, "VPC"))
    }

    async fn zones_of(&self, subnets: &[String]) -> Result<BTreeMap<String, String>, ProviderError> {
        let answer = self.ec2().await?.describe_subnets().set_subnet_ids(Some(subnets.to_vec())).send().await;
        let answer = answer.map_err(|error| self.failed("ec2:DescribeSubnets", &error))?;
        let zone = |subnet: &Subnet| Some((subnet.subnet_id.clone()?, subnet.availability_zone.clone()?));
        Ok(answer.subnets().iter().filter_map(zone).collect())
    }

    async fn groups(&self, of: &Belonging) -> Result<Vec<SeenGroup>, ProviderError> {
        const ACTION: &str = "ec2:DescribeSecurityGroups";
        let mut pages = self
            .ec2()
            .await?
            .describe_security_groups()
            .set_filters(Some(filters(of)))
            .into_paginator()
            .send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed(ACTION, &error))?;
            all.extend(page.security_groups().iter().filter_map(seen_group));
        }
        Ok(all)
    }

    async fn create_group(&self, call: &GroupCall) -> Result<String, ProviderError> {
        const ACTION: &str = "ec2:CreateSecurityGroup";
        let answer = self
            .ec2()
            .await?
            .create_security_group()
            .group_name(&call.name)
            .description(&call.description)
            .set_vpc_id(call.vpc.clone())
            .tag_specifications(tagged(ResourceType::SecurityGroup, &call.tags))
            .send()
            .await
            .map_err(|error| self.failed(ACTION, &error))?;
        answer.group_id.ok_or_else(|| nothing(ACTION, "group's id"))
    }

    async fn let_members_in(&self, group: &str) -> Result<(), ProviderError> {
        let pair = UserIdGroupPair::builder().group_id(group).build();
        let rule = IpPermission::builder().ip_protocol("-1").user_id_group_pairs(pair).build();
        let call = self.ec2().await?.authorize_security_group_ingress().group_id(group).ip_permissions(rule);
        call.send()
            .await
            .map(|_| ())
            .map_err(|error| self.failed("ec2:AuthorizeSecurityGroupIngress", &error))
    }

    async fn let_in(&self, group: &str, blocks: &[ClientBlock]) -> Result<(), ProviderError> {
        let rules = Some(client_rules(blocks));
        let call =
            self.ec2().await?.authorize_security_group_ingress().group_id(group).set_ip_permissions(rules);
        call.send()
            .await
            .map(|_| ())
            .map_err(|error| self.failed("ec2:AuthorizeSecurityGroupIngress", &error))
    }

    async fn shut_out(&self, group: &str, blocks: &[ClientBlock]) -> Result<(), ProviderError> {
        let rules = Some(client_rules(blocks));
        let call =
            self.ec2().await?.revoke_security_group_ingress().group_id(group).set_ip_permissions(rules);
        call.send().await.map(|_| ()).map_err(|error| self.failed("ec2:RevokeSecurityGroupIngress", &error))
    }

    async fn delete_group(&self, group: &str) -> Result<(), ProviderError> {
        let call = self.ec2().await?.delete_security_group().group_id(group);
        call.send().await.map(|_| ()).map_err(|error| self.failed("ec2:DeleteSecurityGroup", &error))
    }

    async fn parameter_values(&self, path: &str) -> Result<BTreeMap<String, String>, ProviderError> {
        let call =
            self.ssm().await?.get_parameters_by_path().path(path).recursive(true).with_decryption(true);
        let mut pages = call.into_paginator().send();
        let mut all = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed("ssm:GetParametersByPath", &error))?;
            let found = page.parameters.unwrap_or_default();
            all.extend(found.into_iter().filter_map(|one| Some((one.name?, one.value?))));
        }
        Ok(all)
    }

    async fn parameters(&self, path: &str) -> Result<Vec<String>, ProviderError> {
        let mut pages =
            self.ssm().await?.get_parameters_by_path().path(path).recursive(true).into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed("ssm:GetParametersByPath", &error))?;
            all.extend(page.parameters().iter().filter_map(|one| one.name.clone()));
        }
        Ok(all)
    }

    async fn put_parameter(&self, call: &ParameterCall) -> Result<(), ProviderError> {
        let kind = match call.secrecy {
            Secrecy::Encrypted => ParameterType::SecureString,
            Secrecy::Plain => ParameterType::String,
        };
        let call = self
            .ssm()
            .await?
            .put_parameter()
            .name(&call.name)
            .value(&call.value)
            .r#type(kind)
            .overwrite(true);
        call.send().await.map(|_| ()).map_err(|error| self.failed("ssm:PutParameter", &error))
    }

    async fn delete_parameters(&self, names: &[String]) -> Result<(), ProviderError> {
        let call = self.ssm().await?.delete_parameters().set_names(Some(names.to_vec()));
        call.send().await.map(|_| ()).map_err(|error| self.failed("ssm:DeleteParameters", &error))
    }
}

impl Ec2Client {
    /// `RunInstances`; with `dry_run` nothing is made.
    pub(super) async fn launch(
        &self,
        call: &InstancesCall,
        dry_run: Option<bool>,
    ) -> Result<Result<RunInstancesOutput, SdkError<RunInstancesError>>, ProviderError> {
        let interfaces = interfaces(call);
        let groups = interfaces.is_none().then(|| vec![call.data.group.clone()]);
        let market = (call.market == Market::Spot)
            .then(|| InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).build());
        let metadata = InstanceMetadataOptionsRequest::builder()
            .http_tokens(HttpTokensState::Required)
            .http_put_response_hop_limit(1)
            .instance_metadata_tags(InstanceMetadataTagsState::Enabled)
            .build();
        let kinds = [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
        let call = self
            .ec2()
            .await?
            .run_instances()
            .set_dry_run(dry_run)
            .set_client_token(some(&call.token))
            .min_count(1)
            .max_count(count(call.count))
            .image_id(&call.data.image)
            .instance_type(call.pool.instance_type.as_str().into())
            .set_instance_market_options(market)
            .set_placement(placement(call))
            .set_network_interfaces(interfaces)
            .set_security_group_ids(groups)
            .iam_instance_profile(IamInstanceProfileSpecification::builder().name(&call.data.profile).build())
            .set_key_name(call.data.key_name.clone())
            .set_user_data(some(&call.data.user_data))
            .set_block_device_mappings(disk(&call.data))
            .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
            .metadata_options(metadata)
            .set_tag_specifications(Some(kinds.map(|kind| tagged(kind, &call.tags)).into()));
        Ok(call.send().await)
    }
}

/// A call that is only tried has no token and no user data.
pub(super) fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
