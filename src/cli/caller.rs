//! What depends on the caller: directories, import path, interpreter, environment variables.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{CliError, args::CallerArguments, printer::Printer, session::Place};
use crate::{
    model::{CallerContext, CallerEnvironment, Ec2Context, Interpreter, KubernetesContext, SoftwareVersions},
    spec::{ComputeCluster, EnvironmentSpec, ProviderKind},
};

/// The directory that the command was called in.
pub fn working_directory() -> Result<PathBuf, CliError> {
    std::env::current_dir().map_err(|cause| CliError::File {
        doing: "find the current directory, by its entry",
        path: PathBuf::from("."),
        cause,
    })
}

/// The variables that can be handed over, and the names of those that cannot because they are not
/// UTF-8.
pub fn split_environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> (CallerEnvironment, Vec<String>) {
    let (mut kept, mut skipped) = (BTreeMap::new(), Vec::new());
    for (name, value) in variables {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => {
                kept.insert(name, value);
            }
            (Ok(name), Err(_)) => skipped.push(name),
            (Err(name), _) => skipped.push(name.to_string_lossy().into_owned()),
        }
    }
    (CallerEnvironment(kept), skipped)
}

/// This process's variables; warns of those that cannot be handed over.
pub fn environment(printer: &Printer) -> CallerEnvironment {
    let (kept, skipped) = split_environment(std::env::vars_os());
    if !skipped.is_empty() {
        let names = skipped.join(", ");
        printer.warning(&format!("not handed over to the cluster, because they are not UTF-8: {names}"));
    }
    kept
}

/// What Python would search before its own folders: the current one, then `PYTHONPATH`.
pub fn import_path(environment: &CallerEnvironment, working_directory: &Path) -> Vec<PathBuf> {
    let variable = environment.0.get("PYTHONPATH").map(String::as_str).unwrap_or_default();
    let entries = variable.split(':').filter(|entry| !entry.is_empty());
    let mut path = vec![working_directory.to_owned()];
    for entry in entries.map(|entry| working_directory.join(entry).components().collect::<PathBuf>()) {
        if !path.contains(&entry) {
            path.push(entry);
        }
    }
    path
}

/// The caller's context for a document.
///
/// Versions cost a run of Python; they are asked for only when the cluster will not run with the
/// caller's own interpreter, whose versions its host knows anyway.
pub async fn context(
    document: &ComputeCluster,
    document_directory: PathBuf,
    arguments: &CallerArguments,
    place: &Place,
    environment: &CallerEnvironment,
    printer: &Printer,
) -> Result<CallerContext, CliError> {
    let working_directory = working_directory()?;
    let kubernetes = kubernetes(document, place, environment, &working_directory)?;
    let ec2 = ec2(document, environment, &working_directory).await?;
    let active = || find_interpreter(environment, &working_directory);
    let import_path = match arguments.import_path.as_slice() {
        [] => import_path(environment, &working_directory),
        named => named.iter().map(|entry| working_directory.join(entry)).collect(),
    };
    let named = arguments.python.as_ref().map(|path| working_directory.join(path));
    let interpreter = match named.or_else(active) {
        Some(path) => {
            let versions = versions(document, &path, environment, printer).await;
            Some(Interpreter { path, versions })
        }
        None => None,
    };
    let umask = umask();
    Ok(CallerContext {
        working_directory,
        import_path,
        interpreter,
        document_directory,
        umask,
        kubernetes,
        ec2,
        custom_resource: None,
    })
}

/// Where Kubernetes is, for a document of a cluster there.
fn kubernetes(
    document: &ComputeCluster,
    place: &Place,
    environment: &CallerEnvironment,
    working_directory: &Path,
) -> Result<Option<KubernetesContext>, CliError> {
    if document.spec.provider.kind() == ProviderKind::Kubernetes {
        return kubernetes_context(document, place, environment, working_directory).map(Some);
    }
    let named = |message| {
        let hint = Some("leave it out; it is for clusters on Kubernetes".to_owned());
        Err(CliError::Usage { message, hint })
    };
    match place {
        Place { context: Some(name), .. } => {
            named(format!("context {name}: the document's cluster is not on Kubernetes"))
        }
        Place { namespace: Some(name), .. } => {
            named(format!("namespace {name}: the document's cluster is not on Kubernetes"))
        }
        Place { context: None, namespace: None } => Ok(None),
    }
}

#[cfg(feature = "kubernetes")]
fn kubernetes_context(
    document: &ComputeCluster,
    place: &Place,
    environment: &CallerEnvironment,
    working_directory: &Path,
) -> Result<KubernetesContext, CliError> {
    use crate::provider::kubernetes::{ContextChoice, resolve};

    let namespace = document.metadata.namespace.clone().or_else(|| place.namespace.clone());
    let choice = ContextChoice { context: place.context.clone(), namespace };
    resolve(environment, working_directory, &choice)
        .map_err(|error| CliError::Usage { message: error.message, hint: error.hint })
}

