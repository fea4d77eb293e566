//! `gc`: what was left behind.

use std::time::Duration;

use crate::{
    cli::{
        CliError, Exit,
        args::GcArguments,
        output::{length, print_data},
        session::Session,
    },
    controller::{Fate, Sweep},
};

/// Runs the verb. Fails when something could not be removed.
pub async fn gc(session: &Session, arguments: GcArguments) -> Result<(), CliError> {
    let sweep = if arguments.dry_run { Sweep::DryRun } else { Sweep::Remove };
    let leftovers = session.controller().await?.gc(sweep).await?;
    let printer = &session.printer;
    if let Some(format) = arguments.output {
        print_data(printer, format, &leftovers)?;
    } else if leftovers.is_empty() {
        printer.note("nothing was left behind");
    }
    let mut kept = false;
    for leftover in &leftovers {
        let what =
            format!("{}, {} old", leftover.description, length(Duration::from_secs(leftover.age_seconds)));
        let line = match &leftover.fate {
            Fate::Removed => format!("removed: {what}"),
            Fate::WouldBeRemoved => format!("would be removed: {what}"),
            Fate::Kept(why) => {
                kept = true;
                format!("kept: {what} ({why})")
            }
        };
        if arguments.output.is_none() {
            printer.result_line(&line)?;
        }
    }
    if kept { Err(CliError::Said(Exit::Failed)) } else { Ok(()) }
}
