//! What instance types have and cost. Pure.
//!
//! AWS' public list prices for Linux on demand in `us-east-1`, as `libcloud/data/pricing.json` of Apache Libcloud 3.9.1
//! has them, which its authors made from AWS' offer files on 2025-03-02; processors and memory are from the same
//! package. Where that file has nothing for a size, or the price of dedicated hardware (6 or 10 percent more), it is
//! the price of its family's other sizes. Those of other regions are estimated by what an `m5.large` costs there, by
//! the same file. A document's `prices` go over all of it, and a type that is not here has no price unless the
//! document gives it one.

use std::sync::LazyLock;

use crate::{
    model::Money,
    spec::{Architecture, Ec2Spec, InstanceType},
};

/// When the table was true, for people.
pub const AS_OF: &str = "2025-03";

/// What an instance type has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub name: InstanceType,
    /// Virtual processors.
    pub processors: u32,
    /// Memory, in MiB.
    pub memory: u64,
    /// GPUs.
    pub gpus: u32,
    /// Whether it runs at full speed for as long as it likes.
    pub speed: Speed,
    /// Per hour in `us-east-1`.
    pub hourly: Money,
}

/// Whether a machine runs at full speed for as long as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// It does.
    Steady,
    /// For a while; beyond that it costs more.
    Burst,
}

/// Sizes of a family: how many times a `large` each is.
const SIZES: [(&str, u32); 9] = [
    ("large", 1),
    ("xlarge", 2),
    ("2xlarge", 4),
    ("4xlarge", 8),
    ("8xlarge", 16),
    ("12xlarge", 24),
    ("16xlarge", 32),
    ("24xlarge", 48),
    ("48xlarge", 96),
];

/// Families whose price and memory grow with their two processors: a `large`'s GiB, and millionths of a dollar.
/// The last number is how many of [`SIZES`] there are.
const FAMILIES: [(&str, u64, u64, usize); 17] = [
    ("c6a", 4, 76_500, 9),
    ("c6g", 4, 68_000, 7),
    ("c6i", 4, 85_000, 8),
    ("c7g", 4, 72_500, 7),
    ("c7i", 4, 89_250, 9),
    ("m5", 8, 96_000, 8),
    ("m6a", 8, 86_400, 9),
    ("m6g", 8, 77_000, 7),
    ("m6i", 8, 96_000, 8),
    ("m7a", 8, 115_920, 9),
    ("m7g", 8, 81_600, 7),
    ("m7i", 8, 100_800, 9),
    ("r5", 16, 126_000, 8),
    ("r6g", 16, 100_800, 7),
    ("r6i", 16, 126_000, 8),
    ("r7g", 16, 107_100, 7),
    ("r7i", 16, 132_300, 9),
];

/// Types by themselves: processors, MiB, GPUs, millionths of a dollar.
const OTHERS: [(&str, u32, u64, u32, u64); 24] = [
    ("t3.micro", 2, 1_024, 0, 10_400),
    ("t3.small", 2, 2_048, 0, 20_800),
    ("t3.medium", 2, 4_096, 0, 41_600),
    ("t3.large", 2, 8_192, 0, 83_200),
    ("t3.xlarge", 4, 16_384, 0, 166_400),
    ("t3.2xlarge", 8, 32_768, 0, 332_800),
    ("t4g.micro", 2, 1_024, 0, 8_400),
    ("t4g.small", 2, 2_048, 0, 16_800),
    ("t4g.medium", 2, 4_096, 0, 33_600),
    ("t4g.large", 2, 8_192, 0, 67_200),
    ("t4g.xlarge", 4, 16_384, 0, 134_400),
    ("t4g.2xlarge", 8, 32_768, 0, 268_800),
    ("g4dn.xlarge", 4, 16_384, 1, 526_000),
    ("g4dn.2xlarge", 8, 32_768, 1, 752_000),
    ("g4dn.4xlarge", 16, 65_536, 1, 1_204_000),
    ("g4dn.12xlarge", 48, 196_608, 4, 3_912_000),
    ("g5.xlarge", 4, 16_384, 1, 1_006_000),
    ("g5.2xlarge", 8, 32_768, 1, 1_212_000),
    ("g5.4xlarge", 16, 65_536, 1, 1_624_000),
    ("g5.12xlarge", 48, 196_608, 4, 5_672_000),
    ("g5.48xlarge", 192, 786_432, 8, 16_288_000),
    ("g5g.xlarge", 4, 8_192, 1, 420_000),
    ("g6.xlarge", 4, 16_384, 1, 804_800),
    ("g6.2xlarge", 8, 32_768, 1, 977_600),
];

