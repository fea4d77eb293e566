//! `schema`: what a document may say, for editors and for Kubernetes.

use crate::{
    cli::{
        CliError,
        args::{DataFormat, SchemaArguments},
        output::print_data,
        session::Session,
    },
    spec,
};

/// Runs the verb.
pub fn schema(session: &Session, arguments: &SchemaArguments) -> Result<(), CliError> {
    if arguments.crd {
        return session.printer.result(&spec::crd::manifest().map_err(CliError::encode)?);
    }
    print_data(&session.printer, DataFormat::Json, &spec::json_schema())
}