#[cfg(not(feature = "kubernetes"))]
fn kubernetes_context(
    _: &ComputeCluster,
    _: &Place,
    _: &CallerEnvironment,
    _: &Path,
) -> Result<KubernetesContext, CliError> {
    Err(CliError::Usage {
        message: "this build of crewcall has no provider `kubernetes`".to_owned(),
        hint: Some("build it with `cargo build --features kubernetes`".to_owned()),
    })
}

/// Where on AWS, for a document of a cluster there.
async fn ec2(
    document: &ComputeCluster,
    environment: &CallerEnvironment,
    working_directory: &Path,
) -> Result<Option<Ec2Context>, CliError> {
    match document.spec.ec2() {
        Some(ec2) => ec2_context(ec2.region.as_deref(), environment, working_directory).await.map(Some),
        None => Ok(None),
    }
}

#[cfg(feature = "ec2")]
async fn ec2_context(
    region: Option<&str>,
    environment: &CallerEnvironment,
    working_directory: &Path,
) -> Result<Ec2Context, CliError> {
    crate::provider::ec2::resolve(environment, working_directory, region)
        .await
        .map_err(|error| CliError::Usage { message: error.message, hint: error.hint })
}

#[cfg(not(feature = "ec2"))]
#[expect(clippy::unused_async, reason = "with the feature it asks AWS")]
async fn ec2_context(_: Option<&str>, _: &CallerEnvironment, _: &Path) -> Result<Ec2Context, CliError> {
    Err(without_ec2())
}

/// What is said where a build cannot ask AWS.
#[cfg(not(feature = "ec2"))]
pub fn without_ec2() -> CliError {
    CliError::Usage {
        message: "this build of crewcall has no provider `ec2`".to_owned(),
        hint: Some("build it with `cargo build --features ec2`".to_owned()),
    }
}

/// This process' file mode creation mask. Asking the system for it would change it.
fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(mask.trim(), 8).ok()
}

async fn versions(
    document: &ComputeCluster,
    path: &Path,
    environment: &CallerEnvironment,
    printer: &Printer,
) -> SoftwareVersions {
    match &document.spec.environment {
        None if document.spec.provider.kind() == ProviderKind::Local => SoftwareVersions::default(),
        None
        | Some(EnvironmentSpec::Packages(_) | EnvironmentSpec::Interpreter(_) | EnvironmentSpec::Image(_)) => {
            probe_versions(path, environment).await.unwrap_or_else(|error| {
                printer.warning(&format!("your software cannot be compared with the cluster's: {error}"));
                SoftwareVersions::default()
            })
        }
    }
}

#[cfg(all(feature = "local", target_os = "linux"))]
pub use crate::provider::local::{find_interpreter, probe_versions};

#[cfg(not(all(feature = "local", target_os = "linux")))]
pub use elsewhere::{find_interpreter, probe_versions};

/// Without local clusters nobody asks for the caller's interpreter.
#[cfg(not(all(feature = "local", target_os = "linux")))]
mod elsewhere {
    use std::path::{Path, PathBuf};

    use crate::{
        model::{CallerEnvironment, SoftwareVersions},
        provider::ProviderError,
    };

    pub fn find_interpreter(_environment: &CallerEnvironment, _directory: &Path) -> Option<PathBuf> {
        None
    }

    pub async fn probe_versions(
        _path: &Path,
        _environment: &CallerEnvironment,
    ) -> Result<SoftwareVersions, ProviderError> {
        std::future::ready(Ok(SoftwareVersions::default())).await
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn variables_that_are_not_utf8_are_named_and_left_out() {
        let odd = OsString::from_vec(vec![0xff]);
        let variables = [("A".into(), "1".into()), ("B".into(), odd.clone()), (odd, "2".into())];
        let (kept, skipped) = split_environment(variables.into_iter());
        assert_eq!(kept.0.into_iter().collect::<Vec<_>>(), [("A".to_owned(), "1".to_owned())]);
        assert_eq!(skipped, ["B", "\u{fffd}"]);
    }

    #[test]
    fn the_import_path_is_absolute_and_begins_where_the_caller_is() {
        let variables = [("PYTHONPATH".to_owned(), "lib::/opt/x:.:lib".to_owned())];
        let path = import_path(&CallerEnvironment(variables.into()), Path::new("/home/me"));
        assert_eq!(path, ["/home/me", "/home/me/lib", "/opt/x"].map(PathBuf::from));
    }
}
