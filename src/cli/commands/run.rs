//! `run`: a program that finds its cluster.

use std::{io, os::unix::process::CommandExt, path::PathBuf, process::Command};

use crate::cli::{CliError, Exit, args::RunArguments, session::Session};

/// Runs the verb: replaces this process. Returns only when that fails.
pub async fn run(session: &Session, arguments: RunArguments) -> Result<(), CliError> {
    let variables = super::env::connecting(session, &arguments.name).await?;
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
    let error = command.exec();
    let (cause, exit) = match error.kind() {
        io::ErrorKind::NotFound => ("there is no such program".to_owned(), Exit::NoProgram),
        io::ErrorKind::PermissionDenied => ("it may not be executed".to_owned(), Exit::NotExecutable),
        _ => (error.to_string(), Exit::NotExecutable),
    };
    Err(CliError::Program { program: PathBuf::from(program), cause, exit })
}
