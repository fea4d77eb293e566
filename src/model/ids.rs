//! Ids: small types, so that no two of them can be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An id in a form that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {kind}: it has {digits} lowercase hexadecimal digits")]
pub struct IdError {
    kind: &'static str,
    text: String,
    digits: usize,
}

impl IdError {
    /// The text, if it has so many lowercase hexadecimal digits and nothing else.
    pub(crate) fn check(kind: &'static str, text: &str, digits: usize) -> Result<String, Self> {
        if text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(text.to_owned())
        } else {
            Err(Self { kind, text: text.chars().take(80).collect(), digits })
        }
    }
}

/// A random id of so many lowercase hexadecimal digits.
macro_rules! hexadecimal {
    ($(#[$doc:meta])* $name:ident, $bits:ty, $digits:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// From random bits.
            pub fn from_random(bits: $bits) -> Self {
                Self(format!("{bits:0width$x}", width = $digits))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::model::IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::model::IdError::check($kind, text, $digits).map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        $crate::spec::string_form!($name, $crate::model::IdError);
    };
}
pub(crate) use hexadecimal;

hexadecimal!(
    /// What a cluster is for its whole life, whatever its name: 16 lowercase hexadecimal digits.
    ClusterUid, u64, 16, "cluster uid"
);

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// The one after this.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A position in a group that must be filled, from 0.
    Slot
);
impl Slot {
    /// No position: that of an instance which fills none.
    pub const NONE: Self = Self(u32::MAX);
}

number!(
    /// How often a slot has been filled before, from 0.
    Incarnation
);

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

text!(
    /// A node's name: its name in the provider, in the engine and in its logs. Never used twice.
    NodeName
);
text!(
    /// This machine's installation of its operating system (`/etc/machine-id`).
    MachineId
);
text!(
    /// One boot of a machine (`/proc/sys/kernel/random/boot_id`).
    BootId
);
text!(
    /// Kubernetes' own id of one of its objects.
    ObjectUid
);
text!(
    /// Fingerprint of the template that a node was made from.
    TemplateHash
);
