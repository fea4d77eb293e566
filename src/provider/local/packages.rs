//! Environments built from packages, once for each set of them.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rustix::{fs::FlockOperation, process::Signal};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc,
};

use super::{
    fingerprint::fingerprint,
    interpreter::{is_executable, probe_versions},
    os::{self, ProcessId},
    paths,
};
use crate::{
    model::CallerEnvironment,
    provider::{Directories, ErrorKind, ProviderError},
    spec::count_of,
};

/// How long an installation may take: large packages over a slow line.
const LONGEST_INSTALL: Duration = Duration::from_mins(30);

/// Written last into an environment that is whole.
const COMPLETE: &str = ".complete";

/// In the environment of installers and all that they start: the environment that they build.
const BUILD_MARK: &str = "CREWCALL_BUILD";

/// How long killed installers may take to be gone.
const LONGEST_KILL: Duration = Duration::from_secs(10);

/// Lines of pip's or uv's output that are shown when it fails.
const SHOWN_LINES: usize = 12;

/// What installers need of the caller's environment: where to find programs, caches and credentials, and
/// how to reach an index.
const PASSED: [&str; 11] = [
    "HOME",
    "LANG",
    "NETRC",
    "PATH",
    "SSH_AUTH_SOCK",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
];
/// The same, by how they begin.
const PASSED_PREFIXES: [&str; 5] = ["PIP_", "UV_", "SSL_CERT_", "LC_", "GIT_"];
/// The same, by how they end, whatever their case.
const PASSED_SUFFIX: &str = "_proxy";

/// The interpreter of an environment, below the cache directory, that has these packages; built with
/// `base`, unless it was before. Two who want the same build it once. Dropping the future ends the build,
/// and the next begins it anew.
pub async fn build(
    packages: &[String],
    base: &Path,
    environment: &CallerEnvironment,
    directories: &Directories,
    progress: &(dyn Fn(String) + Send + Sync),
) -> Result<PathBuf, ProviderError> {
    let mut packages: Vec<&str> = packages.iter().map(|package| package.trim()).collect();
    packages.sort_unstable();
    packages.dedup();
    if let Some(option) = packages.iter().find(|package| package.starts_with('-') || package.is_empty()) {
        let message = format!("environment.packages: {option:?} is no requirement");
        return Err(ProviderError::new(ErrorKind::Invalid, message)
            .with_hint("write requirements as pip has them, such as dask[distributed]==2026.8.0"));
    }
    let version = probe_versions(base, environment).await?.get("python").unwrap_or_default().to_owned();
    let base_text = base.to_string_lossy();
    let name = fingerprint([&*version, &*base_text].into_iter().chain(packages.iter().copied()));
    let place = paths::environments(directories).join(&name);
    let interpreter = place.join("bin").join("python");
    let failed =
        |doing: &str, path: &Path, error: &io::Error| cannot(&format!("{doing} {}", path.display()), error);
    let parent = paths::environments(directories);
    // What lies there is run.
    for directory in [&directories.cache, &parent] {
        os::own_directory(directory).map_err(|error| failed("use", directory, &error))?;
    }
    if is_whole(&place, &interpreter) {
        return Ok(interpreter);
    }
    let lock_path = parent.join(format!("{name}.lock"));
    progress(format!("installing {}", brief(&packages)));
    let _lock = lock(&lock_path, progress).await.map_err(|error| failed("lock", &lock_path, &error))?;
    if is_whole(&place, &interpreter) {
        return Ok(interpreter);
    }
    // A build that was cut short. What it had started may go on writing.
    end_installers(&place).await?;
    os::remove_all(&place).map_err(|error| failed("remove", &place, &error))?;
    // Installers that are killed leave what they unpacked; here the next build finds it.
    let scratch = parent.join(format!("{name}.tmp"));
    os::remove_all(&scratch).map_err(|error| failed("remove", &scratch, &error))?;
    os::private_directory(&scratch).map_err(|error| failed("make", &scratch, &error))?;
    let mut variables = passed(environment);
    variables.insert(BUILD_MARK.to_owned(), place.to_string_lossy().into_owned());
    variables.insert("TMPDIR".to_owned(), scratch.to_string_lossy().into_owned());
    let installer = Installer { base, place: &place, environment: variables };
    let built = installer.install(&packages).await.and_then(|()| {
        os::write_durably(&place.join(COMPLETE), packages.join("\n").as_bytes())
            .map_err(|error| failed("write", &place.join(COMPLETE), &error))
    });
    let useless = built.is_err().then_some(&place);
    for path in useless.into_iter().chain([&scratch]) {
        if let Err(error) = os::remove_all(path) {
            tracing::warn!(%error, path = %path.display(), "cannot remove what an installation has left");
        }
    }
    built.map(|()| interpreter)
}

