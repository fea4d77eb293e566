//! The hidden process of the Kubernetes and EC2 providers, one for each cluster.

use crate::{
    cli::{CliError, Exit},
    provider::forwarder::{ForwarderArguments, run_forwarder},
};

/// Runs this process as a forwarder.
pub fn forwarder(arguments: &ForwarderArguments) -> Result<(), CliError> {
    run_forwarder(arguments).map_err(|error| CliError::Process {
        message: error.to_string(),
        hint: None,
        exit: Exit::Failed,
    })
}
