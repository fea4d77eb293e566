//! Launch templates and fleets, between the SDK's types and plain ones.

use aws_sdk_ec2::{
    error::SdkError,
    operation::{
        create_fleet::{CreateFleetError, CreateFleetOutput},
        delete_fleets::DeleteFleetsOutput,
    },
    types::{
        CreateFleetInstance, DefaultTargetCapacityType, DeleteFleetErrorCode, Filter,
        FleetLaunchTemplateConfigRequest, FleetLaunchTemplateOverrides, FleetLaunchTemplateOverridesRequest,
        FleetLaunchTemplateSpecificationRequest, FleetOnDemandAllocationStrategy, FleetType, LaunchTemplate,
        LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest,
        LaunchTemplateHttpTokensState, LaunchTemplateIamInstanceProfileSpecificationRequest,
        LaunchTemplateInstanceMetadataOptionsRequest, LaunchTemplateInstanceMetadataTagsState,
        LaunchTemplateInstanceNetworkInterfaceSpecificationRequest, LaunchTemplatePlacementRequest,
        LaunchTemplateTagSpecificationRequest, OnDemandOptionsRequest, RequestLaunchTemplateData,
        ResourceType, ShutdownBehavior, SpotAllocationStrategy, SpotOptionsRequest,
        TargetCapacitySpecificationRequest,
    },
};
use jiff::Timestamp;

use super::{
    calls::some,
    session::Ec2Client,
    shapes::{count, plain_tags, sdk_tags, tagged},
};
use crate::{
    model::{ClusterUid, InstanceId},
    provider::{
        ProviderError,
        ec2::{
            api::{Filled, PoolRefusal, SeenTemplate},
            build::{FleetCall, LaunchData, Market, Place, Pool, TemplateCall},
            error::{Refusal, refused},
            names::tag,
        },
    },
};

/// The only version of a template: what follows from its name.
const VERSION: &str = "1";

/// What a template holds.
pub(super) fn template_data(call: &TemplateCall) -> RequestLaunchTemplateData {
    let data = &call.data;
    let interface = data.public_address.map(|public| {
        LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
            .device_index(0)
            .groups(&data.group)
            .associate_public_ip_address(public)
            .delete_on_termination(true)
            .build()
    });
    // Whoever names an interface names groups there alone, and AWS puts the fleet's subnet there, too.
    let groups = interface.is_none().then(|| vec![data.group.clone()]);
    let placement = data
        .placement_group
        .as_ref()
        .map(|group| LaunchTemplatePlacementRequest::builder().group_name(group).build());
    let metadata = LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_tokens(LaunchTemplateHttpTokensState::Required)
        .http_put_response_hop_limit(1)
        .instance_metadata_tags(LaunchTemplateInstanceMetadataTagsState::Enabled)
        .build();
    let profile = LaunchTemplateIamInstanceProfileSpecificationRequest::builder().name(&data.profile).build();
    let tags = [ResourceType::Volume, ResourceType::NetworkInterface].map(|kind| {
        let tags = sdk_tags(&call.tags);
        LaunchTemplateTagSpecificationRequest::builder().resource_type(kind).set_tags(Some(tags)).build()
    });
    RequestLaunchTemplateData::builder()
        .image_id(&data.image)
        .set_network_interfaces(interface.map(|interface| vec![interface]))
        .set_security_group_ids(groups)
        .set_placement(placement)
        .iam_instance_profile(profile)
        .set_key_name(data.key_name.clone())
        .set_user_data(some(&data.user_data))
        .set_block_device_mappings(disk(data))
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .metadata_options(metadata)
        .set_tag_specifications(Some(tags.into()))
        .build()
}

fn disk(data: &LaunchData) -> Option<Vec<LaunchTemplateBlockDeviceMappingRequest>> {
    let disk = data.disk.as_ref()?;
    let volume = LaunchTemplateEbsBlockDeviceRequest::builder()
        .volume_size(i32::try_from(disk.size).unwrap_or(i32::MAX))
        .volume_type(disk.volume_type.as_str().into())
        .set_iops(disk.iops.map(count))
        .set_throughput(disk.throughput.map(count))
        .encrypted(true)
        .delete_on_termination(true)
        .build();
    let device = LaunchTemplateBlockDeviceMappingRequest::builder().device_name(&disk.device).ebs(volume);
    Some(vec![device.build()])
}

pub(super) fn seen_template(template: &LaunchTemplate) -> Option<SeenTemplate> {
    let made_at = template.create_time().and_then(|at| Timestamp::from_second(at.secs()).ok());
    Some(SeenTemplate {
        name: template.launch_template_name()?.to_owned(),
        made_at: made_at.unwrap_or(Timestamp::UNIX_EPOCH),
        tags: plain_tags(template.tags()),
    })
}