/// Prices of regions, in thousandths of those of `us-east-1`.
const REGIONS: [(&str, u64); 15] = [
    ("us-east-1", 1_000),
    ("us-east-2", 1_000),
    ("us-west-2", 1_000),
    ("us-west-1", 1_167),
    ("ca-central-1", 1_115),
    ("eu-west-1", 1_115),
    ("eu-west-2", 1_157),
    ("eu-west-3", 1_167),
    ("eu-central-1", 1_198),
    ("eu-north-1", 1_063),
    ("ap-south-1", 1_053),
    ("ap-southeast-1", 1_250),
    ("ap-southeast-2", 1_250),
    ("ap-northeast-1", 1_292),
    ("sa-east-1", 1_594),
];

/// For a region that is not in the table: what the dearest costs.
const ELSEWHERE: u64 = 1_594;

/// All types that Crewcall knows, in no order.
pub fn offers() -> &'static [Offer] {
    // Every plan asks for prices.
    static ALL: LazyLock<Vec<Offer>> = LazyLock::new(table);
    &ALL
}

fn table() -> Vec<Offer> {
    let sized = FAMILIES.iter().flat_map(|(family, gib, price, sizes)| {
        SIZES.iter().take(*sizes).filter_map(move |(size, times)| {
            Some(Offer {
                name: format!("{family}.{size}").parse().ok()?,
                processors: 2 * times,
                memory: gib * 1024 * u64::from(*times),
                gpus: 0,
                speed: Speed::Steady,
                hourly: Money(price * u64::from(*times)),
            })
        })
    });
    let others = OTHERS.iter().filter_map(|(name, processors, memory, gpus, price)| {
        let speed = if name.starts_with('t') { Speed::Burst } else { Speed::Steady };
        Some(Offer {
            name: name.parse().ok()?,
            processors: *processors,
            memory: *memory,
            gpus: *gpus,
            speed,
            hourly: Money(*price),
        })
    });
    sized.chain(others).collect()
}

/// What an instance type costs an hour on demand; `None`: nobody knows.
pub fn hourly(name: &InstanceType, region: &str, ec2: &Ec2Spec) -> Option<Money> {
    if let Some(price) = ec2.prices.get(name) {
        return Some(money(*price));
    }
    let offer = offers().iter().find(|offer| offer.name == *name)?;
    Some(there(offer.hourly, region))
}

/// An amount in dollars; what is no amount is nothing.
pub fn money(dollars: f64) -> Money {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
    Money((dollars * 1_000_000.0).round().max(0.0) as u64)
}

fn there(hourly: Money, region: &str) -> Money {
    let factor = REGIONS.iter().find(|(name, _)| *name == region).map_or(ELSEWHERE, |(_, factor)| *factor);
    Money(hourly.0 * factor / 1_000)
}

/// What a machine must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirements {
    /// Thousandths of a processor.
    pub processors: u32,
    /// MiB for the scheduler or worker itself.
    pub memory: u64,
    /// At least so many GPUs; none: machines without.
    pub gpus: u32,
    /// Of which processors.
    pub architecture: Architecture,
    /// Whether it has to run at full speed all the time.
    pub speed: Speed,
}

