//! Names that a person gives: validated once, then carried as types.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::text::{code, printable, string_form};

/// The rule that every name here follows: an RFC 1123 label with its own maximum length.
fn check(kind: &'static str, text: &str, max: usize) -> Result<(), NameError> {
    let problem = if text.is_empty() {
        "is empty".to_owned()
    } else if text.chars().count() > max {
        format!("has {} characters; the most is {max}", text.chars().count())
    } else if let Some(odd) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        format!("contains {}; only a-z, 0-9 and '-' are allowed", code(&odd.to_string()))
    } else if text.starts_with('-') || text.ends_with('-') {
        "starts or ends with '-'".to_owned()
    } else {
        return Ok(());
    };
    Err(NameError { kind, text: printable(text), problem })
}

/// A name that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {kind} {} {problem}", code(text))]
pub struct NameError {
    kind: &'static str,
    text: String,
    problem: String,
}

impl NameError {
    /// What is wrong, to follow the name.
    pub fn problem(&self) -> String {
        format!("{} {}", code(&self.text), self.problem)
    }
}

/// A name of another form than an RFC 1123 label; `problem` follows it in the message.
pub(super) fn name_error(kind: &'static str, text: &str, problem: &str) -> NameError {
    NameError { kind, text: printable(text), problem: problem.to_owned() }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Most characters that a name of this kind may have.
            pub const MAX_LENGTH: usize = $max;

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check($kind, text, $max)?;
                Ok(Self(text.to_owned()))
            }
        }

        string_form!($name, NameError);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "minLength": 1,
                    "maxLength": $max,
                    "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
                })
            }
        }
    };
}

name!(
    /// `metadata.name`: unique per namespace, and the first part of every node's name.
    ClusterName, "cluster name", 40
);
name!(
    /// The name of a worker group; `workers` is the default group.
    GroupName, "group name", 10
);
name!(
    /// A Kubernetes namespace.
    Namespace, "namespace", 63
);

impl GroupName {
    /// The group that `spec.workers` describes.
    pub fn workers() -> Self {
        Self("workers".to_owned())
    }

    /// The group of the one scheduler; no document can use it.
    pub fn scheduler() -> Self {
        Self("scheduler".to_owned())
    }

    /// Whether this is the scheduler's group.
    pub fn is_scheduler(&self) -> bool {
        self.0 == "scheduler"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_is_wrong_with_it() {
        let problem = |text: &str| text.parse::<GroupName>().unwrap_err().to_string();
        assert_eq!(problem(""), "the group name `\"\"` is empty");
        assert!(problem("elevenchars").contains("has 11 characters; the most is 10"));
        assert!(problem("Big").contains("contains `B`"));
        assert!(problem("-a").contains("starts or ends with '-'"));
        assert!("highmem".parse::<GroupName>().is_ok());
    }
}
