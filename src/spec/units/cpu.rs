//! Shares of processors.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::quantity::{Flaw, MAX_TEXT, UnitError, scaled, split, text_form};

/// Processors in thousandths, at least 1 (`0.5` is 500); written `500m` or `2`, as Kubernetes does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cpu(u32);

/// What [`Cpu`] reads, zero and what is too large aside.
pub(super) const CPU_PATTERN: &str = r"^\s*([0-9]+(\.[0-9]{0,9})?|\.[0-9]{1,9})\s*m?\s*$";

text_form!(Cpu, CPU_PATTERN, "2", "500m");

impl Cpu {
    /// From thousandths of a processor; `None` for 0.
    pub fn from_millis(millis: u32) -> Option<Self> {
        (millis > 0).then_some(Self(millis))
    }

    /// Thousandths of a processor.
    pub fn millis(self) -> u32 {
        self.0
    }
}

impl FromStr for Cpu {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = |flaw| UnitError::new("number of processors", text, flaw, "write it as 2, 0.5 or 500m");
        let (number, unit) = split(text);
        let factor = match unit {
            "" => Some(1000),
            "m" => Some(1),
            _ => None,
        };
        let millis = factor
            .filter(|_| text.len() <= MAX_TEXT)
            .and_then(|factor| scaled(number, factor))
            .ok_or_else(|| error(Flaw::Malformed))?;
        let millis = u32::try_from(millis).map_err(|_| error(Flaw::TooLarge("4294967 processors")))?;
        Self::from_millis(millis).ok_or_else(|| error(Flaw::TooSmall("1m, a thousandth of a processor")))
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&if self.0.is_multiple_of(1000) { (self.0 / 1000).to_string() } else { format!("{}m", self.0) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn processors_are_read_as_kubernetes_writes_them() {
        let millis = |text: &str| text.parse::<Cpu>().map(Cpu::millis);
        assert_eq!(millis("0.5"), Ok(500));
        assert_eq!(millis("500m"), Ok(500));
        assert_eq!(millis("2"), Ok(2000));
        assert!(
            millis("0").is_err()
                && millis("0.0001").is_err()
                && millis("2 cores").is_err()
                && millis("5000000").is_err()
        );
        assert_eq!(Cpu::from_millis(2500).unwrap().to_string(), "2500m");
    }

    proptest! {
        #[test]
        fn processors_round_trip(millis in 1..u32::MAX) {
            let cpu = Cpu::from_millis(millis).unwrap();
            prop_assert_eq!(cpu.to_string().parse(), Ok(cpu));
        }
    }
}
