//! `schema`: what a document may say, for editors.

use crate::{
    cli::{CliError, args::DataFormat, output::print_data, session::Session},
    spec,
};

/// Runs the verb.
pub fn schema(session: &Session) -> Result<(), CliError> {
    print_data(&session.printer, DataFormat::Json, &spec::json_schema())
}
