//! Spans of time.

use std::{
    fmt::{self, Write as _},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::quantity::{Flaw, MAX_TEXT, UnitError, text_form};

/// A span of time of at least one second, at most 10 years; written `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

/// What [`Span`] reads, zero and what is too large aside.
pub(in crate::spec) const SPAN_PATTERN: &str = r"\s*([0-9]+d\s*([0-9]+h\s*)?([0-9]+m\s*)?([0-9]+s\s*)?|[0-9]+h\s*([0-9]+m\s*)?([0-9]+s\s*)?|[0-9]+m\s*([0-9]+s\s*)?|[0-9]+s\s*)";

text_form!(Span, format!("^{SPAN_PATTERN}$"), "20m", "1h30m");

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
        let error = |flaw| UnitError::new("span of time", text, flaw, "write it as 90s, 20m, 1h30m or 2d");
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(text: &str) -> Result<Duration, String> {
        text.parse::<Span>().map(Span::duration).map_err(|error| error.to_string())
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

    proptest! {
        #[test]
        fn spans_round_trip(seconds in 1..=Span::MAX_SECONDS) {
            let span = Span::from_seconds(seconds).unwrap();
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }
    }
}
