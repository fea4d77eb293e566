//! A limit in time that may be absent.

use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{Span, UnitError, units::SPAN_PATTERN};

/// A limit in time, or the word that there is none. Written `20m` or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TimeLimit {
    /// No limit.
    Never,
    /// This long.
    After(Span),
}

impl TimeLimit {
    /// `None`: no limit.
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::After(span) => Some(span.duration()),
        }
    }
}

impl TryFrom<String> for TimeLimit {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "never" { Ok(Self::Never) } else { text.parse().map(Self::After) }
    }
}

impl From<TimeLimit> for String {
    fn from(limit: TimeLimit) -> Self {
        match limit {
            TimeLimit::Never => "never".to_owned(),
            TimeLimit::After(span) => span.to_string(),
        }
    }
}

impl JsonSchema for TimeLimit {
    fn schema_name() -> Cow<'static, str> {
        "TimeLimit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string",
            "maxLength": 32,
            "pattern": format!("^(never|{SPAN_PATTERN})$"),
            "examples": ["20m", "never"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_span_or_never() {
        let read = |text: &str| TimeLimit::try_from(text.to_owned());
        assert_eq!(read("never").unwrap().duration(), None);
        assert_eq!(read("20m").unwrap().duration(), Some(Duration::from_mins(20)));
        assert!(read("Never").is_err() && read("0s").is_err());
        assert_eq!(String::from(TimeLimit::Never), "never");
        assert_eq!(String::from(read("90s").unwrap()), "1m30s");
    }
}
