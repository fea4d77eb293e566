//! Amounts of what a Kubernetes node has, in Kubernetes' own spelling.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::quantity::{Flaw, MAX_TEXT, UnitError, text_form};

/// An amount of a resource, as Kubernetes writes it: `1`, `500m`, `10Gi`, `1e3`. Never negative.
///
/// Kept as it was written; Kubernetes brings it into its canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity(String);

/// What [`Quantity`] reads.
pub(super) const QUANTITY_PATTERN: &str =
    r"^([0-9]+(\.[0-9]{0,9})?|\.[0-9]{1,9})([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]{1,2})?$";

text_form!(Quantity, QUANTITY_PATTERN, "1", "10Gi", "500m");

const SUFFIXES: [&str; 15] =
    ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "n", "u", "m", "k", "M", "G", "T", "P", "E"];

impl Quantity {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is written as a whole number without a unit, as counted things must be.
    pub fn is_count(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_digit())
    }
}

impl FromStr for Quantity {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text.len() <= MAX_TEXT && is_quantity(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(UnitError::new("quantity of Kubernetes", text, Flaw::Malformed, "write it as 1, 500m or 10Gi"))
    }
}

fn is_quantity(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let exponent = || {
        let digits = suffix.strip_prefix(['e', 'E']).unwrap_or("");
        let digits = digits.strip_prefix(['-', '+']).unwrap_or(digits);
        (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    !(whole.is_empty() && fraction.is_empty())
        && fraction.len() <= 9
        && !fraction.contains('.')
        && (suffix.is_empty() || SUFFIXES.contains(&suffix) || exponent())
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_what_kubernetes_takes_for_one() {
        for text in ["1", "0", "500m", "10Gi", "1.5", ".5G", "1e3", "2E-2", "1E", "100n"] {
            assert!(text.parse::<Quantity>().is_ok(), "{text}");
        }
        for text in ["", "-1", "one", "1 Gi", "2GiB", "1.2.3", ".", "1e", "1e+", "1e100", "1_000"] {
            let error = text.parse::<Quantity>().unwrap_err().to_string();
            assert!(error.ends_with("is no quantity of Kubernetes; write it as 1, 500m or 10Gi"), "{error}");
        }
        let long = "1".repeat(MAX_TEXT + 1);
        assert!(long.parse::<Quantity>().is_err());
    }
}
