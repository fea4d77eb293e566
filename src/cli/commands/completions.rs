//! `completions`: for shells.

use crate::cli::{CliError, args::CompletionsArguments, generate, session::Session};

/// Runs the verb.
pub fn completions(session: &Session, arguments: &CompletionsArguments) -> Result<(), CliError> {
    session.printer.result_bytes(&generate::completions(arguments.shell))
}