/// `dask, numpy … (12 packages)`: the names of a few, without versions and addresses.
fn brief(packages: &[&str]) -> String {
    const SHOWN: usize = 3;
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name = |package: &str| {
        let (name, rest) = package.split_at(package.find(|c| !part_of_name(c)).unwrap_or(package.len()));
        let is_name =
            name.starts_with(|c: char| c.is_ascii_alphanumeric()) && !rest.starts_with([':', '/', '+']);
        if is_name { name.to_owned() } else { "a package by its address".to_owned() }
    };
    let names: Vec<String> = packages.iter().take(SHOWN).map(|package| name(package)).collect();
    let more = if packages.len() > SHOWN {
        format!(" … ({})", count_of(u64::try_from(packages.len()).unwrap_or(u64::MAX), "package"))
    } else {
        String::new()
    };
    names.join(", ") + &more
}

/// Whether a build ended well, and nobody has removed the Python that it was built with.
fn is_whole(place: &Path, interpreter: &Path) -> bool {
    place.join(COMPLETE).exists() && is_executable(interpreter)
}

/// Ends what a dead controller's installation of this environment has left running. To be called by
/// the holder of the environment's lock.
async fn end_installers(place: &Path) -> Result<(), ProviderError> {
    let deadline = tokio::time::Instant::now() + LONGEST_KILL;
    let place = place.to_string_lossy();
    let is_left =
        |marks: &[(String, String)]| marks.iter().any(|(name, value)| name == BUILD_MARK && *value == place);
    loop {
        let mut left = os::marked_processes(BUILD_MARK);
        left.retain(|(_, marks)| is_left(marks));
        let Some((last, _)) = left.last() else { return Ok(()) };
        if tokio::time::Instant::now() >= deadline {
            let message = format!(
                "process {}, of an installation that was cut short, is still there {} s after it was killed",
                last.pid,
                LONGEST_KILL.as_secs()
            );
            return Err(ProviderError::new(ErrorKind::Transient, message));
        }
        for (process, _) in &left {
            process
                .signal(Signal::KILL)
                .map_err(|error| cannot(&format!("end process {}", process.pid), &error))?;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn cannot(what: &str, error: &io::Error) -> ProviderError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Capacity,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Invalid,
        _ => ErrorKind::Transient,
    };
    ProviderError::new(kind, format!("cannot {what}: {error}"))
}

/// Waits for a lock for as long as its holder may have it: one installation.
async fn lock(path: &Path, progress: &(dyn Fn(String) + Send + Sync)) -> io::Result<Arc<fs::File>> {
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            progress("it is being built already; that is waited for".to_owned());
        }
        locked => return Ok(locked.map(|()| Arc::new(file))?),
    }
    let file = Arc::new(file);
    let waiting = Arc::clone(&file);
    // Should the caller give up, the thread goes on waiting, and lets go at once when it has the lock.
    let locked =
        tokio::task::spawn_blocking(move || rustix::fs::flock(&*waiting, FlockOperation::LockExclusive));
    match tokio::time::timeout(LONGEST_INSTALL, locked).await {
        Ok(Ok(result)) => result.map(|()| file).map_err(io::Error::from),
        Ok(Err(error)) => Err(io::Error::other(error)),
        Err(_) => Err(io::Error::other("another process has been building it for half an hour")),
    }
}

