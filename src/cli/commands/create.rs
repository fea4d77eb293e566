//! `create`: a document becomes a cluster, or the changes of one.

use std::{cell::Cell, fmt::Write as _, time::Duration};

use futures_util::StreamExt;
use serde_json::json;

use super::create_owned::create_owned;
use crate::{
    api::{Answering, ApiError, Clusters, CreateMessage, ErrorCode},
    cli::{
        CliError,
        args::{CreateArguments, ReportFormat},
        caller,
        document::{self, ReadDocument},
        follow::{Follower, Parting, interruptible},
        goal::{Goal, workers},
        printer::Reader,
        probe,
        progress::Progress,
        session::{Session, explain},
    },
    controller::{ClusterView, CreateMode, CreateOutcome, CreateReply, CreateRequest},
    model::{ConditionKind, ConditionStatus},
    spec::{ClusterName, ProviderKind, Span},
};

/// Controllers that are asked, one after the other's end.
const ATTEMPTS: u32 = 3;

/// How long a finished `create` waits to see whether the dashboard answers.
const DASHBOARD_BOUND: Duration = Duration::from_millis(100);

/// Runs the verb.
pub async fn create(session: &Session, arguments: CreateArguments) -> Result<(), CliError> {
    let read = read(session, &arguments)?;
    session.settle(&read.cluster.metadata)?;
    let name = read.cluster.metadata.name.clone();
    match arguments.owner {
        None => {
            let heard = Cell::new(Heard::Nothing);
            let asking = ask(session, &arguments, read, &heard);
            let asked = Box::pin(interruptible(asking, || interrupted(&name, heard.get()))).await??;
            finish(session, &arguments, asked).await
        }
        Some(owner) => Box::pin(create_owned(session, &arguments, read, owner)).await,
    }
}

fn read(session: &Session, arguments: &CreateArguments) -> Result<ReadDocument, CliError> {
    let (directory, printer) = (caller::working_directory()?, &session.printer);
    match &arguments.merge {
        None => document::read(&arguments.file, &directory, printer),
        Some(merge) => document::read_merged(&arguments.file, merge, &directory, printer),
    }
}

/// A document that was accepted.
pub(super) struct Asked {
    pub client: Answering,
    pub name: ClusterName,
    pub reply: CreateReply,
    progress: Progress,
}

/// Asks for the cluster, until the document is accepted.
pub(super) async fn ask(
    session: &Session,
    arguments: &CreateArguments,
    read: ReadDocument,
    heard: &Cell<Heard>,
) -> Result<Asked, CliError> {
    let printer = &session.printer;
    let environment = caller::environment(printer);
    let name = read.cluster.metadata.name.clone();
    let mut progress = printer.progress(reader(arguments.output));
    let place = session.place_of(&read.cluster)?;
    let context =
        caller::context(&read.cluster, read.directory, &arguments.caller, &place, &environment, printer);
    let (client, context) = tokio::join!(session.controller(), context);
    let (client, context) = (client?, context?);
    let request = CreateRequest { document: read.cluster, context, environment, mode: mode(arguments) };
    heard.set(Heard::OfTheCluster);
    let (client, reply) = insist(session, client, &request, &mut progress).await?;
    for warning in &reply.warnings {
        printer.warning(warning);
    }
    Ok(Asked { client, name, reply, progress })
}

/// Waits for what was asked for, if that is wanted, and says what there is.
pub(super) async fn finish(
    session: &Session,
    arguments: &CreateArguments,
    asked: Asked,
) -> Result<(), CliError> {
    let Asked { client, name, reply, mut progress } = asked;
    let printer = &session.printer;
    let Some(view) = reply.cluster.as_ref().filter(|_| !arguments.dry_run && !arguments.no_wait) else {
        return report_accepted(session, arguments, &name, &reply, progress);
    };
    let bound = arguments.timeout.map_or_else(|| view.document.spec.wait_for.timeout(), Span::duration);
    let generation = view.generation;
    let goal = match reply.outcome {
        CreateOutcome::Updated => Goal::Updated { generation },
        CreateOutcome::Created | CreateOutcome::Unchanged | CreateOutcome::Replaced => {
            Goal::Ready { generation }
        }
    };
    let parting = match arguments.owner {
        None => parting(&name),
        Some(_) => owned_parting(),
    };
    let seen =
        Follower::new(session, &mut progress, &name, goal).wait(client.clone(), bound, parting).await?;
    let view = &reached(session, &*client, seen.as_ref().unwrap_or(view)).await;
    if let Some(different) = view.condition(ConditionKind::EnvironmentMatched)
        && different.status == ConditionStatus::False
    {
        printer.warning(&format!("your Python and the cluster's differ: {}", different.message));
    }
    progress.outcome("ready", json!({"cluster": view, "outcome": reply.outcome}));
    match arguments.output {
        Some(ReportFormat::Json) => Ok(()),
        Some(ReportFormat::Name) => printer.result_line(name.as_str()),
        None => printer.result(&summary(view, dashboard(view).await, &session.way_back())),
    }
}

