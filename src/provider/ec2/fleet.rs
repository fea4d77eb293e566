//! Launches by fleets: their launch templates, their records, and how both go away.

use std::collections::BTreeSet;

use super::{
    api::{Belonging, Ec2Api, Filled},
    build::{self, FleetCall, Installed, LaunchChoice, Place, TemplateCall},
    memory::Memories,
    names::tag,
    observe::SeenInstance,
};
use crate::{
    model::{ClusterUid, ErrorKind, Residue},
    provider::{LaunchRequest, ProviderError},
};

/// Most records of fleets that one call removes.
const BATCH: usize = 25;

/// Makes the template of a launch, unless it is there, and its fleet.
pub async fn launch(
    api: &dyn Ec2Api,
    memories: &Memories,
    request: &LaunchRequest,
    choice: &LaunchChoice,
    installed: Installed<'_>,
) -> Result<Filled, ProviderError> {
    let cluster = &request.cluster.uid;
    let (template, fleet) = build::fleet(request, choice, installed)?;
    let fleet = within_zones(api, memories, cluster, fleet).await?;
    ensure(api, memories, cluster, &template).await?;
    let filled = api.create_fleet(&fleet).await;
    // Somebody may have removed it.
    let is_missed = match &filled {
        Ok(filled) => filled.refusals.iter().any(|refusal| refusal.code.contains("LaunchTemplate")),
        Err(error) => error.kind == ErrorKind::NotFound,
    };
    if is_missed {
        memories.with(cluster, |memory| memory.templates.remove(&template.name));
    }
    filled
}

/// The fleet with one subnet of each zone.
async fn within_zones(
    api: &dyn Ec2Api,
    memories: &Memories,
    cluster: &ClusterUid,
    fleet: FleetCall,
) -> Result<FleetCall, ProviderError> {
    let subnets: BTreeSet<&String> = fleet
        .pools
        .iter()
        .filter_map(|pool| match &pool.place {
            Place::Subnet(subnet) => Some(subnet),
            Place::Anywhere | Place::Zone(_) => None,
        })
        .collect();
    if subnets.len() < 2 {
        return Ok(fleet);
    }
    let mut zones = memories.with(cluster, |memory| memory.zones.clone());
    if subnets.iter().any(|subnet| !zones.contains_key(*subnet)) {
        let subnets: Vec<String> = subnets.into_iter().cloned().collect();
        zones = api.zones_of(&subnets).await?;
        memories.with(cluster, |memory| memory.zones.clone_from(&zones));
    }
    let pools = build::one_subnet_of_each_zone(fleet.pools, &zones);
    Ok(FleetCall { pools, ..fleet })
}

/// Makes a template, unless it is known to be there. What it says is in its name.
async fn ensure(
    api: &dyn Ec2Api,
    memories: &Memories,
    cluster: &ClusterUid,
    call: &TemplateCall,
) -> Result<(), ProviderError> {
    if memories.with(cluster, |memory| memory.templates.contains(&call.name)) {
        return Ok(());
    }
    memories.with(cluster, |memory| memory.tried_templates.insert(call.name.clone()));
    match api.create_template(call).await {
        // Made before; its reply was lost, or another controller made it.
        Err(error) if error.kind == ErrorKind::Conflict => {
            let own = api.templates(&Belonging::Cluster(cluster.clone())).await?;
            if !own.iter().any(|template| template.name == call.name) {
                let message = format!(
                    "the launch template {} is there, and EC2 does not show it as ours yet",
                    call.name
                );
                return Err(ProviderError::new(ErrorKind::Transient, message));
            }
        }
        Err(error) => {
            // One that was refused is not there, and nobody need remove it.
            if error.residue == Residue::None {
                memories.with(cluster, |memory| memory.tried_templates.remove(&call.name));
            }
            return Err(error);
        }
        Ok(()) => {}
    }
    memories.with(cluster, |memory| memory.templates.insert(call.name.clone()));
    Ok(())
}

/// Removes what launches by fleets leave of a cluster without machines: records, and templates. `seen`: its machines,
/// as long as EC2 shows them.
pub async fn remove(
    api: &dyn Ec2Api,
    memories: &Memories,
    cluster: &ClusterUid,
    seen: &[SeenInstance],
) -> Result<(), ProviderError> {
    // Fleets without machines tell of themselves by their tags; what has just been made may not be shown yet.
    let mut fleets: BTreeSet<String> =
        seen.iter().filter_map(|one| one.tags.get(tag::FLEET).cloned()).collect();
    fleets.extend(api.fleets(cluster).await?);
    let ended = memories.with(cluster, |memory| memory.ended_fleets.clone());
    let fleets: Vec<String> = fleets.difference(&ended).cloned().collect();
    for batch in fleets.chunks(BATCH) {
        api.delete_fleets(batch).await?;
        memories.with(cluster, |memory| memory.ended_fleets.extend(batch.iter().cloned()));
    }
    let mut templates = memories.with(cluster, |memory| memory.tried_templates.clone());
    templates.extend(
        api.templates(&Belonging::Cluster(cluster.clone())).await?.into_iter().map(|template| template.name),
    );
    for name in templates {
        match api.delete_template(&name).await {
            Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        memories.with(cluster, |memory| {
            memory.templates.remove(&name);
            memory.tried_templates.remove(&name);
        });
    }
    Ok(())
}
