//! How many machines there are to be had, and how many this account may have.

use super::{cloud::Cloud, instances::State, settings::matches};
use crate::error::ApiError;

/// How machines are paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// Until they are ended.
    OnDemand,
    /// Until they are wanted back.
    Spot,
}

impl Market {
    /// As `instanceLifecycle` and fleets write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::Spot => "spot",
        }
    }
}

/// How many machines that fit may live at once.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// A pattern of types, `*` for any text.
    pub instance_type: String,
    /// A pattern of zones.
    pub zone: String,
    /// Only of this market, or of both.
    #[serde(default)]
    pub market: Option<Market>,
    /// As many may live; without it as many as are wanted, and an earlier rule for the same is gone.
    #[serde(default)]
    pub room: Option<u32>,
}

impl Room {
    /// Whether two rules are about the same machines.
    pub(super) fn is_about(&self, other: &Room) -> bool {
        (&self.instance_type, &self.zone, self.market) == (&other.instance_type, &other.zone, other.market)
    }

    fn fits(&self, instance_type: &str, zone: &str, market: Market) -> bool {
        matches(&self.instance_type, instance_type)
            && matches(&self.zone, zone)
            && self.market.is_none_or(|own| own == market)
    }
}

impl Cloud {
    /// How many more of this type the zone has, if that is limited.
    pub(super) fn room(&self, instance_type: &str, zone: &str, market: Market) -> Option<u32> {
        let rules = self.rooms.iter().filter(|rule| rule.fits(instance_type, zone, market));
        rules
            .filter_map(|rule| {
                let live = self.instances.values().filter(|instance| {
                    instance.holds_capacity()
                        && rule.fits(&instance.kind.name, &instance.zone, instance.market)
                });
                Some(rule.room?.saturating_sub(u32::try_from(live.count()).unwrap_or(u32::MAX)))
            })
            .min()
    }

    /// How many more of this many processors each the account may have, if that is limited.
    pub(super) fn quota(&self, vcpus: u32, market: Market) -> Option<u32> {
        let limit = match market {
            Market::OnDemand => self.settings.on_demand_vcpus,
            Market::Spot => self.settings.spot_vcpus,
        }?;
        let live = self.instances.values().filter(|instance| {
            instance.market == market
                && matches!(instance.state, State::Pending | State::Running | State::Stopping)
        });
        let used: u32 = live.map(|instance| instance.kind.vcpus).sum();
        Some(limit.saturating_sub(used) / vcpus.max(1))
    }

    /// How many of a launch can be had, at least one and at least `min`.
    pub(super) fn attainable(
        &self,
        (instance_type, vcpus): (&str, u32),
        zone: &str,
        market: Market,
        (min, max): (u32, u32),
    ) -> Result<u32, ApiError> {
        let quota = self.quota(vcpus, market).unwrap_or(max).min(max);
        if quota < min {
            return Err(self.over_quota(market));
        }
        let room = self.room(instance_type, zone, market).unwrap_or(max).min(quota);
        if room < min {
            return Err(self.no_room(instance_type, zone, market));
        }
        Ok(room)
    }

    fn over_quota(&self, market: Market) -> ApiError {
        match market {
            Market::OnDemand => ApiError::new(
                "VcpuLimitExceeded",
                format!(
                    "You have requested more vCPU capacity than your current vCPU limit of {} allows for the instance \
                     bucket that the specified instance type belongs to. Please visit \
                     http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
                    self.settings.on_demand_vcpus.unwrap_or_default()
                ),
            ),
            Market::Spot => ApiError::new("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded"),
        }
    }

    fn no_room(&self, instance_type: &str, zone: &str, market: Market) -> ApiError {
        if market == Market::Spot {
            let text = "There is no Spot capacity available that matches your request.";
            return ApiError::new("InsufficientInstanceCapacity", text).status(500);
        }
        let others: Vec<_> = self
            .settings
            .subnets
            .iter()
            .map(|subnet| subnet.zone.as_str())
            .filter(|other| *other != zone && self.room(instance_type, other, market) != Some(0))
            .collect();
        let advice = if others.is_empty() {
            String::new()
        } else {
            format!(
                " You can currently get {instance_type} capacity by not specifying an Availability Zone in your request \
                 or choosing {}.",
                others.join(", ")
            )
        };
        let text = format!(
            "We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested \
             ({zone}). Our system will be working on provisioning additional capacity.{advice}"
        );
        ApiError::new("InsufficientInstanceCapacity", text).status(500)
    }
}
