//! Quantities: memory, processor shares and spans of time, in their canonical text form.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::text::printable;

/// A quantity that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}; {expected}", self.problem())]
pub struct UnitError {
    what: &'static str,
    text: String,
    flaw: Flaw,
    expected: &'static str,
}

/// What is wrong with a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    Malformed,
    TooSmall(&'static str),
    TooLarge(&'static str),
}

impl UnitError {
    /// What is wrong: a lower-case fragment.
    pub fn problem(&self) -> String {
        let Self { what, text, flaw, .. } = self;
        match flaw {
            Flaw::Malformed => format!("`{text}` is no {what}"),
            Flaw::TooSmall(least) => format!("`{text}` is too small; the least is {least}"),
            Flaw::TooLarge(most) => format!("`{text}` is too large; the most is {most}"),
        }
    }

    /// How it is written.
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

/// Longest text of a quantity, in bytes.
const MAX_TEXT: usize = 32;

/// Bytes of memory, at least 1.
///
/// Read in Dask's spelling (`2GiB`, `2 GB`, `500 MB`) and in Kubernetes' (`2Gi`, `500M`);
/// written in the largest binary unit that divides it (`2GiB`), else in bytes. With a `B`, upper
/// and lower case are the same, as to Dask; without, the units are those of Kubernetes.
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

/// Splits `12.5 GiB` into (`12.5`, `GiB`).
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// `number * unit`, exact for decimal fractions, rounded down; `u64::MAX` when it is larger;
/// `None` when it is no number.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let ten = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let unit = u128::from(unit);
    let total = whole.saturating_mul(unit).saturating_add(part * unit / ten);
    Some(u64::try_from(total).unwrap_or(u64::MAX))
}

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
        let error = |flaw| UnitError {
            what: "amount of memory",
            text: printable(text),
            flaw,
            expected: "write it as 2GiB, 500MB or 2Gi",
        };
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
        let error = |flaw| UnitError {
            what: "number of processors",
            text: printable(text),
            flaw,
            expected: "write it as 2, 0.5 or 500m",
        };
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

/// Seconds in `1h30m`; `None` when it is no span, `u64::MAX` when it is too large.
fn seconds(text: &str) -> Option<u64> {
    let mut seconds = 0u64;
    let mut rest = text.trim();
    let mut last = u64::MAX;
    if rest.is_empty() || rest.len() > MAX_TEXT {
        return None;
    }
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let mut tail = tail.chars();
        let factor = match tail.next()? {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        // Units descend, each once: `30m1h` is a slip of the pen.
        if factor >= last || number.is_empty() {
            return None;
        }
        last = factor;
        let part = number.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(factor);
        seconds = seconds.saturating_add(part);
        rest = tail.as_str().trim_start();
    }
    Some(seconds)
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = |flaw| UnitError {
            what: "span of time",
            text: printable(text),
            flaw,
            expected: "write it as 90s, 20m, 1h30m or 2d",
        };
        let seconds = seconds(text).ok_or_else(|| error(Flaw::Malformed))?;
        let flaw = if seconds == 0 { Flaw::TooSmall("1s") } else { Flaw::TooLarge("3650d") };
        Self::from_seconds(seconds).ok_or_else(|| error(flaw))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let mut rest = self.0;
        for (unit, seconds) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
            if rest >= seconds {
                let _ = write!(text, "{}{unit}", rest / seconds);
                rest %= seconds;
            }
        }
        f.pad(&text)
    }
}

