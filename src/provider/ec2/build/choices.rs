//! What a launch can ask for: types, places and markets, in the order in which they are tried.

use std::{fmt, time::Duration};

use crate::{
    model::{Choice, Launching, Money},
    provider::ec2::prices::{self, Requirements, Speed},
    spec::{ComputeCluster, Cpu, Ec2Spec, GroupName, InstanceType, Memory, Purchase},
};

/// Most machines of one launch; EC2 takes more in one call only for whom it allows.
const LARGEST: u32 = 1_000;

/// Most choices of a group: each that has no room costs a call.
const MOST: usize = 32;

/// What a scheduler needs where the document does not say, in MiB.
const SCHEDULER_MEMORY: u64 = 2_048;

/// What a worker needs for each thread where the document does not say, in MiB.
const THREAD_MEMORY: u64 = 2_048;

/// For a document that wants no second try: longer than certificates are valid.
const NEVER: Duration = Duration::from_hours(366 * 24);

/// One thing that a launch can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchChoice {
    /// Of which type.
    pub instance_type: InstanceType,
    /// How it is bought.
    pub market: Market,
    /// Where.
    pub place: Place,
    /// What it costs an hour at most; `None`: nobody knows.
    pub hourly: Option<Money>,
}

/// How a machine is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Market {
    /// Spare capacity that is taken back.
    Spot,
    /// At the full price.
    OnDemand,
}

/// Where a machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a default subnet of EC2's choice.
    Anywhere,
    /// In the default subnet of a zone.
    Zone(String),
    /// In a subnet.
    Subnet(String),
}

impl fmt::Display for LaunchChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.instance_type.as_str())?;
        if self.market == Market::Spot {
            f.write_str(", spot")?;
        }
        match &self.place {
            Place::Anywhere => Ok(()),
            Place::Zone(name) | Place::Subnet(name) => write!(f, ", in {name}"),
        }
    }
}

/// A group's choices, or the scheduler's: each type in each place, spare capacity first where it is wanted. None
/// where no type that Crewcall knows has what is required.
pub fn choices(document: &ComputeCluster, group: &GroupName, region: &str) -> Vec<LaunchChoice> {
    let Some(ec2) = document.spec.ec2() else { return Vec::new() };
    let template = document.spec.machine_template(group);
    let types = if template.instance_types.is_empty() {
        prices::fitting(&required(document, group)).into_iter().map(|offer| offer.name).collect()
    } else {
        template.instance_types.clone()
    };
    let markets: &[Market] = match template.purchase.unwrap_or_default() {
        Purchase::OnDemand => &[Market::OnDemand],
        Purchase::Spot => &[Market::Spot],
        Purchase::SpotWithFallback => &[Market::Spot, Market::OnDemand],
    };
    let (types, places) = (&types, &places(ec2));
    let each = MOST / markets.len();
    markets
        .iter()
        .flat_map(|market| {
            let pairs = types.iter().flat_map(|name| places.iter().map(move |place| (name, place)));
            pairs.take(each).map(|(name, place)| LaunchChoice {
                instance_type: name.clone(),
                market: *market,
                place: place.clone(),
                hourly: prices::hourly(name, region, ec2),
            })
        })
        .collect()
}

fn places(ec2: &Ec2Spec) -> Vec<Place> {
    let subnets = ec2.subnets.iter().cloned().map(Place::Subnet);
    let named: Vec<Place> = subnets.chain(ec2.zones.iter().cloned().map(Place::Zone)).collect();
    if named.is_empty() { vec![Place::Anywhere] } else { named }
}

fn required(document: &ComputeCluster, group: &GroupName) -> Requirements {
    let spec = &document.spec;
    let mib = |memory: Memory| memory.bytes().div_ceil(1 << 20);
    let template = spec.machine_template(group);
    let (processors, memory, speed) = if group.is_scheduler() {
        let memory = spec.scheduler.memory.map_or(SCHEDULER_MEMORY, mib);
        (spec.scheduler.cpu.map_or(1_000, Cpu::millis), memory, Speed::Burst)
    } else {
        let group = spec.group(group).cloned().unwrap_or_default();
        let processors = group.cpu.map_or_else(|| group.threads().saturating_mul(1_000), Cpu::millis);
        let memory = group.memory.map_or(THREAD_MEMORY * u64::from(group.threads()), mib);
        (processors, memory, Speed::Steady)
    };
    Requirements {
        processors,
        memory,
        gpus: template.gpus.unwrap_or(0),
        architecture: template.architecture(),
        speed,
    }
}

/// How the plan launches this cluster's nodes.
pub fn launching(document: &ComputeCluster, region: &str) -> Launching {
    let defaults = Ec2Spec::default();
    let ec2 = document.spec.ec2().unwrap_or(&defaults);
    let groups = document.spec.groups().map(|(name, _)| name);
    let named = |group: GroupName| {
        let choices = choices(document, &group, region);
        let choices = choices.iter().map(|one| Choice { label: one.to_string(), hourly: one.hourly });
        (group, choices.collect())
    };
    Launching {
        choices: groups.chain([GroupName::scheduler()]).map(named).collect(),
        largest: LARGEST,
        capacity_retry: ec2.capacity_retry().unwrap_or(NEVER),
        max_cost: ec2.max_cost.map(prices::money),
        max_hourly_cost: ec2.max_hourly_cost.map(prices::money),
    }
}