/// What the system of a machine and the container's runtime take of its memory, in MiB.
const SYSTEM: u64 = 512;

/// The part of a machine's memory that its kernel does not have for anybody, as a divisor.
const RESERVED: u64 = 32;

/// Most types to choose from where none is named.
const MOST: usize = 5;

/// Types that have what is required, the cheapest first, and none that is more than twice as dear as the cheapest.
pub fn fitting(required: &Requirements) -> Vec<Offer> {
    let mut found: Vec<Offer> = offers()
        .iter()
        .filter(|offer| {
            let usable = offer.memory - offer.memory / RESERVED;
            offer.name.architecture() == required.architecture
                && offer.processors.saturating_mul(1000) >= required.processors
                && usable >= required.memory + SYSTEM
                && (if required.gpus == 0 { offer.gpus == 0 } else { offer.gpus >= required.gpus })
                && (required.speed == Speed::Burst || offer.speed == Speed::Steady)
        })
        .cloned()
        .collect();
    found.sort_by(|one, other| (one.hourly, &one.name).cmp(&(other.hourly, &other.name)));
    let limit = found.first().map_or(0, |cheapest| cheapest.hourly.0 * 2);
    found.retain(|offer| offer.hourly.0 <= limit);
    found.truncate(MOST);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(processors: u32, memory: u64) -> Requirements {
        Requirements { processors, memory, gpus: 0, architecture: Architecture::X86_64, speed: Speed::Steady }
    }

    fn names(found: &[Offer]) -> Vec<&str> {
        found.iter().map(|offer| offer.name.as_str()).collect()
    }

    #[test]
    fn every_type_of_the_table_is_one() {
        let wanted: usize = FAMILIES.iter().map(|(_, _, _, sizes)| sizes).sum();
        assert_eq!(offers().len(), wanted + OTHERS.len());
        let m7i = offers().iter().find(|offer| offer.name.as_str() == "m7i.2xlarge").unwrap();
        assert_eq!((m7i.processors, m7i.memory, m7i.hourly), (8, 32_768, Money(403_200)));
    }

    #[test]
    fn the_cheapest_machine_that_has_it_all_comes_first() {
        let small = fitting(&required(2000, 2048));
        assert_eq!(names(&small).first(), Some(&"c6a.large"));
        assert!(small.len() <= MOST && small.iter().all(|offer| offer.processors >= 2));
        // 8 GiB for the worker do not fit into a machine of 8 GiB.
        let large = fitting(&required(2000, 8192));
        assert!(large.iter().all(|offer| offer.memory > 8192), "{:?}", names(&large));
        let gpu = fitting(&Requirements { gpus: 1, ..required(1000, 4096) });
        assert_eq!(names(&gpu).first(), Some(&"g4dn.xlarge"));
        let arm = fitting(&Requirements { architecture: Architecture::Arm64, ..required(2000, 2048) });
        assert_eq!(names(&arm).first(), Some(&"c6g.large"));
        let burst = fitting(&Requirements { speed: Speed::Burst, ..required(1000, 2048) });
        assert_eq!(names(&burst).first(), Some(&"t3.medium"));
        assert!(fitting(&required(1_000_000, 1)).is_empty());
    }

    #[test]
    fn a_documents_price_goes_over_the_table() {
        let name: InstanceType = "m5.large".parse().unwrap();
        let mut ec2 = Ec2Spec::default();
        assert_eq!(hourly(&name, "us-east-1", &ec2), Some(Money(96_000)));
        assert_eq!(hourly(&name, "eu-central-1", &ec2), Some(Money(115_008)));
        assert!(hourly(&name, "xx-new-1", &ec2) > hourly(&name, "ap-northeast-1", &ec2));
        ec2.prices.insert(name.clone(), 0.05);
        assert_eq!(hourly(&name, "us-east-1", &ec2), Some(Money(50_000)));
        assert_eq!(hourly(&"x9z.large".parse().unwrap(), "us-east-1", &ec2), None);
    }
}
