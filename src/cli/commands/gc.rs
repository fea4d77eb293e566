//! `gc`: what was left behind.

use std::time::Duration;

use crate::{
    cli::{
        CliError, Exit,
        args::{CallerArguments, ExaminedProvider, GcArguments},
        caller,
        document::{self, ANY_ON_EC2},
        output::{length, print_data},
        session::Session,
    },
    controller::{Fate, Leftover, Meeting, Sweep},
};

/// Runs the verb. Fails when something could not be removed.
pub async fn gc(session: &Session, arguments: GcArguments) -> Result<(), CliError> {
    let sweep = if arguments.dry_run { Sweep::DryRun } else { Sweep::Remove };
    let meeting = Box::pin(meeting(session, &arguments)).await?;
    let client = session.controller().await?;
    if let Some(meeting) = meeting {
        client.meet(&meeting).await?;
    }
    let leftovers = client.gc(sweep).await?;
    let printer = &session.printer;
    if let Some(format) = arguments.output {
        print_data(printer, format, &leftovers)?;
    } else if leftovers.is_empty() {
        printer.note("nothing was left behind");
    }
    if arguments.output.is_none() {
        for leftover in &leftovers {
            printer.result_line(&line(leftover))?;
        }
    }
    let kept = leftovers.iter().any(|leftover| matches!(leftover.fate, Fate::Kept(_)));
    if kept { Err(CliError::Said(Exit::Failed)) } else { Ok(()) }
}

/// The place that is to be looked at beside those that the controller knows.
async fn meeting(session: &Session, arguments: &GcArguments) -> Result<Option<Meeting>, CliError> {
    let (directory, printer) = (caller::working_directory()?, &session.printer);
    let (document, directory) = match (&arguments.file, arguments.provider) {
        (None, None | Some(ExaminedProvider::Local)) => return Ok(None),
        (None, Some(ExaminedProvider::Ec2)) => {
            (crate::spec::load("the default", ANY_ON_EC2)?.cluster, directory)
        }
        (Some(file), _) => {
            let read = document::read(file, &directory, printer)?;
            (read.cluster, read.directory)
        }
    };
    let (place, environment) = (session.place_of(&document)?, caller::environment(printer));
    let caller = CallerArguments::default();
    let context = caller::context(&document, directory, &caller, &place, &environment, printer).await?;
    Ok(Some(Meeting { provider: document.spec.provider.kind(), context, environment }))
}

fn line(leftover: &Leftover) -> String {
    let age = length(Duration::from_secs(leftover.age_seconds));
    let price = leftover.hourly.map(|hourly| format!(", {hourly} an hour")).unwrap_or_default();
    let what = format!("{}, {age} old{price}", leftover.description);
    match &leftover.fate {
        Fate::Removed => format!("removed: {what}"),
        Fate::WouldBeRemoved => format!("would be removed: {what}"),
        Fate::Adopted => format!("taken up again: {what}"),
        Fate::WouldBeAdopted => format!("would be taken up again: {what}"),
        Fate::Kept(why) => format!("kept: {what} ({why})"),
    }
}
