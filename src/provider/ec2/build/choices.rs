//! What a launch can ask for: types, places and markets, in the order in which they are tried.

use std::{fmt, time::Duration};

use crate::{
    model::{Choice, Launching, Money},
    provider::ec2::{
        names,
        prices::{self, Requirements, Speed},
    },
    spec::{ComputeCluster, Cpu, Ec2Spec, GroupName, InstanceType, Memory, Purchase},
};

/// Most machines of one launch; EC2 takes more in one call only for whom it allows.
const LARGEST: u32 = 1_000;

/// Most pools of one launch: AWS' quota of launch specifications in a fleet.
const POOLS: usize = 50;

/// What a scheduler needs where the document does not say, in MiB.
const SCHEDULER_MEMORY: u64 = 2_048;

/// What a worker needs for each thread where the document does not say, in MiB.
const THREAD_MEMORY: u64 = 2_048;

/// For a document that wants no second try: longer than certificates are valid.
const NEVER: Duration = Duration::from_hours(366 * 24);

/// One thing that a launch can ask for: machines of one market, from whichever of its pools has room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchChoice {
    /// How they are bought.
    pub market: Market,
    /// Of which types, the first one first.
    pub types: Vec<PricedType>,
    /// Where, the first one first.
    pub places: Vec<Place>,
}

/// An instance type, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedType {
    /// The type.
    pub instance_type: InstanceType,
    /// What it costs an hour at most; `None`: nobody knows.
    pub hourly: Option<Money>,
}

/// Machines of one type in one place: what EC2 has room for, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Of which type.
    pub instance_type: InstanceType,
    /// Where.
    pub place: Place,
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

impl LaunchChoice {
    /// Its pools: each type in each place, in the order of the document.
    pub fn pools(&self) -> Vec<Pool> {
        let each = self.types.iter().flat_map(|priced| {
            let instance_type = &priced.instance_type;
            let pool = |place: &Place| Pool { instance_type: instance_type.clone(), place: place.clone() };
            self.places.iter().map(pool)
        });
        each.take(POOLS).collect()
    }

    /// The pool of a choice that is one call of `RunInstances`; `None`: it is a fleet.
    pub fn single(&self) -> Option<Pool> {
        match (self.market, self.pools().as_slice()) {
            (Market::OnDemand, [pool]) => Some(pool.clone()),
            _ => None,
        }
    }

    /// What a machine costs an hour at most: as the dearest of the types does. `None`: nobody knows of one of them.
    pub fn hourly(&self) -> Option<Money> {
        self.types.iter().map(|priced| priced.hourly).try_fold(Money(0), |most, price| Some(most.max(price?)))
    }

    /// What machines of each type cost, as their tag has it; `None` where nobody knows of any.
    pub fn hourly_tag(&self) -> Option<String> {
        let prices: Vec<_> = self.types.iter().map(|priced| (&priced.instance_type, priced.hourly)).collect();
        names::hourly_tag(&prices)
    }
}

/// For people: `m7i.large or 4 others, spot, in 3 zones`.
impl fmt::Display for LaunchChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.types.as_slice() {
            [] => f.write_str("nothing")?,
            [one] => write!(f, "{}", one.instance_type)?,
            [one, other] => write!(f, "{} or {}", one.instance_type, other.instance_type)?,
            [first, others @ ..] => write!(f, "{} or {} others", first.instance_type, others.len())?,
        }
        if self.market == Market::Spot {
            f.write_str(", spot")?;
        }
        match self.places.as_slice() {
            [] | [Place::Anywhere] => Ok(()),
            [Place::Zone(name) | Place::Subnet(name)] => write!(f, ", in {name}"),
            [Place::Subnet(_), ..] => write!(f, ", in {} subnets", self.places.len()),
            _ => write!(f, ", in {} zones", self.places.len()),
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.instance_type)?;
        match &self.place {
            Place::Anywhere => Ok(()),
            Place::Zone(name) | Place::Subnet(name) => write!(f, " in {name}"),
        }
    }
}

/// A group's choices, or the scheduler's: one for each market, spare capacity first where it is wanted. None where no
/// type that Crewcall knows has what is required.
pub fn choices(document: &ComputeCluster, group: &GroupName, region: &str) -> Vec<LaunchChoice> {
    let Some(ec2) = document.spec.ec2() else { return Vec::new() };
    let template = document.spec.machine_template(group);
    let names = if template.instance_types.is_empty() {
        prices::fitting(&required(document, group)).into_iter().map(|offer| offer.name).collect()
    } else {
        template.instance_types.clone()
    };
    let priced = |instance_type: InstanceType| PricedType {
        hourly: prices::hourly(&instance_type, region, ec2),
        instance_type,
    };
    let types: Vec<PricedType> = names.into_iter().map(priced).collect();
    if types.is_empty() {
        return Vec::new();
    }
    let markets: &[Market] = match template.purchase.unwrap_or_default() {
        Purchase::OnDemand => &[Market::OnDemand],
        Purchase::Spot => &[Market::Spot],
        Purchase::SpotWithFallback => &[Market::Spot, Market::OnDemand],
    };
    let choice =
        |market: &Market| LaunchChoice { market: *market, types: types.clone(), places: places(ec2) };
    markets.iter().map(choice).collect()
}

fn places(ec2: &Ec2Spec) -> Vec<Place> {
    let subnets = ec2.subnets.iter().cloned().map(Place::Subnet);
    let mut named: Vec<Place> = Vec::new();
    for place in subnets.chain(ec2.zones.iter().cloned().map(Place::Zone)) {
        // A fleet takes each only once.
        if !named.contains(&place) {
            named.push(place);
        }
    }
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
        let choices = choices.iter().map(|one| Choice { label: one.to_string(), hourly: one.hourly() });
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
