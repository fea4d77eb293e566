//! The document, from outside: a corpus of good and bad files, hostile text, and what is made
//! from the types.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test ends by them")]

mod corpus;
mod edits;
mod generated;
mod hostile;
mod schema_check;
