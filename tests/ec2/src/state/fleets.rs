//! Instant fleets: one call, several types and zones, on demand and spot.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    capacity::Market,
    cloud::Cloud,
    filters::Filters,
    instances::timestamp,
    launch::Launch,
    tags::{Tags, specified, tag_set},
};
use crate::{
    error::ApiError,
    protocol::{Fields, Parameters},
};

/// A fleet, of which a record stays.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// What the creating call answered.
    pub answer: Fields,
    /// Its instances.
    pub instances: Vec<String>,
    /// How many were wanted.
    pub target: u32,
    /// Told to go.
    pub deleted: bool,
    /// When it was made.
    pub made: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

/// One of the ways in which a fleet may get machines.
struct Choice {
    template: Parameters,
    overridden: Parameters,
    priority: f64,
}

/// What a fleet asks of one market.
struct Share {
    market: Market,
    count: u32,
    least: u32,
    by_priority: bool,
    single_type: bool,
    single_zone: bool,
}

/// What may be tagged when a fleet is made.
const TAGGABLE: [&str; 4] = ["fleet", "instance", "volume", "network-interface"];

/// Most instant fleets that one call removes.
const MOST_REMOVED: usize = 25;

/// What came of a share.
#[derive(Default)]
struct Filled {
    sets: Vec<Fields>,
    errors: Vec<Fields>,
    instances: Vec<String>,
}

impl Cloud {
    pub(super) fn create_fleet(&mut self, parameters: &Parameters) -> Result<Fields, ApiError> {
        if let Some(id) = self.repeated("CreateFleet", parameters)?
            && let Some(fleet) = self.fleets.get(&id)
        {
            return Ok(fleet.answer.clone());
        }
        if parameters.text("Type") != Some("instant") {
            return Err(ApiError::invalid("Only fleets of type instant are made here"));
        }
        let tags = specified(parameters, "fleet", &TAGGABLE)?;
        let instance_tags = specified(parameters, "instance", &TAGGABLE)?;
        let choices = choices(parameters)?;
        self.check_subnets(&choices)?;
        let shares = shares(parameters)?;
        let id = format!("fleet-{}", self.ids.uuid());
        let mut filled = Filled::default();
        for share in shares {
            self.fill(&share, &choices, (&id, &instance_tags), &mut filled);
        }
        let answer = Fields::new()
            .with("fleetId", &id)
            .items("fleetInstanceSet", filled.sets)
            .items("errorSet", filled.errors);
        let fleet = Fleet {
            answer: answer.clone(),
            instances: filled.instances,
            target: parameters.number("TargetCapacitySpecification.TotalTargetCapacity")?.unwrap_or_default(),
            deleted: false,
            made: self.now,
            tags,
        };
        self.fleets.insert(id.clone(), fleet);
        self.remember("CreateFleet", parameters, &id);
        Ok(answer)
    }

    /// One subnet of each zone.
    fn check_subnets(&self, choices: &[Choice]) -> Result<(), ApiError> {
        let mut taken = BTreeMap::new();
        for named in choices.iter().filter_map(|choice| choice.overridden.text("SubnetId")) {
            let known = self.settings.subnets.iter().find(|subnet| subnet.id == named);
            let zone = known.map(|subnet| subnet.zone.as_str());
            if zone.is_some_and(|zone| *taken.entry(zone).or_insert(named) != named) {
                return Err(ApiError::invalid(
                    "An EC2 Fleet request cannot span different subnets from the same Availability Zone",
                ));
            }
        }
        Ok(())
    }

    /// Takes one choice after the other until the share is filled; less than its least, and nothing is taken.
    fn fill(&mut self, share: &Share, choices: &[Choice], (fleet, tags): (&str, &Tags), filled: &mut Filled) {
        let mut ordered: Vec<&Choice> = choices.iter().collect();
        if share.by_priority {
            ordered.sort_by(|one, other| one.priority.total_cmp(&other.priority));
        }
        let mut own = Filled::default();
        let mut left = share.count;
        let mut first: Option<(String, String)> = None;
        for choice in ordered {
            if left == 0 {
                break;
            }
            match self.choose(choice, share, left, first.as_ref(), (fleet, tags)) {
                Ok(None) => {}
                Ok(Some((launch, ids))) => {
                    left -= u32::try_from(ids.len()).unwrap_or(left).min(left);
                    let zone =
                        ids.first().and_then(|id| self.instances.get(id)).map(|found| found.zone.clone());
                    first.get_or_insert((launch.kind.name.clone(), zone.unwrap_or_default()));
                    own.sets.push(
                        choice
                            .fields(share.market)
                            .items("instanceIds", ids.iter().map(String::as_str))
                            .with("instanceType", &launch.kind.name),
                    );
                    own.instances.extend(ids);
                }
                Err(error) => own.errors.push(
                    choice
                        .fields(share.market)
                        .with("errorCode", &error.code)
                        .with("errorMessage", &error.message),
                ),
            }
        }
        if share.count - left < share.least {
            for id in own.instances.drain(..) {
                self.unmake(&id);
            }
            own.sets.clear();
        }
        filled.sets.extend(own.sets);
        filled.errors.extend(own.errors);
        filled.instances.extend(own.instances);
    }

