//! `list`: all clusters.

use serde::Serialize;
use serde_json::json;

use crate::{
    cli::{
        CliError,
        args::{DataFormat, ListArguments, OutputFormat},
        output::{cluster_table, print_data},
        session::{Answerer, Session},
    },
    controller::{Clock, ClusterSummary, Listed, SystemClock},
};

/// Runs the verb.
pub async fn list(session: &Session, arguments: ListArguments) -> Result<(), CliError> {
    let (answerer, place) = (session.answerer().await?, session.place());
    let format = match arguments.output {
        Some(OutputFormat::Json) => DataFormat::Json,
        Some(OutputFormat::Yaml) => DataFormat::Yaml,
        Some(OutputFormat::Wide | OutputFormat::Name) | None => {
            let mut listed = match answerer {
                Answerer::Controller(client) => client.summaries().await?,
                Answerer::NoClusters => Vec::new(),
            };
            listed.retain(|listed| readable(listed).is_none_or(|cluster| place.holds_summary(cluster)));
            return print(session, arguments.output, &listed);
        }
    };
    let mut listed = match answerer {
        Answerer::Controller(client) => client.list().await?,
        Answerer::NoClusters => Vec::new(),
    };
    listed.retain(|listed| readable(listed).is_none_or(|cluster| place.holds(&cluster.context)));
    print_data(&session.printer, format, &listed.iter().map(data).collect::<Vec<_>>())
}

/// For people, and names alone.
fn print(
    session: &Session,
    format: Option<OutputFormat>,
    listed: &[Listed<ClusterSummary>],
) -> Result<(), CliError> {
    let printer = &session.printer;
    if format == Some(OutputFormat::Name) {
        let names: String = listed.iter().map(|listed| name(listed) + "\n").collect();
        return printer.result(&names);
    }
    let clusters: Vec<&ClusterSummary> = listed.iter().filter_map(readable).collect();
    let mut table = cluster_table(&clusters, format, SystemClock.now());
    for entry in listed {
        if let Listed::Unreadable { name, problem } = entry {
            printer.warning(&format!("the record of cluster {name} cannot be used: {problem}"));
            table.row([
                name.clone(),
                "Unreadable".to_owned(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ]);
        }
    }
    if table.is_empty() {
        printer.note("no clusters; `crewcall create -f FILE` makes one");
        return Ok(());
    }
    printer.result(&table.render(0, printer.result_color()))
}

fn readable<T>(listed: &Listed<T>) -> Option<&T> {
    match listed {
        Listed::Cluster(cluster) => Some(cluster),
        Listed::Unreadable { .. } => None,
    }
}

fn name(listed: &Listed<ClusterSummary>) -> String {
    match listed {
        Listed::Cluster(cluster) => cluster.name.to_string(),
        Listed::Unreadable { name, .. } => name.clone(),
    }
}

fn data(listed: &Listed<impl Serialize>) -> serde_json::Value {
    match listed {
        Listed::Cluster(view) => json!(view),
        Listed::Unreadable { name, problem } => json!({"name": name, "problem": problem}),
    }
}
