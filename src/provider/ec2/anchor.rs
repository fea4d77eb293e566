//! The anchor: a cluster's security group, and who may reach it.

use jiff::Timestamp;

use super::{
    api::{Belonging, Ec2Api, GroupCall, SeenGroup},
    build::{ClientBlock, client_blocks},
    names::{self, tag},
};
use crate::{
    model::ErrorKind,
    provider::{AnchorRequest, ProviderError},
    spec::AddressKind,
};

/// Makes the group, if it is not there, and sees to its rules; its id.
pub async fn ensure(
    api: &dyn Ec2Api,
    request: &AnchorRequest,
    installation: &str,
    now: Timestamp,
) -> Result<String, ProviderError> {
    let ec2 = request.document.spec.ec2().cloned().unwrap_or_default();
    let of = Belonging::Cluster(request.cluster.uid.clone());
    let group = if let Some(group) = api.groups(&of).await?.into_iter().next() {
        group
    } else {
        let vpc = match ec2.subnets.first() {
            Some(subnet) => Some(api.vpc_of_subnet(subnet).await?),
            None => None,
        };
        let mut tags = names::tags(&request.cluster, installation, &ec2.tags);
        tags.insert(tag::CREATED_AT.to_owned(), names::moment(now));
        let call = GroupCall {
            name: names::anchor(&request.cluster.uid),
            description: format!("Crewcall cluster {}", request.cluster.name),
            vpc,
            tags: tags.clone(),
        };
        let id = make(api, &call, &of).await?;
        SeenGroup { id, tags, members_are_in: false, clients: Vec::new() }
    };
    if !group.members_are_in {
        ignore_there(api.let_members_in(&group.id).await)?;
    }
    let asked = ec2.client_cidrs.is_empty() && ec2.addresses != AddressKind::SessionManager;
    let caller = if asked { api.callers_address().await } else { None };
    let wanted = client_blocks(&ec2, caller);
    let missing = without(&wanted, &group.clients);
    if !missing.is_empty() {
        ignore_there(api.let_in(&group.id, &missing).await)?;
    }
    let stale = without(&group.clients, &wanted);
    // An address that nobody could tell is no reason to shut everybody out.
    if !stale.is_empty() && !wanted.is_empty() {
        api.shut_out(&group.id, &stale).await?;
    }
    Ok(group.id)
}

async fn make(api: &dyn Ec2Api, call: &GroupCall, of: &Belonging) -> Result<String, ProviderError> {
    match api.create_group(call).await {
        // Its reply was lost, and the look before was too early.
        Err(error) if error.kind == ErrorKind::Conflict => {
            let there = api.groups(of).await?.into_iter().next().map(|group| group.id);
            there.ok_or_else(|| {
                let message =
                    format!("the security group {} is there, and EC2 does not show it yet", call.name);
                ProviderError::new(ErrorKind::Transient, message)
            })
        }
        made => made,
    }
}

fn ignore_there(outcome: Result<(), ProviderError>) -> Result<(), ProviderError> {
    match outcome {
        Err(error) if error.kind == ErrorKind::Conflict => Ok(()),
        outcome => outcome,
    }
}

fn without(blocks: &[ClientBlock], others: &[ClientBlock]) -> Vec<ClientBlock> {
    blocks.iter().filter(|block| !others.contains(block)).cloned().collect()
}