/// The cluster with the way to it from here. That there is none keeps nobody from having made it.
async fn reached(session: &Session, client: &dyn Clusters, view: &ClusterView) -> ClusterView {
    match client.reach(view.clone()).await {
        Ok(reached) => reached,
        Err(error) => {
            session.printer.warning(&format!("it cannot be connected to from here: {error}"));
            if let Some(hint) = error.hint {
                session.printer.note(&format!("hint: {hint}"));
            }
            view.clone()
        }
    }
}

/// Who reads the progress.
pub(super) fn reader(output: Option<ReportFormat>) -> Reader {
    match output {
        Some(ReportFormat::Json) => Reader::Program,
        Some(ReportFormat::Name) | None => Reader::Person,
    }
}

fn mode(arguments: &CreateArguments) -> CreateMode {
    match (arguments.dry_run, arguments.replace) {
        (true, _) => CreateMode::DryRun,
        (false, true) => CreateMode::Replace,
        (false, false) => CreateMode::Apply,
    }
}

/// Asks until the document is accepted. When the controller goes away meanwhile its successor is
/// asked: a create may be repeated.
async fn insist(
    session: &Session,
    mut client: Answering,
    request: &CreateRequest,
    progress: &mut Progress,
) -> Result<(Answering, CreateReply), CliError> {
    let mut attempts = 1;
    loop {
        match accepted(&*client, request.clone(), progress).await {
            Err(CliError::Api(error)) if error.code == ErrorCode::Unreachable && attempts < ATTEMPTS => {
                attempts += 1;
                client = session.controller().await?;
            }
            other => return other.map(|reply| (client, reply)),
        }
    }
}

/// Follows the answer until the document is accepted.
async fn accepted(
    client: &dyn Clusters,
    request: CreateRequest,
    progress: &mut Progress,
) -> Result<CreateReply, CliError> {
    let name = request.document.metadata.name.clone();
    let local = request.document.spec.provider.kind() == ProviderKind::Local;
    let mut messages = client.create(request);
    while let Some(message) = messages.next().await {
        match message {
            Ok(CreateMessage::Progress(step)) => progress.step(&step),
            Ok(CreateMessage::Done(reply)) => return Ok(*reply),
            // Before anything is stored, the local provider resolves nothing but the software environment.
            Err(error) if local && error.code == ErrorCode::Provider => {
                return Err(CliError::Software(error));
            }
            Err(error) => return Err(explain(client, &name, error).await),
        }
    }
    let message = format!("the controller ended before it had accepted cluster {name}");
    let hint = "run the same command again; `crewcall controller logs` may say why";
    Err(ApiError::new(ErrorCode::Unreachable, message).with_hint(hint).into())
}

/// What a controller may have heard when Ctrl-C comes before its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    OfTheCluster,
}

fn interrupted(name: &ClusterName, heard: Heard) -> CliError {
    match heard {
        Heard::Nothing => {
            CliError::Interrupted { goes_on: "nothing had been asked for yet".to_owned(), hint: None }
        }
        Heard::OfTheCluster => CliError::Interrupted {
            goes_on: format!("cluster {name} goes on being prepared, and is not on record yet"),
            hint: Some(format!(
                "the same `crewcall create` waits for it again; once it is listed, `crewcall delete {name}` ends it"
            )),
        },
    }
}

fn parting(name: &ClusterName) -> Parting {
    Parting {
        goes_on: format!("cluster {name} goes on being created"),
        undo: Some(format!("`crewcall delete {name}` ends it")),
        when_late: format!(
            "it goes on being created: `crewcall describe {name}` shows how far it is, \
             `crewcall delete {name}` ends it; `--timeout` waits longer"
        ),
    }
}

