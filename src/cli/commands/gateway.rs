//! `__gateway`: what a Python program starts to speak with an operator.

use serde_json::json;

use crate::{
    api::serve_gateway,
    cli::{CliError, Exit, args::GatewayArguments, owner::Owner, session::Session},
};

/// Answers on a socket that it prints, until its owner ends or asks no more.
pub async fn gateway(session: &Session, arguments: GatewayArguments) -> Result<(), CliError> {
    let owner = Owner::find(arguments.owner)?;
    let clusters = session.controller().await?;
    let failed = |message: String| CliError::Process { message, hint: None, exit: Exit::Failed };
    let folder = tempfile::Builder::new().prefix("crewcall-gateway-").tempdir();
    let folder =
        folder.map_err(|error| failed(format!("cannot make a folder for the gateway's socket: {error}")))?;
    let mut unsaid = None;
    let served = serve_gateway(clusters, folder.path().join("socket"), |socket| {
        unsaid = session.printer.result_json_line(&json!({ "socket": socket })).err();
    });
    tokio::select! {
        served = served => served.map_err(|error| failed(error.to_string()))?,
        ended = owner.ended_or_interrupted() => drop(ended?),
    }
    unsaid.map_or(Ok(()), Err)
}
