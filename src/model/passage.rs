//! The way from a controller's machine to a scheduler that it cannot reach by itself.

use jiff::Timestamp;

/// What is known of that way. As it is by default where there is none: nothing is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passage {
    /// What keeps new connections from being made, as of the last try.
    pub problem: Option<String>,
    /// Connections that were cut, oldest first; only the last ones.
    pub cuts: Vec<Cut>,
}

/// A connection that ended by nobody's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// When; later than all cuts before.
    pub at: Timestamp,
    /// Whose connection it was, and what broke it; for a person.
    pub message: String,
}

/// Who may come to a scheduler's door; what is behind it asks for certificates in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayIn {
    /// Whoever has a route.
    Open,
    /// The addresses for which the anchor was made last: it is looked after again when a scheduler no
    /// longer answers, because the caller's may be another one now.
    ByAddress,
}
