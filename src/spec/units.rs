//! Quantities: memory, processor shares and spans of time, in their canonical text form.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A quantity that cannot be read; says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}; {expected}")]
pub struct UnitError {
    what: &'static str,
    text: String,
    expected: &'static str,
}

/// Bytes of memory, at least 1.
///
/// Read in Dask's spelling (`2GiB`, `2 GB`, `500 MB`) and in Kubernetes' (`2Gi`, `500M`);
/// written in the largest binary unit that divides it (`2GiB`), else in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Memory(u64);

/// Processors in thousandths, at least 1 (`0.5` is 500); written `500m` or `2`, as Kubernetes does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cpu(u32);

/// A span of time of at least one second, at most 10 years; written `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

const MEMORY_UNITS: [(&str, u64); 10] = [
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
    ("K", 1_000),
    ("", 1),
];

/// Splits `12.5 GiB` into (`12.5`, `GiB`).
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// `number * unit`, exact for decimal fractions; `None` when it is no number, or too large.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let ten = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let unit = u128::from(unit);
    let total = whole.checked_mul(unit)?.checked_add(part * unit / ten)?;
    u64::try_from(total).ok()
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
        let (number, unit) = split(text);
        let unit = unit.strip_suffix('B').unwrap_or(unit);
        let factor = MEMORY_UNITS.iter().find(|(name, _)| *name == unit);
        factor.and_then(|(_, factor)| scaled(number, *factor)).and_then(Self::from_bytes).ok_or_else(|| {
            UnitError {
                what: "amount of memory",
                text: text.chars().take(80).collect(),
                expected: "write it as 2GiB, 500MB or 2Gi",
            }
        })
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = MEMORY_UNITS[..4].iter().find(|(_, n)| self.0.is_multiple_of(*n));
        f.pad(&match unit {
            Some((name, n)) => format!("{}{name}B", self.0 / n),
            None => format!("{}B", self.0),
        })
    }
}

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
        let (number, unit) = split(text);
        let factor = match unit {
            "" => Some(1000),
            "m" => Some(1),
            _ => None,
        };
        factor
            .and_then(|factor| scaled(number, factor))
            .and_then(|millis| Self::from_millis(u32::try_from(millis).ok()?))
            .ok_or_else(|| UnitError {
                what: "number of processors",
                text: text.chars().take(80).collect(),
                expected: "write it as 2, 0.5 or 500m",
            })
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&if self.0.is_multiple_of(1000) { (self.0 / 1000).to_string() } else { format!("{}m", self.0) })
    }
}

impl Span {
    const MAX_SECONDS: u64 = 10 * 365 * 86_400;

    /// From whole seconds; `None` for 0 and for more than ten years.
    pub const fn from_seconds(seconds: u64) -> Option<Self> {
        if seconds > 0 && seconds <= Self::MAX_SECONDS { Some(Self(seconds)) } else { None }
    }

    /// As the standard library has it.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let read = || {
            let mut seconds = 0u64;
            let mut rest = text.trim();
            let mut last = u64::MAX;
            while !rest.is_empty() {
                let digits = rest.find(|c: char| !c.is_ascii_digit())?;
                let (number, tail) = rest.split_at(digits);
                let unit = tail.chars().next()?;
                let factor = match unit {
                    'd' => 86_400,
                    'h' => 3_600,
                    'm' => 60,
                    's' => 1,
                    _ => return None,
                };
                // Units descend, each once: `30m1h` is a slip of the pen.
                if factor >= last {
                    return None;
                }
                last = factor;
                let part = number.parse::<u64>().ok()?.checked_mul(factor)?;
                seconds = seconds.checked_add(part)?;
                rest = tail[1..].trim_start();
            }
            Self::from_seconds(seconds)
        };
        read().ok_or_else(|| UnitError {
            what: "span of time",
            text: text.chars().take(80).collect(),
            expected: "write it as 90s, 20m, 1h30m or 2d",
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let mut rest = self.0;
        for (unit, seconds) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
            if rest >= seconds {
                text.push_str(&format!("{}{unit}", rest / seconds));
                rest %= seconds;
            }
        }
        f.pad(&text)
    }
}

macro_rules! text_form {
    ($name:ident, $pattern:literal, $($example:literal),+) => {
        impl TryFrom<String> for $name {
            type Error = UnitError;

            fn try_from(text: String) -> Result<Self, UnitError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "maxLength": 32,
                    "pattern": $pattern,
                    "examples": [$($example),+],
                })
            }
        }
    };
}

text_form!(Memory, r"^\s*[0-9]*(\.[0-9]{0,9})?\s*([TGMK]i|[TGMkK])?B?\s*$", "2GiB", "500MB", "2Gi");
text_form!(Cpu, r"^\s*[0-9]*(\.[0-9]{0,9})?\s*m?\s*$", "2", "500m");
text_form!(Span, r"^\s*([0-9]+d)?\s*([0-9]+h)?\s*([0-9]+m)?\s*([0-9]+s)?\s*$", "20m", "1h30m");
