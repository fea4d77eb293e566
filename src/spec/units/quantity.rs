//! What all quantities have in common: numbers with units, and how text that is none is refused.

use crate::spec::text::printable;

/// Longest text of a quantity, in bytes.
pub(super) const MAX_TEXT: usize = 32;

/// A quantity that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}; {expected}", self.problem())]
pub struct UnitError {
    what: &'static str,
    text: String,
    pub(super) flaw: Flaw,
    expected: &'static str,
}

/// What is wrong with a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    Malformed,
    TooSmall(&'static str),
    TooLarge(&'static str),
}

impl UnitError {
    pub(super) fn new(what: &'static str, text: &str, flaw: Flaw, expected: &'static str) -> Self {
        Self { what, text: printable(text), flaw, expected }
    }

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

/// Splits `12.5 GiB` into (`12.5`, `GiB`).
pub(super) fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// `number * unit`, exact for decimal fractions, rounded down; `u64::MAX` when it is larger;
/// `None` when it is no number.
pub(super) fn scaled(number: &str, unit: u64) -> Option<u64> {
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

macro_rules! text_form {
    ($name:ident, $pattern:expr, $($example:literal),+) => {
        $crate::spec::string_form!($name, $crate::spec::UnitError);

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
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
pub(super) use text_form;
