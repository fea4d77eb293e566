//! `env`: the variables with which a client connects.

use crate::{
    cli::{
        CliError,
        args::EnvArguments,
        session::Session,
        shell::{self, Variables},
    },
    controller::ClusterView,
    spec::ClusterName,
};

/// Runs the verb.
pub async fn env(session: &Session, arguments: EnvArguments) -> Result<(), CliError> {
    let shell = arguments.shell.unwrap_or_else(|| shell::from_path(std::env::var("SHELL").ok().as_deref()));
    let variables = match &arguments.name {
        Some(name) if !arguments.unset => connecting(session, name).await?.1,
        Some(_) | None => shell::none(),
    };
    session.printer.result(&shell::render(&variables, shell).map_err(CliError::encode)?)
}

/// The variables for a cluster that can be connected to.
pub(super) async fn connecting(
    session: &Session,
    name: &ClusterName,
) -> Result<(ClusterView, Variables), CliError> {
    let view = session.reached(name).await?;
    let variables = shell::variables(&view).ok_or_else(|| no_endpoint(&view))?;
    Ok((view, variables))
}

fn no_endpoint(view: &ClusterView) -> CliError {
    CliError::Refused {
        message: format!("cluster {} has no endpoint: it is {}", view.name, view.phase),
        hint: Some(format!("`crewcall describe {}` says why; `crewcall create` waits for one", view.name)),
    }
}
