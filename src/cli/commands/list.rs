//! `list`: all clusters.

use serde_json::json;

use crate::{
    cli::{
        CliError,
        args::{DataFormat, ListArguments, OutputFormat},
        output::{cluster_table, print_data},
        session::{Answerer, Session},
    },
    controller::{Clock, ClusterView, Listed, SystemClock},
};

/// Runs the verb.
pub async fn list(session: &Session, arguments: ListArguments) -> Result<(), CliError> {
    let listed = match session.answerer().await? {
        Answerer::Controller(client) => client.list().await?,
        Answerer::NoClusters => Vec::new(),
    };
    let printer = &session.printer;
    let data = || listed.iter().map(data).collect::<Vec<_>>();
    match arguments.output {
        Some(OutputFormat::Json) => return print_data(printer, DataFormat::Json, &data()),
        Some(OutputFormat::Yaml) => return print_data(printer, DataFormat::Yaml, &data()),
        Some(OutputFormat::Name) => {
            return listed.iter().try_for_each(|listed| printer.result_line(&name(listed)));
        }
        Some(OutputFormat::Wide) | None => {}
    }
    let clusters: Vec<&ClusterView> = listed.iter().filter_map(readable).collect();
    let mut table = cluster_table(&clusters, arguments.output, SystemClock.now());
    for entry in &listed {
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

fn readable(listed: &Listed) -> Option<&ClusterView> {
    match listed {
        Listed::Cluster(view) => Some(view),
        Listed::Unreadable { .. } => None,
    }
}

fn name(listed: &Listed) -> String {
    match listed {
        Listed::Cluster(view) => view.name.to_string(),
        Listed::Unreadable { name, .. } => name.clone(),
    }
}

fn data(listed: &Listed) -> serde_json::Value {
    match listed {
        Listed::Cluster(view) => json!(view),
        Listed::Unreadable { name, problem } => json!({"name": name, "problem": problem}),
    }
}
