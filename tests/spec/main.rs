//! The document, from outside: a corpus of good and bad files, hostile text, and what is made
//! from the types.

mod corpus;
mod edits;
mod generated;
mod hostile;
mod schema_check;