macro_rules! text_form {
    ($name:ident, $pattern:expr, $($example:literal),+) => {
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

/// What [`Memory`] reads, zero and what is too large aside.
const MEMORY_PATTERN: &str =
    r"^\s*([0-9]+(\.[0-9]{0,9})?|\.[0-9]{1,9})\s*(([KMGTP]i|[kKMGTP])?|([kKmMgGtTpP][iI]?)?[bB])\s*$";
/// What [`Cpu`] reads, zero and what is too large aside.
const CPU_PATTERN: &str = r"^\s*([0-9]+(\.[0-9]{0,9})?|\.[0-9]{1,9})\s*m?\s*$";
/// What [`Span`] reads, zero and what is too large aside.
pub(super) const SPAN_PATTERN: &str = r"\s*([0-9]+d\s*([0-9]+h\s*)?([0-9]+m\s*)?([0-9]+s\s*)?|[0-9]+h\s*([0-9]+m\s*)?([0-9]+s\s*)?|[0-9]+m\s*([0-9]+s\s*)?|[0-9]+s\s*)";

text_form!(Memory, MEMORY_PATTERN, "2GiB", "500MB", "2Gi");
text_form!(Cpu, CPU_PATTERN, "2", "500m");
text_form!(Span, format!("^{SPAN_PATTERN}$"), "20m", "1h30m");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn memory(text: &str) -> Result<u64, String> {
        text.parse::<Memory>().map(Memory::bytes).map_err(|error| error.to_string())
    }

    fn span(text: &str) -> Result<Duration, String> {
        text.parse::<Span>().map(Span::duration).map_err(|error| error.to_string())
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

    #[test]
    fn a_span_has_units_that_descend() {
        assert_eq!(span("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(span("1d 2h 3m 4s"), Ok(Duration::from_secs(93_784)));
        for text in ["", " ", "90", "30m1h", "1h1h", "m", "1.5h", "1 h", "1w"] {
            assert!(span(text).unwrap_err().contains("is no span of time"), "{text}");
        }
        assert!(span("0s").unwrap_err().contains("the least is 1s"));
        assert!(span("3651d").unwrap_err().contains("the most is 3650d"));
        assert!(span("99999999999999999999999s").unwrap_err().contains("too large"));
    }

    /// Text that matches the pattern, which says `\s` where it means blanks.
    fn matching(pattern: &str) -> impl Strategy<Value = String> + use<> {
        let pattern = pattern.trim_matches(['^', '$']).replace(r"\s*", " {0,2}").replace("]+", "]{1,5}");
        proptest::string::string_regex(&pattern).unwrap()
    }

    /// Whether the pattern's text may only be refused for its size.
    fn read_or_size<T>(read: Result<T, UnitError>) -> bool {
        read.map_or_else(|error| error.flaw != Flaw::Malformed, |_| true)
    }

    proptest! {
        #[test]
        fn memory_round_trips(bytes in 1..=i64::MAX.cast_unsigned()) {
            let memory = Memory::from_bytes(bytes).unwrap();
            prop_assert_eq!(memory.to_string().parse(), Ok(memory));
        }

        #[test]
        fn processors_round_trip(millis in 1..u32::MAX) {
            let cpu = Cpu::from_millis(millis).unwrap();
            prop_assert_eq!(cpu.to_string().parse(), Ok(cpu));
        }

        #[test]
        fn spans_round_trip(seconds in 1..=Span::MAX_SECONDS) {
            let span = Span::from_seconds(seconds).unwrap();
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn what_the_schema_admits_is_read(
            memory in matching(MEMORY_PATTERN),
            cpu in matching(CPU_PATTERN),
            span in matching(SPAN_PATTERN),
        ) {
            prop_assert!(memory.len() > MAX_TEXT || read_or_size(memory.parse::<Memory>()), "{memory:?}");
            prop_assert!(cpu.len() > MAX_TEXT || read_or_size(cpu.parse::<Cpu>()), "{cpu:?}");
            prop_assert!(span.len() > MAX_TEXT || read_or_size(span.parse::<Span>()), "{span:?}");
        }

        #[test]
        fn no_text_makes_a_quantity_panic(text in ".{0,40}") {
            let _ = (text.parse::<Memory>().is_ok(), text.parse::<Cpu>().is_ok(), text.parse::<Span>().is_ok());
        }
    }
}
