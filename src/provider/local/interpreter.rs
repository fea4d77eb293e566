//! Which Python a caller means, and what is installed for it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use crate::{
    model::{CallerEnvironment, SoftwareVersions},
    provider::{ErrorKind, ProviderError},
};

/// How long a Python may take to print a line: cold caches and network file systems.
const ONE_RUN: Duration = Duration::from_secs(20);

/// Packages whose versions matter between client, scheduler and workers, as Dask compares them.
const PACKAGES: [&str; 9] =
    ["dask", "distributed", "msgpack", "cloudpickle", "tornado", "toolz", "numpy", "pandas", "lz4"];

/// The interpreter that a person in this environment and directory means: that of the active virtual
/// environment, of the active conda environment, or the first on the path.
pub fn find_interpreter(environment: &CallerEnvironment, directory: &Path) -> Option<PathBuf> {
    let variable = |name: &str| environment.0.get(name).filter(|value| !value.is_empty());
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"]
        .into_iter()
        .filter_map(|name| Some(directory.join(variable(name)?).join("bin")));
    let path = variable("PATH").map(String::as_str).unwrap_or_default();
    let on_path = path.split(':').map(|entry| directory.join(entry));
    let folders: Vec<PathBuf> = active.chain(on_path).collect();
    // `python` of an earlier folder before `python3` of a later one would be another installation than
    // the one that `python3` starts.
    ["python3", "python"].into_iter().find_map(|name| {
        folders.iter().map(|folder| folder.join(name)).find(|candidate| is_executable(candidate))
    })
}

/// Whether this is a file that may be run.
pub fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The real interpreter behind what a person called one. A program is taken as it is, links and all,
/// because a virtual environment is known by its link; a script, as pyenv puts them on the path, is asked.
pub async fn real_interpreter(
    path: &Path,
    environment: &CallerEnvironment,
) -> Result<PathBuf, ProviderError> {
    let mut start = [0; 2];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    if read.is_ok() && &start != b"#!" {
        return Ok(path.to_owned());
    }
    let printed = run(path, "import sys; print(sys.executable)", environment).await?;
    let executable = PathBuf::from(printed.trim());
    if executable.is_absolute() && is_executable(&executable) {
        return Ok(executable);
    }
    let message = format!("{} is a script that says its Python is {:?}", path.display(), printed.trim());
    Err(ProviderError::new(ErrorKind::Invalid, message))
}

/// What is installed for an interpreter. Imports none of it.
pub async fn probe_versions(
    path: &Path,
    environment: &CallerEnvironment,
) -> Result<SoftwareVersions, ProviderError> {
    let script = format!(
        "import importlib.metadata as m, json, platform\n\
         def version(name):\n\
         \x20   try: return m.version(name)\n\
         \x20   except m.PackageNotFoundError: return None\n\
         found = {{name: version(name) for name in {PACKAGES:?}}}\n\
         print(json.dumps({{'python': platform.python_version(), **found}}))"
    );
    let printed = run(path, &script, environment).await?;
    let versions: BTreeMap<String, Option<String>> =
        serde_json::from_str(printed.trim()).map_err(|error| {
            let message = format!("{} does not print its versions: {error}", path.display());
            ProviderError::new(ErrorKind::Invalid, message)
        })?;
    Ok(SoftwareVersions(versions))
}

async fn run(path: &Path, script: &str, environment: &CallerEnvironment) -> Result<String, ProviderError> {
    let failed = |cause: &dyn std::fmt::Display| {
        ProviderError::new(ErrorKind::Invalid, format!("cannot use {} as Python: {cause}", path.display()))
    };
    let child = Command::new(path)
        .args(["-c", script])
        .env_clear()
        .envs(&environment.0)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&error))?;
    let output = timeout(ONE_RUN, child.wait_with_output())
        .await
        .map_err(|_| failed(&format!("it printed nothing within {} s", ONE_RUN.as_secs())))?
        .map_err(|error| failed(&error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(failed(&format!("{}: {last}", output.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executable(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn environment<const N: usize>(pairs: [(&str, String); N]) -> CallerEnvironment {
        CallerEnvironment(pairs.map(|(name, value)| (name.to_owned(), value)).into())
    }

    #[test]
    fn the_active_environment_comes_before_the_path() {
        let root = tempfile::tempdir().unwrap();
        executable(&root.path().join("venv/bin/python3"));
        executable(&root.path().join("usr/python3"));
        let path = ("PATH", root.path().join("usr").display().to_string());
        let found = find_interpreter(&environment([path.clone()]), Path::new("/")).unwrap();
        assert_eq!(found, root.path().join("usr/python3"));
        let active = ("VIRTUAL_ENV", root.path().join("venv").display().to_string());
        let found = find_interpreter(&environment([path, active]), Path::new("/")).unwrap();
        assert_eq!(found, root.path().join("venv/bin/python3"));
    }

    #[test]
    fn a_relative_entry_of_the_path_is_the_callers() {
        let root = tempfile::tempdir().unwrap();
        executable(&root.path().join("bin/python"));
        let caller = environment([("PATH", "bin".to_owned())]);
        assert_eq!(find_interpreter(&caller, root.path()).unwrap(), root.path().join("bin/python"));
        assert_eq!(find_interpreter(&caller, Path::new("/nowhere")), None);
    }

    #[tokio::test]
    async fn a_script_in_the_place_of_python_is_asked_for_the_real_one() {
        let root = tempfile::tempdir().unwrap();
        let shim = root.path().join("python3");
        executable(&shim);
        fs::write(&shim, "#!/bin/sh\necho /bin/sh\n").unwrap();
        let found = real_interpreter(&shim, &CallerEnvironment::default()).await.unwrap();
        assert_eq!(found, Path::new("/bin/sh"));
        let program = real_interpreter(Path::new("/bin/sh"), &CallerEnvironment::default()).await.unwrap();
        assert_eq!(program, Path::new("/bin/sh"));
    }
}
