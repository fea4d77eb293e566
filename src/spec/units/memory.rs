//! Amounts of memory.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::quantity::{Flaw, MAX_TEXT, UnitError, scaled, split, text_form};

/// Bytes of memory, at least 1.
///
/// Read in Dask's spelling (`2GiB`, `2 GB`, `500 MB`) and in Kubernetes' (`2Gi`, `500M`);
/// written in the largest binary unit that divides it (`2GiB`), else in bytes. With a `B`, upper
/// and lower case are the same, as to Dask; without, the units are those of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Memory(u64);

/// What [`Memory`] reads, zero and what is too large aside.
pub(super) const MEMORY_PATTERN: &str =
    r"^\s*([0-9]+(\.[0-9]{0,9})?|\.[0-9]{1,9})\s*(([KMGTP]i|[kKMGTP])?|([kKmMgGtTpP][iI]?)?[bB])\s*$";

text_form!(Memory, MEMORY_PATTERN, "2GiB", "500MB", "2Gi");

const MEMORY_UNITS: [(&str, u64); 12] = [
    ("Pi", 1 << 50),
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("P", 1_000_000_000_000_000),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
    ("K", 1_000),
    ("", 1),
];

/// The factor of a memory unit.
fn memory_factor(unit: &str) -> Option<u64> {
    let found = match unit.strip_suffix(['B', 'b']) {
        Some(prefix) => MEMORY_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(prefix)),
        None => MEMORY_UNITS.iter().find(|(name, _)| *name == unit),
    };
    found.map(|(_, factor)| *factor)
}

impl Memory {
    /// From a number of bytes; `None` for 0 and for more than `i64::MAX`, which Kubernetes refuses.
    pub fn from_bytes(bytes: u64) -> Option<Self> {
        (bytes > 0 && i64::try_from(bytes).is_ok()).then_some(Self(bytes))
    }

    /// Bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Memory {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = |flaw| UnitError::new("amount of memory", text, flaw, "write it as 2GiB, 500MB or 2Gi");
        let (number, unit) = split(text);
        let bytes = memory_factor(unit)
            .filter(|_| text.len() <= MAX_TEXT)
            .and_then(|factor| scaled(number, factor))
            .ok_or_else(|| error(Flaw::Malformed))?;
        let flaw = if bytes == 0 { Flaw::TooSmall("1 byte") } else { Flaw::TooLarge("8191PiB") };
        Self::from_bytes(bytes).ok_or_else(|| error(flaw))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = MEMORY_UNITS.iter().take(5).find(|(_, n)| self.0.is_multiple_of(*n));
        f.pad(&match unit {
            Some((name, n)) => format!("{}{name}B", self.0 / n),
            None => format!("{}B", self.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn memory(text: &str) -> Result<u64, String> {
        text.parse::<Memory>().map(Memory::bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn memory_is_read_in_the_spelling_of_dask_and_of_kubernetes() {
        for text in ["2GiB", "2 GiB", "2Gi", "2gib", "2048MiB", "2147483648", "2147483648B", " 2GiB "] {
            assert_eq!(memory(text), Ok(2 << 30), "{text}");
        }
        for text in ["2GB", "2 GB", "2G", "2gb", "2000M", "0.002T"] {
            assert_eq!(memory(text), Ok(2_000_000_000), "{text}");
        }
        assert_eq!(memory("1.5GiB"), Ok(3 << 29));
    }

    #[test]
    fn memory_that_is_none_says_why() {
        for text in ["", "GiB", "2 giga", "-2GiB", "1e9", "2m", "2g", "1.2.3GB", "\u{662}GiB", "2GiB GiB"] {
            assert!(memory(text).unwrap_err().contains("is no amount of memory; write it as 2GiB"), "{text}");
        }
        assert_eq!(
            memory("0GiB").unwrap_err(),
            "`0GiB` is too small; the least is 1 byte; write it as 2GiB, 500MB or 2Gi"
        );
        assert!(memory("9999PiB").unwrap_err().contains("too large"));
        assert!(memory(&"9".repeat(32)).unwrap_err().contains("too large"));
        assert!(memory(&"9".repeat(33)).unwrap_err().contains("is no amount"));
    }

    proptest! {
        #[test]
        fn memory_round_trips(bytes in 1..=i64::MAX.cast_unsigned()) {
            let memory = Memory::from_bytes(bytes).unwrap();
            prop_assert_eq!(memory.to_string().parse(), Ok(memory));
        }
    }
}
