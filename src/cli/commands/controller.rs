//! `controller`: the process that looks after this machine's clusters.

use std::time::Duration;

use serde_json::json;

use crate::{
    api::{
        ApiClient, ControllerStatus,
        process::{self, run_controller},
    },
    cli::{
        CliError, Exit,
        args::{
            ControllerArguments, ControllerLogsArguments, ControllerStatusArguments, ControllerVerb,
            DataFormat,
        },
        output::{age, print_data},
        session::Session,
        tail::{Tail, last_lines},
    },
    controller::{Clock, SystemClock, process::Locations},
};

/// How often a log that is followed is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Runs the verb.
pub async fn controller(session: &Session, arguments: ControllerArguments) -> Result<(), CliError> {
    let locations = session.locations()?;
    match arguments.verb {
        ControllerVerb::Status(arguments) => status(session, &locations, arguments).await,
        ControllerVerb::Start(arguments) => start(session, &locations, arguments).await,
        ControllerVerb::Stop => stop(session, &locations).await,
        ControllerVerb::Logs(arguments) => logs(session, &locations, &arguments).await,
    }
}

/// Runs this process as the controller.
pub fn controller_process(arguments: &process::ControllerArguments) -> Result<(), CliError> {
    run_controller(arguments).map_err(|error| CliError::Process {
        message: error.to_string(),
        hint: error.hint(),
        exit: Exit::Controller,
    })
}

async fn status(
    session: &Session,
    locations: &Locations,
    arguments: ControllerStatusArguments,
) -> Result<(), CliError> {
    let status = match ApiClient::connect(locations).await? {
        Some(client) => Some(client.status().await?),
        None => None,
    };
    say(session, locations, arguments.output, status)
}

async fn start(
    session: &Session,
    locations: &Locations,
    arguments: ControllerStatusArguments,
) -> Result<(), CliError> {
    let status = ApiClient::connect_or_start(locations).await?.status().await?;
    say(session, locations, arguments.output, Some(status))
}

fn say(
    session: &Session,
    locations: &Locations,
    format: Option<DataFormat>,
    status: Option<ControllerStatus>,
) -> Result<(), CliError> {
    let printer = &session.printer;
    match (format, status) {
        (Some(format), Some(status)) => {
            print_data(printer, format, &json!({"running": true, "status": status}))
        }
        (Some(format), None) => print_data(printer, format, &json!({"running": false})),
        (None, Some(status)) => printer.result(&text(&status, locations)),
        (None, None) => printer.result_line("no controller runs; the next command that needs one starts it"),
    }
}

fn text(status: &ControllerStatus, locations: &Locations) -> String {
    let pairs = [
        ("running", format!("for {}, as process {}", age(status.started_at, SystemClock.now()), status.pid)),
        ("version", format!("{} (protocol {})", status.version, status.protocol)),
        ("clusters", status.clusters.to_string()),
        ("state", status.state_directory.display().to_string()),
        ("runtime", status.runtime_directory.display().to_string()),
        ("socket", status.socket.display().to_string()),
        ("log", locations.log().display().to_string()),
    ];
    pairs.map(|(key, value)| format!("{key:<9} {value}\n")).concat()
}

async fn stop(session: &Session, locations: &Locations) -> Result<(), CliError> {
    match ApiClient::connect(locations).await? {
        Some(client) => {
            let clusters = client.status().await?.clusters;
            client.stop().await?;
            session.printer.result_line(match clusters {
                0 => "the controller has ended",
                _ => "the controller has ended; clusters live on",
            })
        }
        None => session.printer.result_line("no controller runs"),
    }
}

async fn logs(
    session: &Session,
    locations: &Locations,
    arguments: &ControllerLogsArguments,
) -> Result<(), CliError> {
    let path = locations.log();
    let failed = |cause| CliError::File { doing: "read", path: path.clone(), cause };
    let printer = &session.printer;
    let mut log = Tail::new(path.clone());
    let written = log.more().map_err(failed)?;
    if !path.exists() {
        printer.note(&format!("no controller has written to {} yet", path.display()));
    }
    printer.result_bytes(arguments.tail.map_or(&*written, |count| last_lines(&written, count)))?;
    if !arguments.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let news = log.more().map_err(failed)?;
        if !news.is_empty() {
            printer.result_bytes(&news)?;
        }
    }
}