/// For a cluster that does not go on without its owner.
fn owned_parting() -> Parting {
    Parting {
        goes_on: "what this command made is deleted".to_owned(),
        undo: None,
        when_late: "what this command made is deleted; a longer `waitFor.timeout` waits longer".to_owned(),
    }
}

/// The result of a create that does not wait.
fn report_accepted(
    session: &Session,
    arguments: &CreateArguments,
    name: &ClusterName,
    reply: &CreateReply,
    mut progress: Progress,
) -> Result<(), CliError> {
    progress.outcome("accepted", json!(reply));
    drop(progress);
    let printer = &session.printer;
    match arguments.output {
        Some(ReportFormat::Json) => return Ok(()),
        Some(ReportFormat::Name) => return printer.result_line(name.as_str()),
        None => {}
    }
    for change in &reply.changes {
        printer.result_line(change)?;
    }
    let text = match (arguments.dry_run, reply.outcome) {
        // The reply's changes say it.
        (true, CreateOutcome::Created) if !reply.changes.is_empty() => return Ok(()),
        (true, CreateOutcome::Created) => format!("cluster {name} would be created"),
        (true, CreateOutcome::Updated) => format!("cluster {name} would be updated"),
        (true, CreateOutcome::Replaced) => format!("cluster {name} would be deleted and created anew"),
        (_, CreateOutcome::Unchanged) => format!("cluster {name} is as the document says"),
        (false, CreateOutcome::Created) => format!("cluster {name} is being created"),
        (false, CreateOutcome::Updated) => format!("cluster {name} is being updated"),
        (false, CreateOutcome::Replaced) => format!("cluster {name} was deleted and is being created anew"),
    };
    printer.result_line(&text)
}

/// Whether the link to the dashboard leads somewhere already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dashboard {
    Answers,
    Starts,
}

async fn dashboard(view: &ClusterView) -> Dashboard {
    match &view.dashboard {
        Some(link) if !probe::answers(link, DASHBOARD_BOUND).await => Dashboard::Starts,
        Some(_) | None => Dashboard::Answers,
    }
}

/// What a person needs of a cluster that can be used.
fn summary(view: &ClusterView, state: Dashboard, way: &str) -> String {
    let name = &view.name;
    let ready = view.groups.iter().map(|group| group.ready).fold(0, u32::saturating_add);
    let mut text = format!("Cluster {name} is ready: {}\n", workers(ready, ""));
    let mut row = |key: &str, value: &str| {
        let _ = writeln!(text, "{key:<10} {value}");
    };
    if let Some(endpoint) = &view.endpoint {
        row("endpoint", endpoint);
    }
    match &view.dashboard {
        Some(link) if state == Dashboard::Starts => row("dashboard", &format!("{link}     # in a moment")),
        Some(link) => row("dashboard", link),
        None => row("dashboard", "none: its software has no bokeh"),
    }
    row("connect", &connect(view, way));
    row("delete", &format!("crewcall{way} delete {name}"));
    text
}

/// How a client connects: with the caller's own Python, if that is the cluster's, or the cluster's is elsewhere.
fn connect(view: &ClusterView, way: &str) -> String {
    let name = &view.name;
    if view.provider != ProviderKind::Local || view.holds(ConditionKind::EnvironmentMatched) {
        format!("eval \"$(crewcall{way} env {name})\"     # then Client() in Python")
    } else {
        format!("crewcall run {name} -- python     # the cluster's own, then Client()")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::goal::tests_support::view;

    #[test]
    fn a_ready_cluster_says_how_to_use_and_how_to_end_it() {
        let mut view = view(4, 4);
        view.endpoint = Some("tls://127.0.0.1:40123".to_owned());
        view.dashboard = Some("http://127.0.0.1:41234/status".to_owned());
        assert_eq!(
            summary(&view, Dashboard::Starts, ""),
            "Cluster demo is ready: 4 workers\n\
             endpoint   tls://127.0.0.1:40123\n\
             dashboard  http://127.0.0.1:41234/status     # in a moment\n\
             connect    crewcall run demo -- python     # the cluster's own, then Client()\n\
             delete     crewcall delete demo\n"
        );
        let answering = summary(&view, Dashboard::Answers, "");
        assert!(answering.contains("dashboard  http://127.0.0.1:41234/status\n"), "{answering}");
    }
}
