//! `events`: what happened.

use futures_util::StreamExt;

use crate::{
    api::{Clusters, WatchMessage},
    cli::{
        CliError,
        args::EventsArguments,
        output::event_lines,
        printer::Printer,
        session::{Session, explain, past_events},
    },
    controller::{Clock, SystemClock},
    model::Event,
    spec::ClusterName,
};

/// Runs the verb. Followed, it ends with the cluster. Of one that has ended it tells the history.
pub async fn events(session: &Session, arguments: EventsArguments) -> Result<(), CliError> {
    match of_existing(session, &arguments).await {
        Err(CliError::NoCluster { ended: Some(_), .. }) => of_past(session, &arguments),
        outcome => outcome,
    }
}

fn of_past(session: &Session, arguments: &EventsArguments) -> Result<(), CliError> {
    let shown = Shown { printer: &session.printer, as_json: arguments.output.is_some() };
    past_events(&arguments.name, arguments.tail)?.iter().try_for_each(|event| shown.print(event))?;
    session.printer.note(&format!("cluster {} has ended", arguments.name));
    Ok(())
}

async fn of_existing(session: &Session, arguments: &EventsArguments) -> Result<(), CliError> {
    let name = &arguments.name;
    let client = session.controller_of(name).await?;
    let shown = Shown { printer: &session.printer, as_json: arguments.output.is_some() };
    // Listening begins first, so that nothing falls between the two; what is in both is shown once.
    let mut news = client.watch(name);
    if arguments.follow {
        first(&*client, name, &mut news).await?;
    }
    let history = match client.events(name, arguments.tail).await {
        Ok(history) => history,
        Err(error) => return Err(explain(&*client, name, error).await),
    };
    history.iter().try_for_each(|event| shown.print(event))?;
    if !arguments.follow {
        if history.is_empty() {
            session.printer.note(&format!("nothing has happened to cluster {name}"));
        }
        return Ok(());
    }
    while let Some(message) = news.next().await {
        match message {
            Ok(WatchMessage::Event(event)) if history.contains(&event) => {}
            Ok(WatchMessage::Event(event)) => shown.print(&event)?,
            Ok(WatchMessage::Cluster(_)) => {}
            Ok(WatchMessage::Gone) => return Ok(()),
            Err(error) => return Err(explain(&*client, name, error).await),
        }
    }
    Ok(())
}

/// Waits until the watch is known to be on.
async fn first(
    client: &dyn Clusters,
    name: &ClusterName,
    news: &mut (impl futures_util::Stream<Item = Result<WatchMessage, crate::api::ApiError>> + Unpin),
) -> Result<(), CliError> {
    match news.next().await {
        Some(Err(error)) => Err(explain(client, name, error).await),
        Some(Ok(_)) | None => Ok(()),
    }
}

struct Shown<'a> {
    printer: &'a Printer,
    as_json: bool,
}

impl Shown<'_> {
    fn print(&self, event: &Event) -> Result<(), CliError> {
        if self.as_json {
            self.printer.result_json_line(event)
        } else {
            self.printer.result(&event_lines(event, SystemClock.now()))
        }
    }
}
