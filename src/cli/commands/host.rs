//! The hidden process of the local provider, one for each cluster.

use crate::{
    cli::{CliError, Exit},
    provider::local::host::{HostArguments, run_host},
};

/// Runs this process as a host.
pub fn host(arguments: &HostArguments) -> Result<(), CliError> {
    run_host(arguments).map_err(|error| CliError::Process {
        message: error.to_string(),
        hint: None,
        exit: Exit::Failed,
    })
}
