//! `delete`: clusters and all that belongs to them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    api::{Answering, Clusters, ErrorCode},
    cli::{
        CliError,
        args::{DeleteArguments, ReportFormat},
        caller, document,
        follow::{Follower, Parting},
        goal::Goal,
        progress::Progress,
        session::{Answerer, Place, Session, explain, no_cluster},
    },
    controller::{ClusterView, Listed},
    model::Phase,
    spec::{ClusterName, Span},
};

/// Runs the verb. What cannot be deleted does not keep the others.
pub async fn delete(session: &Session, arguments: DeleteArguments) -> Result<(), CliError> {
    let printer = &session.printer;
    let mut place = session.place();
    let named = match &arguments.file {
        Some(file) => {
            let metadata = document::read(file, &caller::working_directory()?, printer)?.cluster.metadata;
            session.settle(&metadata)?;
            place.namespace = metadata.namespace.or(place.namespace);
            vec![metadata.name]
        }
        None => arguments.names.clone(),
    };
    let client = match session.answerer().await? {
        Answerer::Controller(client) => client,
        Answerer::NoClusters => return nothing_there(session, &arguments, named),
    };
    let mut failures = Vec::new();
    let chosen = if arguments.all {
        all(session, &*client, &mut failures).await?
    } else {
        meant(&*client, &place, unique(named), &mut failures).await
    };
    let mut progress = printer.progress(super::create::reader(arguments.output));
    let mut ending = Vec::new();
    for name in chosen {
        match client.delete(&name).await {
            Ok(view) => ending.push(view),
            Err(error) if error.code == ErrorCode::NotFound && arguments.ignore_not_found => {}
            Err(error) => failures.push(explain(&*client, &name, error).await),
        }
    }
    let deadline = Instant::now() + Span::duration(arguments.timeout);
    for view in ending {
        let ended = end(session, &client, &view, &arguments, deadline, &mut progress).await;
        match ended {
            Ok(()) => {}
            Err(error @ (CliError::Interrupted { .. } | CliError::Output(_))) => return Err(error),
            Err(error) => failures.push(error),
        }
    }
    conclude(failures)
}

fn unique(names: Vec<ClusterName>) -> Vec<ClusterName> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

/// Those of the named clusters that are where the command line says; the others are of somebody else's namespace.
async fn meant(
    client: &dyn Clusters,
    place: &Place,
    named: Vec<ClusterName>,
    failures: &mut Vec<CliError>,
) -> Vec<ClusterName> {
    if *place == Place::default() || !client.is_of_this_machine() {
        return named;
    }
    let mut meant = Vec::new();
    for name in named {
        // What is not there, or cannot be said, the deletion itself tells.
        let misplaced = match client.get(&name).await {
            Ok(view) => place.check(&view.name, &view.context).err(),
            Err(_) => None,
        };
        match misplaced {
            Some(error) => failures.push(error),
            None => meant.push(name),
        }
    }
    meant
}

fn nothing_there(
    session: &Session,
    arguments: &DeleteArguments,
    named: Vec<ClusterName>,
) -> Result<(), CliError> {
    if arguments.all {
        session.printer.note("no clusters");
    }
    if arguments.ignore_not_found {
        return Ok(());
    }
    conclude(named.into_iter().map(|name| no_cluster(&name, None)).collect())
}

fn conclude(mut failures: Vec<CliError>) -> Result<(), CliError> {
    match (failures.pop(), failures.is_empty()) {
        (None, _) => Ok(()),
        (Some(only), true) => Err(only),
        (Some(last), false) => {
            failures.push(last);
            Err(CliError::Several(failures))
        }
    }
}

/// The clusters that can be deleted from here. Others are spoken of.
async fn all(
    session: &Session,
    client: &dyn Clusters,
    failures: &mut Vec<CliError>,
) -> Result<Vec<ClusterName>, CliError> {
    let mut names = Vec::new();
    for listed in client.summaries().await? {
        match listed {
            Listed::Cluster(view) if view.phase == Phase::Elsewhere => {
                session.printer.warning(&format!("cluster {} is another machine's and stays", view.name));
            }
            Listed::Cluster(view) if !session.place().holds_summary(&view) => {}
            Listed::Cluster(view) => names.push(view.name),
            Listed::Unreadable { name, problem } => failures.push(CliError::Refused {
                message: format!("cluster {name} cannot be deleted, its record cannot be used: {problem}"),
                hint: None,
            }),
        }
    }
    if names.is_empty() {
        session.printer.note("no clusters");
    }
    Ok(names)
}

/// Waits until a cluster is gone, if that is wanted, and says so.
async fn end(
    session: &Session,
    client: &Answering,
    view: &ClusterView,
    arguments: &DeleteArguments,
    deadline: Instant,
    progress: &mut Progress,
) -> Result<(), CliError> {
    let name = &view.name;
    let said = if arguments.no_wait {
        progress.outcome("accepted", json!({"name": name}));
        format!("cluster {name} is being deleted")
    } else {
        let parting = Parting {
            goes_on: format!("cluster {name} goes on being deleted"),
            undo: None,
            when_late: format!("it goes on: `crewcall describe {name}` shows what is left"),
        };
        let goal = Goal::Gone { uid: view.uid.clone() };
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        Follower::new(session, progress, name, goal).wait(client.clone(), left, parting).await?;
        progress.outcome("deleted", json!({"name": name}));
        format!("cluster {name} deleted")
    };
    match arguments.output {
        Some(ReportFormat::Json) => Ok(()),
        Some(ReportFormat::Name) => session.printer.result_line(name.as_str()),
        None => session.printer.result_line(&said),
    }
}
