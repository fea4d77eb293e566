//! `run`: a program that finds its cluster.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Command,
};

use crate::{
    cli::{CliError, Exit, args::RunArguments, session::Session},
    controller::ClusterView,
    model::ConditionKind,
};

/// Runs the verb: replaces this process. Returns only when that fails.
pub async fn run(session: &Session, arguments: RunArguments) -> Result<(), CliError> {
    let (view, variables) = super::env::connecting(session, &arguments.name).await?;
    let mut words = arguments.command.into_iter();
    let program = words.next().ok_or_else(|| CliError::Bug("no program was given".to_owned()))?;
    let mut command = Command::new(&program);
    command.args(words);
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(path) = search_path(&view, std::env::var_os("PATH").as_deref()) {
        command.env("PATH", path);
    }
    let error = command.exec();
    let (cause, exit) = match error.kind() {
        io::ErrorKind::NotFound => ("there is no such program".to_owned(), Exit::NoProgram),
        io::ErrorKind::PermissionDenied => ("it may not be executed".to_owned(), Exit::NotExecutable),
        _ => (error.to_string(), Exit::NotExecutable),
    };
    Err(CliError::Program { program: PathBuf::from(program), cause, exit })
}

/// Where programs are looked for: where the caller's own Python is not the cluster's, the cluster's
/// comes first, so that `python` understands what its workers send. `None`: as it is.
fn search_path(view: &ClusterView, path: Option<&OsStr>) -> Option<OsString> {
    if view.holds(ConditionKind::EnvironmentMatched) {
        return None;
    }
    let folder = view.interpreter.as_ref()?.path.parent()?.to_owned();
    let rest = path.map(env::split_paths).into_iter().flatten();
    env::join_paths(std::iter::once(folder).chain(rest)).ok()
}