impl Ec2Client {
    /// `CreateFleet`; with `dry_run` nothing is made.
    pub(super) async fn fleet(
        &self,
        call: &FleetCall,
        dry_run: Option<bool>,
    ) -> Result<Result<CreateFleetOutput, SdkError<CreateFleetError>>, ProviderError> {
        let template = FleetLaunchTemplateSpecificationRequest::builder()
            .launch_template_name(&call.template)
            .version(VERSION)
            .build();
        let pools = FleetLaunchTemplateConfigRequest::builder()
            .launch_template_specification(template)
            .set_overrides(Some(call.pools.iter().zip(0..).map(overridden).collect()))
            .build();
        let market = match call.market {
            Market::Spot => DefaultTargetCapacityType::Spot,
            Market::OnDemand => DefaultTargetCapacityType::OnDemand,
        };
        let capacity = TargetCapacitySpecificationRequest::builder()
            .total_target_capacity(count(call.count))
            .default_target_capacity_type(market)
            .build();
        let request = self
            .ec2()
            .await?
            .create_fleet()
            .set_dry_run(dry_run)
            .set_client_token(some(&call.token))
            .r#type(FleetType::Instant)
            .launch_template_configs(pools)
            .target_capacity_specification(capacity)
            .tag_specifications(tagged(ResourceType::Instance, &call.tags))
            .tag_specifications(tagged(ResourceType::Fleet, &call.tags));
        // What there is most room for, and the document's order within that.
        let spot = SpotAllocationStrategy::CapacityOptimizedPrioritized;
        let on_demand = FleetOnDemandAllocationStrategy::Prioritized;
        let request = match call.market {
            Market::Spot => {
                request.spot_options(SpotOptionsRequest::builder().allocation_strategy(spot).build())
            }
            Market::OnDemand => request
                .on_demand_options(OnDemandOptionsRequest::builder().allocation_strategy(on_demand).build()),
        };
        Ok(request.send().await)
    }
}

fn overridden((pool, priority): (&Pool, u32)) -> FleetLaunchTemplateOverridesRequest {
    let request = FleetLaunchTemplateOverridesRequest::builder()
        .instance_type(pool.instance_type.as_str().into())
        .priority(f64::from(priority));
    match &pool.place {
        Place::Anywhere => request,
        Place::Zone(zone) => request.availability_zone(zone),
        Place::Subnet(subnet) => request.subnet_id(subnet),
    }
    .build()
}

pub(super) fn filled(answer: &CreateFleetOutput) -> Filled {
    let made = answer.instances().iter().flat_map(CreateFleetInstance::instance_ids);
    let refusal = |error: &aws_sdk_ec2::types::CreateFleetError| {
        let overrides = error.launch_template_and_overrides().and_then(|both| both.overrides());
        PoolRefusal {
            pool: overrides.map(pool).unwrap_or_default(),
            code: error.error_code().unwrap_or("no code").to_owned(),
            message: error.error_message().unwrap_or("no message").to_owned(),
        }
    };
    Filled {
        instances: made.map(InstanceId::new).collect(),
        refusals: answer.errors().iter().map(refusal).collect(),
    }
}

fn pool(overrides: &FleetLaunchTemplateOverrides) -> String {
    let name = overrides.instance_type().map_or("a machine", |name| name.as_str());
    match overrides.subnet_id().or(overrides.availability_zone()) {
        Some(place) => format!("{name} in {place}"),
        None => name.to_owned(),
    }
}

/// By the row of the tag that says of which cluster they are.
pub(super) fn fleet_filters(of: &ClusterUid) -> Vec<Filter> {
    [("resource-type", "fleet"), ("key", tag::CLUSTER_UID), ("value", of.as_str())]
        .map(|(name, value)| Filter::builder().name(name).values(value).build())
        .into()
}

/// The first record that was not removed though it could have been.
pub(super) fn not_deleted(action: &str, answer: &DeleteFleetsOutput) -> Option<ProviderError> {
    let errors = answer.unsuccessful_fleet_deletions().iter().filter_map(|item| item.error());
    let error = errors.into_iter().find(|error| {
        let gone =
            [DeleteFleetErrorCode::FleetIdDoesNotExist, DeleteFleetErrorCode::FleetNotInDeletableState];
        error.code().is_none_or(|code| !gone.contains(code))
    })?;
    let code = error.code().map_or("no code", DeleteFleetErrorCode::as_str);
    Some(refused(&Refusal { action, code, message: error.message().unwrap_or("no message") }))
}
