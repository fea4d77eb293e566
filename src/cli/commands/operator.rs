//! `operator`: the controller within Kubernetes.

use crate::{
    cli::{CliError, Exit, session::Session},
    operator::{OperatorArguments, run_operator},
};

/// Runs this process as an operator.
pub fn operator(session: &Session, arguments: &OperatorArguments) -> Result<(), CliError> {
    run_operator(arguments, session.place().context).map_err(|error| CliError::Process {
        message: error.to_string(),
        hint: error.hint(),
        exit: Exit::Controller,
    })
}
