//! `get`: one cluster.

use crate::{
    cli::{
        CliError,
        args::{DataFormat, GetArguments, OutputFormat},
        output::{cluster_table, print_data},
        session::Session,
    },
    controller::{Clock, ClusterSummary, SystemClock},
};

/// Runs the verb.
pub async fn get(session: &Session, arguments: GetArguments) -> Result<(), CliError> {
    let (_, view) = session.cluster(&arguments.name).await?;
    let printer = &session.printer;
    match arguments.output {
        Some(OutputFormat::Json) => print_data(printer, DataFormat::Json, &view),
        Some(OutputFormat::Yaml) => print_data(printer, DataFormat::Yaml, &view),
        Some(OutputFormat::Name) => printer.result_line(view.name.as_str()),
        Some(OutputFormat::Wide) | None => {
            let table = cluster_table(&[&ClusterSummary::from(&view)], arguments.output, SystemClock.now());
            printer.result(&table.render(0, printer.result_color()))
        }
    }
}
