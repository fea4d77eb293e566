//! Calls that are made only to find something out, as the SDK makes them.

use async_trait::async_trait;
use aws_sdk_ec2::{
    error::{ProvideErrorMetadata, SdkError},
    types::{Filter, IpPermission, IpRange, Tag},
};

use super::{failure::nothing, session::Ec2Client};
use crate::provider::{
    ProviderError,
    ec2::{
        examine::{Ec2Trials, Quota, SeenSubnet, Trial},
        names::tag,
    },
};

/// What EC2 says instead of doing it.
const WOULD: &str = "DryRunOperation";

/// An address of those that are for documents only.
const NOBODY: &str = "192.0.2.1/32";

#[async_trait]
impl Ec2Trials for Ec2Client {
    async fn who(&self) -> Result<String, ProviderError> {
        const ACTION: &str = "sts:GetCallerIdentity";
        let answer = self.sts().await?.get_caller_identity().send().await;
        let identity = answer.map_err(|error| self.failed(ACTION, &error))?;
        identity.arn.ok_or_else(|| nothing(ACTION, "caller"))
    }

    async fn attempt(&self, trial: Trial<'_>) -> Result<(), ProviderError> {
        match trial {
            Trial::Launch(call) => self.would("ec2:RunInstances", self.launch(call, Some(true)).await?),
            Trial::Fleet(call) => self.would("ec2:CreateFleet", self.fleet(call, Some(true)).await?),
            Trial::LetIn(group) => {
                let call = self.ec2().await?.authorize_security_group_ingress().group_id(group);
                let answer = call.ip_permissions(rule()).dry_run(true).send().await;
                self.would("ec2:AuthorizeSecurityGroupIngress", answer)
            }
            Trial::ShutOut(group) => {
                let call = self.ec2().await?.revoke_security_group_ingress().group_id(group);
                let answer = call.ip_permissions(rule()).dry_run(true).send().await;
                self.would("ec2:RevokeSecurityGroupIngress", answer)
            }
            Trial::Terminate(instance) => {
                let call = self.ec2().await?.terminate_instances().instance_ids(instance.as_str());
                self.would("ec2:TerminateInstances", call.dry_run(true).send().await)
            }
            Trial::Tag(instance) => {
                let tag = Tag::builder().key(tag::EXPIRES_AT).value("-").build();
                let call = self.ec2().await?.create_tags().resources(instance.as_str()).tags(tag);
                self.would("ec2:CreateTags", call.dry_run(true).send().await)
            }
            Trial::Untag(instance) => {
                let tag = Tag::builder().key(tag::EXPIRES_AT).build();
                let call = self.ec2().await?.delete_tags().resources(instance.as_str()).tags(tag);
                self.would("ec2:DeleteTags", call.dry_run(true).send().await)
            }
            Trial::ReadConsole(instance) => {
                let call = self.ec2().await?.get_console_output().instance_id(instance.as_str());
                self.would("ec2:GetConsoleOutput", call.dry_run(true).send().await)
            }
        }
    }

    async fn subnets(&self, named: &[String]) -> Result<Vec<SeenSubnet>, ProviderError> {
        let default = || Filter::builder().name("default-for-az").values("true").build();
        let call = self.ec2().await?.describe_subnets();
        let call = if named.is_empty() {
            call.filters(default())
        } else {
            call.set_subnet_ids(Some(named.to_vec()))
        };
        let answer = call.send().await.map_err(|error| self.failed("ec2:DescribeSubnets", &error))?;
        Ok(answer
            .subnets()
            .iter()
            .filter_map(|subnet| {
                Some(SeenSubnet {
                    id: subnet.subnet_id.clone()?,
                    zone: subnet.availability_zone.clone().unwrap_or_default(),
                    free: u32::try_from(subnet.available_ip_address_count.unwrap_or(0)).unwrap_or(0),
                })
            })
            .collect())
    }

    async fn quota(&self, quota: Quota) -> Result<u32, ProviderError> {
        const ACTION: &str = "servicequotas:GetServiceQuota";
        let call = self.servicequotas().await?.get_service_quota().service_code("ec2").quota_code(quota.0);
        let answer = call.send().await.map_err(|error| self.failed(ACTION, &error))?;
        let value = answer.quota.and_then(|quota| quota.value).ok_or_else(|| nothing(ACTION, "quota"))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "casts of floats saturate"
        )]
        Ok(value as u32)
    }
}

impl Ec2Client {
    /// The refusal that says that nothing stands in the way is the good answer.
    fn would<T, E, R>(&self, action: &str, answer: Result<T, SdkError<E, R>>) -> Result<(), ProviderError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug,
    {
        match answer {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(said)) if said.err().code() == Some(WOULD) => Ok(()),
            Err(error) => Err(self.failed(action, &error)),
        }
    }
}

/// A rule that lets nobody in.
fn rule() -> IpPermission {
    let nobody = IpRange::builder().cidr_ip(NOBODY).build();
    IpPermission::builder().ip_protocol("tcp").from_port(1).to_port(1).ip_ranges(nobody).build()
}