    /// As many as there are of one choice; `None` where a share of a single type or zone has another already.
    fn choose(
        &mut self,
        choice: &Choice,
        share: &Share,
        count: u32,
        first: Option<&(String, String)>,
        (fleet, tags): (&str, &Tags),
    ) -> Result<Option<(Launch, Vec<String>)>, ApiError> {
        let mut parameters = choice.overridden.over(&self.template_data(&choice.template)?);
        for name in ["AvailabilityZone", "GroupName"] {
            if let Some(text) = choice.overridden.text(&format!("Placement.{name}")) {
                parameters.set(&format!("Placement.{name}"), text);
            }
        }
        if let Some(zone) = choice.overridden.text("AvailabilityZone") {
            parameters.set("Placement.AvailabilityZone", zone);
        }
        // The subnet of an override takes the place of the interface's.
        if let (Some(subnet), true) = (choice.overridden.text("SubnetId"), parameters.has("NetworkInterface"))
        {
            parameters.set("NetworkInterface.1.SubnetId", subnet);
            parameters = parameters.without(&["SubnetId"]);
        }
        if share.market == Market::Spot {
            parameters.set("InstanceMarketOptions.MarketType", "spot");
        }
        let mut launch = self.launch_of(&parameters.without(&["ClientToken"]))?;
        if let Some((kind, zone)) = first {
            if share.single_type && *kind != launch.kind.name {
                return Ok(None);
            }
            if share.single_zone {
                launch.subnets.retain(|subnet| subnet.zone == *zone);
            }
            if launch.subnets.is_empty() {
                return Ok(None);
            }
        }
        launch.fleet = Some(fleet.to_owned());
        launch.tags[0].extend(tags.clone());
        launch.tags[0].insert("aws:ec2:fleet-id".into(), fleet.into());
        let (_, ids) = self.launch(&launch, 1, count)?;
        Ok(Some((launch, ids)))
    }

    pub(super) fn describe_fleets(&self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let filters = Filters::of(parameters)?;
        // Instant fleets are described to those who name them.
        let mut found = Vec::new();
        for id in parameters.texts("FleetId") {
            let Some(fleet) = self.fleets.get(id) else {
                let text = format!("The fleet ID '{id}' does not exist");
                return Err(ApiError::new("InvalidFleetId.NotFound", text));
            };
            let state = if fleet.deleted { "deleted_terminating" } else { "active" };
            if filters.fit(&fleet.tags, |name| (name == "fleet-state").then(|| vec![state.into()]))? {
                found.push(
                    Fields::new()
                        .with("fleetId", id)
                        .with("fleetState", state)
                        .with("createTime", timestamp(fleet.made))
                        .with("type", "instant")
                        .fields(
                            "targetCapacitySpecification",
                            Fields::new().with("totalTargetCapacity", fleet.target),
                        )
                        .items("tagSet", tag_set(&fleet.tags)),
                );
            }
        }
        Ok(Fields::new().items("fleetSet", found))
    }

    pub(super) fn delete_fleets(&mut self, parameters: &Parameters) -> Result<Fields, ApiError> {
        let Some(terminate) = parameters.flag("TerminateInstances")? else {
            return Err(ApiError::missing("TerminateInstances"));
        };
        if parameters.texts("FleetId").len() > MOST_REMOVED {
            return Err(ApiError::invalid(format!(
                "At most {MOST_REMOVED} instant fleets are deleted at once"
            )));
        }
        let (mut deleted, mut refused) = (Vec::new(), Vec::new());
        for id in parameters.texts("FleetId").into_iter().map(str::to_owned).collect::<Vec<_>>() {
            let error = match self.fleets.get_mut(&id) {
                None => Some(("fleetIdDoesNotExist", format!("The fleet ID '{id}' does not exist"))),
                Some(_) if !terminate => {
                    Some(("fleetNotInDeletableState", "An instant fleet takes its instances with it".into()))
                }
                Some(fleet) if fleet.deleted => {
                    Some(("fleetNotInDeletableState", format!("The fleet '{id}' is deleted already")))
                }
                Some(fleet) => {
                    fleet.deleted = true;
                    None
                }
            };
            if let Some((code, message)) = error {
                let error = Fields::new().with("code", code).with("message", message);
                refused.push(Fields::new().fields("error", error).with("fleetId", &id));
                continue;
            }
            let instances = self.fleets.get(&id).map(|fleet| fleet.instances.clone()).unwrap_or_default();
            for instance in &instances {
                self.terminate(instance);
            }
            deleted.push(
                Fields::new()
                    .with("currentFleetState", "deleted_terminating")
                    .with("previousFleetState", "active")
                    .with("fleetId", &id),
            );
        }
        Ok(Fields::new()
            .items("successfulFleetDeletionSet", deleted)
            .items("unsuccessfulFleetDeletionSet", refused))
    }
}