fn passed(environment: &CallerEnvironment) -> BTreeMap<String, String> {
    let is_passed = |name: &str| {
        PASSED.contains(&name)
            || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || name.to_ascii_lowercase().ends_with(PASSED_SUFFIX)
    };
    environment
        .0
        .iter()
        .filter(|(name, _)| is_passed(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// One installation.
struct Installer<'a> {
    base: &'a Path,
    place: &'a Path,
    environment: BTreeMap<String, String>,
}

impl Installer<'_> {
    async fn install(&self, packages: &[&str]) -> Result<(), ProviderError> {
        let python = self.place.join("bin").join("python");
        if let Some(uv) = self.uv() {
            let mut make = Command::new(&uv);
            make.args(["venv", "--no-project", "--python"]).arg(self.base).arg(self.place);
            self.run(make, "uv venv").await?;
            let mut install = Command::new(&uv);
            install.args(["pip", "install", "--python"]).arg(&python).arg("--").args(packages);
            return self.run(install, "uv pip install").await;
        }
        let mut make = Command::new(self.base);
        make.args(["-m", "venv"]).arg(self.place);
        self.run(make, "python -m venv").await?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--progress-bar", "off", "--no-input", "--"]).args(packages);
        self.run(install, "pip install").await
    }

    fn uv(&self) -> Option<PathBuf> {
        let path = self.environment.get("PATH")?;
        std::env::split_paths(path).map(|folder| folder.join("uv")).find(|program| is_executable(program))
    }

    /// Runs a program to its end. When it fails, what it said is the error: its last lines for people, all of
    /// it in the log.
    async fn run(&self, mut command: Command, what: &str) -> Result<(), ProviderError> {
        let failed = |error: &io::Error| cannot(&format!("run {what}"), error);
        os::end_with_starter(&mut command);
        let mut child = command
            .env_clear()
            .envs(&self.environment)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let mut group = Group::of(&child);
        let (lines, mut said) = mpsc::channel(64);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(read_lines(stdout, lines.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(read_lines(stderr, lines.clone()));
        }
        drop(lines);
        let mut shown: Vec<String> = Vec::new();
        let run = async {
            while let Some(line) = said.recv().await {
                if !line.trim().is_empty() {
                    shown.push(line);
                }
            }
            child.wait().await
        };
        let status = tokio::time::timeout(LONGEST_INSTALL, run)
            .await
            .map_err(|_| {
                let minutes = LONGEST_INSTALL.as_secs() / 60;
                ProviderError::new(
                    ErrorKind::Transient,
                    format!("{what} did not end within {minutes} minutes"),
                )
            })?
            .map_err(|error| failed(&error))?;
        // Its number may be another's from now on.
        group.forget();
        if status.success() {
            return Ok(());
        }
        tracing::warn!("{what} failed ({status}), and said:\n{}", shown.join("\n"));
        let last: Vec<String> = error_lines(&shown);
        let message = format!("{what} failed ({status}):\n{}", last.join("\n"));
        Err(ProviderError::new(ErrorKind::Invalid, message).with_hint(
            "change environment.packages, or check the package index and its settings (PIP_..., UV_...); \
             `crewcall controller logs` has the whole output",
        ))
    }
}

/// The lines that say what went wrong: from pip's first `ERROR:` on, if there is one.
fn error_lines(shown: &[String]) -> Vec<String> {
    let first = shown.iter().position(|line| line.starts_with("ERROR:")).unwrap_or_default();
    let errors = shown.get(first..).unwrap_or_default();
    errors.iter().skip(errors.len().saturating_sub(SHOWN_LINES)).cloned().collect()
}

async fn read_lines(source: impl AsyncRead + Unpin, lines: mpsc::Sender<String>) {
    let mut reader = BufReader::new(source);
    let mut line = Vec::new();
    // Not everything that a compiler prints is UTF-8.
    while matches!(reader.read_until(b'\n', &mut line).await, Ok(count) if count > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        if lines.send(text).await.is_err() {
            return;
        }
    }
}

/// A program with all that it starts; dropping it ends them.
struct Group(Option<ProcessId>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(ProcessId::of))
    }

    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            leader.kill_group();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installers_get_what_they_need_to_reach_an_index_and_nothing_else() {
        let caller = [
            "PIP_INDEX_URL",
            "https_proxy",
            "HTTPS_PROXY",
            "SSL_CERT_FILE",
            "AWS_SECRET_ACCESS_KEY",
            "PYTHONPATH",
        ]
        .map(|name| (name.to_owned(), "x".to_owned()));
        let passed = passed(&CallerEnvironment(caller.into()));
        let names: Vec<&str> = passed.keys().map(String::as_str).collect();
        assert_eq!(names, ["HTTPS_PROXY", "PIP_INDEX_URL", "SSL_CERT_FILE", "https_proxy"]);
    }

    #[test]
    fn what_pip_calls_an_error_is_what_is_shown() {
        let shown =
            ["Collecting nosuch", "ERROR: No matching distribution found for nosuch"].map(str::to_owned);
        assert_eq!(error_lines(&shown), [&*shown[1]]);
        assert_eq!(error_lines(&["error: uv says no".to_owned()]), ["error: uv says no"]);
    }

    #[test]
    fn what_is_installed_is_said_on_one_line_without_versions_and_addresses() {
        assert_eq!(brief(&["dask[distributed]==2026.8.0"]), "dask");
        let many = ["bokeh", "dask[distributed]>=2024", "numpy ==2", "pandas", "xarray"];
        assert_eq!(brief(&many), "bokeh, dask, numpy … (5 packages)");
        let odd = ["git+https://me:secret@example.com/x", "./wheels/x.whl", "mine @ file:///x"];
        assert_eq!(brief(&odd), "a package by its address, a package by its address, mine");
    }

    #[tokio::test]
    async fn what_an_installer_says_is_in_the_error_and_nowhere_else_when_it_fails() {
        let environment = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
        let installer = Installer { base: Path::new("/"), place: Path::new("/"), environment };
        let mut command = Command::new("sh");
        command.args(["-c", "echo Collecting one; echo 'ERROR: no such package' >&2; exit 3"]);
        let error = installer.run(command, "pip install").await.unwrap_err();
        assert!(error.message.ends_with("ERROR: no such package"), "{error}");
        let mut command = Command::new("sh");
        command.args(["-c", "echo Collecting one"]);
        installer.run(command, "pip install").await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_for_another_build_is_told() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("x.lock");
        let held = std::sync::Mutex::new(Some(lock(&path, &|_| ()).await.unwrap()));
        let said = std::sync::Mutex::new(Vec::new());
        let progress = |step| {
            said.lock().unwrap().push(step);
            held.lock().unwrap().take();
        };
        lock(&path, &progress).await.unwrap();
        assert_eq!(said.into_inner().unwrap(), ["it is being built already; that is waited for"]);
    }

    #[tokio::test]
    async fn an_option_is_no_requirement() {
        let directories =
            Directories { state: "/nowhere".into(), runtime: "/nowhere".into(), cache: "/nowhere".into() };
        let packages = ["--index-url=http://evil".to_owned()];
        let caller = CallerEnvironment::default();
        let built = build(&packages, Path::new("/bin/sh"), &caller, &directories, &|_| ());
        assert!(built.await.unwrap_err().message.contains("is no requirement"));
    }
}
