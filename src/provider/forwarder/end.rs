//! How a connection ended.

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The local side ended it, or went away.
    Local,
    /// The scheduler's side ended it.
    Remote,
    /// Nothing ever came from the scheduler's side; why not.
    Unreached(String),
    /// It was working, and broke.
    Cut(String),
}
