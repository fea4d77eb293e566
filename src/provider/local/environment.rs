//! The software of a cluster: an interpreter that is there, or an environment built from packages.

use std::path::{Path, PathBuf};

use super::{interpreter, packages, variables};
use crate::{
    model::CallerEnvironment,
    provider::{Caller, Directories, ErrorKind, ProviderError},
    spec::{ComputeCluster, EnvironmentSpec},
};

/// What to write when there is no Dask.
const WHAT_TO_WRITE: &str = "install it (python -m pip install 'dask[distributed]' bokeh), activate an environment \
     that has it, or let Crewcall build one: environment: {packages: [\"dask[distributed]\", bokeh]}";

/// An interpreter, and what the document says of it once it no longer depends on the caller.
pub struct Resolved {
    /// Absolute path.
    pub interpreter: PathBuf,
    /// What is stored in the document; `None`: what it said, nothing.
    pub environment: Option<EnvironmentSpec>,
}

/// Finds, or builds, what the document or else the caller means.
pub async fn resolve(
    cluster: &ComputeCluster,
    caller: &Caller,
    directories: &Directories,
    progress: &(dyn Fn(String) + Send + Sync),
) -> Result<Resolved, ProviderError> {
    let said = cluster.spec.environment.clone();
    match &said {
        Some(EnvironmentSpec::Interpreter(path)) => {
            let path = caller.context.document_directory.join(path);
            let interpreter = existing(&path, &caller.environment).await?;
            Ok(Resolved { interpreter, environment: Some(EnvironmentSpec::Interpreter(path)) })
        }
        Some(EnvironmentSpec::Packages(packages)) => {
            let base = callers_interpreter(caller).await?;
            let interpreter =
                packages::build(packages, &base, &caller.environment, directories, progress).await?;
            Ok(Resolved { interpreter, environment: said })
        }
        Some(EnvironmentSpec::Image(_)) => {
            let error = ProviderError::new(ErrorKind::Invalid, "the local provider runs no images");
            Err(error.with_hint("say environment: {packages: [...]} or environment: {interpreter: PATH}"))
        }
        None => Ok(Resolved { interpreter: callers_interpreter(caller).await?, environment: None }),
    }
}

async fn callers_interpreter(caller: &Caller) -> Result<PathBuf, ProviderError> {
    let context = &caller.context;
    let known = context.interpreter.as_ref().map(|interpreter| interpreter.path.clone());
    let path = known
        .or_else(|| interpreter::find_interpreter(&caller.environment, &context.working_directory))
        .ok_or_else(|| {
            ProviderError::new(
                ErrorKind::Invalid,
                "there is no Python here: neither python3 nor python is on the PATH",
            )
            .with_hint("activate an environment that has Dask, or say environment: {interpreter: PATH}")
        })?;
    existing(&path, &caller.environment).await
}

async fn existing(path: &Path, environment: &CallerEnvironment) -> Result<PathBuf, ProviderError> {
    let problem = if !path.exists() {
        "does not exist"
    } else if !interpreter::is_executable(path) {
        "is no program that can be run"
    } else {
        return interpreter::real_interpreter(path, environment).await;
    };
    let message = format!("the interpreter {} {problem}", path.display());
    Err(ProviderError::new(ErrorKind::Invalid, message)
        .with_hint("give the path of a Python that has Dask, such as .venv/bin/python"))
}

/// An interpreter that cannot run Dask.
pub fn unusable(interpreter: &Path, error: &str) -> ProviderError {
    let message = format!("{} cannot run Dask: {error}", interpreter.display());
    ProviderError::new(ErrorKind::Invalid, message).with_hint(WHAT_TO_WRITE)
}

/// Whether the caller has all the secrets that the document names.
pub fn check_secrets(cluster: &ComputeCluster, caller: &CallerEnvironment) -> Result<(), ProviderError> {
    let spec = &cluster.spec;
    let groups = std::iter::once(&spec.workers).chain(spec.worker_groups.values());
    let all = std::iter::once(&spec.secret_env).chain(groups.map(|group| &group.secret_env));
    for secrets in all {
        variables::secret_values(caller, secrets).map_err(|missing| {
            let hint = format!("set it: export {}=...", missing.source_name);
            ProviderError::new(ErrorKind::Invalid, missing.to_string()).with_hint(hint)
        })?;
    }
    Ok(())
}