impl Choice {
    fn fields(&self, market: Market) -> Fields {
        let text = |name: &str| self.overridden.text(name).map(str::to_owned);
        let template = Fields::new()
            .with_some("launchTemplateId", self.template.text("LaunchTemplateId"))
            .with_some("launchTemplateName", self.template.text("LaunchTemplateName"))
            .with_some("version", self.template.text("Version"));
        let overrides = Fields::new()
            .with_some("instanceType", text("InstanceType"))
            .with_some("subnetId", text("SubnetId"))
            .with_some("availabilityZone", text("AvailabilityZone"))
            .with_some("priority", text("Priority"));
        Fields::new()
            .fields(
                "launchTemplateAndOverrides",
                Fields::new().fields("launchTemplateSpecification", template).fields("overrides", overrides),
            )
            .with("lifecycle", market.name())
    }
}

fn choices(parameters: &Parameters) -> Result<Vec<Choice>, ApiError> {
    let mut choices = Vec::new();
    for configuration in parameters.list("LaunchTemplateConfigs") {
        let template = configuration
            .get("LaunchTemplateSpecification")
            .ok_or_else(|| ApiError::missing("LaunchTemplateSpecification"))?;
        let nothing = Parameters::default();
        let mut overrides = configuration.list("Overrides");
        if overrides.is_empty() {
            overrides.push(&nothing);
        }
        for overridden in overrides {
            let priority = overridden.text("Priority").and_then(|text| text.parse().ok());
            choices.push(Choice {
                template: template.clone(),
                overridden: overridden.clone(),
                priority: priority.unwrap_or(f64::MAX),
            });
        }
    }
    if choices.is_empty() {
        return Err(ApiError::missing("LaunchTemplateConfigs"));
    }
    Ok(choices)
}

/// How many of each market, spot first, as the options say.
fn shares(parameters: &Parameters) -> Result<Vec<Share>, ApiError> {
    let capacity = |name: &str| parameters.number(&format!("TargetCapacitySpecification.{name}"));
    let total = capacity("TotalTargetCapacity")?.ok_or_else(|| ApiError::missing("TotalTargetCapacity"))?;
    let default_spot =
        parameters.text("TargetCapacitySpecification.DefaultTargetCapacityType") != Some("on-demand");
    let (spot, on_demand) = match (capacity("SpotTargetCapacity")?, capacity("OnDemandTargetCapacity")?) {
        (Some(spot), Some(on_demand)) => (spot, on_demand),
        (Some(spot), None) if default_spot => (total.max(spot), 0),
        (Some(spot), None) => (spot, total.saturating_sub(spot)),
        (None, Some(on_demand)) if default_spot => (total.saturating_sub(on_demand), on_demand),
        (None, Some(on_demand)) => (0, total.max(on_demand)),
        (None, None) if default_spot => (total, 0),
        (None, None) => (0, total),
    };
    if spot + on_demand != total {
        return Err(ApiError::invalid("The capacities of spot and on-demand do not add up to the total"));
    }
    let share = |market, count, options: &str, by_priority: &[&str]| {
        let text = |name: &str| parameters.text(&format!("{options}.{name}"));
        let least = parameters.number(&format!("{options}.MinTargetCapacity"))?;
        let narrow = ["SingleInstanceType", "SingleAvailabilityZone"];
        if least.is_some() && narrow.iter().all(|name| text(name) != Some("true")) {
            return Err(ApiError::combination(
                "MinTargetCapacity needs one of SingleInstanceType and SingleAvailabilityZone",
            ));
        }
        Ok::<_, ApiError>(Share {
            market,
            count,
            least: least.unwrap_or(0),
            by_priority: text("AllocationStrategy").is_some_and(|strategy| by_priority.contains(&strategy)),
            single_type: text("SingleInstanceType") == Some("true"),
            single_zone: text("SingleAvailabilityZone") == Some("true"),
        })
    };
    let shares = [
        share(Market::Spot, spot, "SpotOptions", &["capacity-optimized-prioritized"])?,
        share(Market::OnDemand, on_demand, "OnDemandOptions", &["prioritized"])?,
    ];
    Ok(shares.into_iter().filter(|share| share.count > 0).collect())
}
