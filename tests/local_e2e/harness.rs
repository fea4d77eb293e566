//! Directories of one test, the program in them, and the proof that nothing is left.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _},
    os::unix::{
        fs::{DirBuilderExt as _, PermissionsExt as _},
        process::ExitStatusExt as _,
    },
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take on a machine that does much else.
pub const BOUND: Duration = Duration::from_mins(2);

const LOOK: Duration = Duration::from_millis(20);

/// A test's world.
pub struct Home {
    root: tempfile::TempDir,
    python: PathBuf,
}

/// How a program ended.
pub struct Outcome {
    pub code: Option<i32>,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    said: String,
}

/// A program that runs.
pub struct Running {
    child: Child,
    stdout: File,
    stderr: File,
    said: String,
}

/// Runs `test` in a world of its own, and checks that nothing is left of it.
pub fn with_home(test: impl FnOnce(&Home)) {
    let Some(python) = python() else { return };
    with_home_of(python, test);
}

/// The same with a Python that is not the usual one.
pub fn with_home_of(python: PathBuf, test: impl FnOnce(&Home)) {
    let home = Home::new(python);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        test(&home);
        home.finish();
    }));
    if let Err(panic) = outcome {
        eprintln!("{}", home.describe());
        home.kill_everything();
        resume_unwind(panic);
    }
}

fn python() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CREWCALL_TEST_PYTHON") {
        return Some(path.into());
    }
    skipped("CREWCALL_TEST_PYTHON names no Python with Dask");
    None
}

/// Says that a test cannot be made here; where everything must be tested that is a failure.
pub fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "cannot be skipped: {why}");
    eprintln!("SKIPPED: {why}");
}

/// Whether the large figures are wanted.
pub fn is_long() -> bool {
    std::env::var_os("CREWCALL_LONG").is_some()
}

/// Waits until something is there.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < BOUND, "{what}: not within {} s", BOUND.as_secs());
        sleep(LOOK);
    }
}

impl Home {
    fn new(python: PathBuf) -> Self {
        // Short, because a socket's path must be.
        let root = tempfile::Builder::new().prefix("cw-").tempdir_in("/tmp").unwrap();
        let mut private = fs::DirBuilder::new();
        private.mode(0o700);
        for name in ["home", "run", "state", "cache", "tmp", "work"] {
            private.create(root.path().join(name)).unwrap();
        }
        Self { root, python }
    }

    /// Below the test's own directory.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    /// The Python with Dask.
    pub fn interpreter(&self) -> &Path {
        &self.python
    }

    /// Writes a file in the directory that commands are called in.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path("work").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes the document of a cluster with that `spec`, less its provider.
    pub fn document(&self, name: &str, spec: &str) -> PathBuf {
        let text = format!(
            "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {{name: {name}}}\nspec:\n  \
             provider: {{local: {{}}}}\n  {spec}\n"
        );
        self.write(&format!("{name}.yaml"), &text)
    }

    /// Any program, in the surroundings of this test.
    pub fn program(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        let path = format!("{}:/usr/bin:/bin", self.python.parent().unwrap().display());
        command.env_clear().current_dir(self.path("work")).env("PATH", path);
        command.env("HOME", self.path("home")).env("TMPDIR", self.path("tmp")).env("LANG", "C.UTF-8");
        command.env("CREWCALL_STATE_DIR", self.path("state"));
        command.env("CREWCALL_RUNTIME_DIR", self.path("run"));
        command.env("CREWCALL_CACHE_DIR", self.path("cache"));
        command.env("CREWCALL_CONTROLLER_LINGER", "1");
        // Two processors compile and test other things meanwhile.
        command.env("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "60s");
        command
    }

    /// The program under test.
    pub fn crewcall(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_crewcall"));
        command.args(arguments);
        command
    }

    /// Runs the program under test to its end.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        run(self.crewcall(arguments))
    }

    /// Runs the program under test, which must succeed; what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).ok()
    }

    /// Creates a cluster from [`Self::document`].
    pub fn create(&self, name: &str, spec: &str) -> String {
        let document = self.document(name, spec);
        self.ok(&["create", "-f", document.to_str().unwrap()])
    }

    /// A Python program that connects to a cluster.
    pub fn client(&self, cluster: &str, script: &str) -> Command {
        let mut command = self.crewcall(&["run", cluster, "--"]);
        command.arg(&self.python).args(["-c", script]);
        command
    }

    /// Runs a Python program that connects to a cluster; what it printed.
    pub fn python(&self, cluster: &str, script: &str) -> String {
        run(self.client(cluster, script)).ok()
    }

    /// What is shown of a cluster.
    pub fn view(&self, cluster: &str) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["get", cluster, "-o", "json"])).unwrap()
    }

    /// Waits until a cluster's condition is as wanted.
    pub fn until_condition(&self, cluster: &str, kind: &str, status: &str) -> serde_json::Value {
        until(&format!("condition {kind}={status} of {cluster}"), || {
            let view = self.view(cluster);
            let found = view["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)?;
            (found["status"] == status).then(|| found.clone())
        })
    }

    /// The controller's process.
    pub fn controller(&self) -> Option<Pid> {
        let status: serde_json::Value =
            serde_json::from_str(&self.ok(&["controller", "status", "-o", "json"])).unwrap();
        Pid::from_raw(i32::try_from(status["status"]["pid"].as_i64()?).unwrap())
    }

    /// The hosts that a cluster has claimed: process and the cluster's name.
    pub fn hosts(&self) -> BTreeMap<i32, Option<String>> {
        let mut hosts = BTreeMap::new();
        for (pid, command) in self.processes() {
            if !command.contains("__host") {
                continue;
            }
            for entry in fs::read_dir(self.path("state/hosts")).into_iter().flatten().flatten() {
                let Ok(text) = fs::read_to_string(entry.path().join("host.json")) else { continue };
                let record: serde_json::Value = serde_json::from_str(&text).unwrap();
                if record["process"]["pid"] == pid {
                    let name = record["claimedBy"]["name"].as_str().map(str::to_owned);
                    hosts.insert(pid, name);
                }
            }
        }
        hosts
    }

    /// The process of the host of that cluster.
    pub fn host_of(&self, cluster: &str) -> Pid {
        let hosts = self.hosts();
        let found: Vec<_> = hosts.iter().filter(|(_, name)| name.as_deref() == Some(cluster)).collect();
        assert_eq!(found.len(), 1, "hosts of {cluster}: {hosts:?}");
        Pid::from_raw(*found[0].0).unwrap()
    }

    /// Processes that belong to this test, by what they were started with.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let mark = self.root.path().as_os_str().as_encoded_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
            let (environment, command) = (read("environ"), read("cmdline"));
            let ours = |bytes: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
            if ours(&environment) || ours(&command) {
                let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
                found.push((pid, words.join(" ")));
            }
        }
        found
    }

    /// Whatever lies in the test's directories beyond what may stay.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (directory, kept) in [
            ("run", &[][..]),
            ("tmp", &[]),
            (
                "state",
                &[
                    "controller.log",
                    "store.lock",
                    "clusters",
                    "clusters/.since",
                    "forwarders",
                    "hosts",
                    "installation",
                    "machine-id",
                ],
            ),
        ] {
            for path in below(&self.path(directory)) {
                let name = path.strip_prefix(self.path(directory)).unwrap().display().to_string();
                let lock =
                    name.starts_with("controller-") && path.extension().is_some_and(|kind| kind == "lock");
                // The history of what has ended is kept for whoever asks.
                let history = name == "past" || name.starts_with("past/");
                if !lock && !history && !kept.contains(&name.as_str()) {
                    left.push(format!("{directory}/{name}"));
                }
            }
        }
        left
    }

    /// Ends everything the way a person would, and looks for what is left.
    fn finish(&self) {
        self.ok(&["delete", "--all"]);
        self.nothing_is_left();
    }

    /// Waits until the controller has ended by itself, and with it all that it needed.
    pub fn nothing_is_left(&self) {
        let begun = Instant::now();
        loop {
            let (processes, files) = (self.processes(), self.leftovers());
            if processes.is_empty() && files.is_empty() {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "left behind: processes {processes:#?}, files {files:#?}"
            );
            sleep(LOOK);
        }
    }

    /// All that may explain a failure.
    fn describe(&self) -> String {
        let mut text = format!("==== {} ====\n", self.root.path().display());
        for (pid, command) in self.processes() {
            let _ = writeln!(text, "process {pid}: {command}");
        }
        for path in below(&self.path("state")) {
            let interesting = path.extension().is_some_and(|kind| kind == "log" || kind == "jsonl")
                || path.ends_with("record.json");
            if let (true, Ok(content)) = (interesting, fs::read_to_string(&path)) {
                let lines: Vec<&str> = content.lines().collect();
                let shown = lines.split_at(lines.len().saturating_sub(60)).1.join("\n");
                let _ = writeln!(text, "---- {}\n{shown}", path.display());
            }
        }
        text
    }

    fn kill_everything(&self) {
        // A controller that dies first starts nothing anew.
        for _ in 0..3 {
            for (pid, _) in self.processes() {
                let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
            }
            sleep(LOOK);
        }
    }
}

/// Every file, socket and directory below a directory.
pub fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        found.push(entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(below(&entry.path()));
        }
    }
    found.sort();
    found
}

/// The permission bits of a file.
pub fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Ends a process as nothing can prevent, and waits until it is gone.
pub fn kill_9(pid: Pid) {
    kill_process(pid, Signal::KILL).unwrap();
    until("the end of a killed process", || is_dead(pid).then_some(()));
}

/// Whether a process is no more, not even to be reaped.
pub fn is_gone(process: Pid) -> bool {
    !fs::exists(format!("/proc/{}", process.as_raw_nonzero())).unwrap()
}

/// Waits for the end of a process.
pub fn until_gone(process: Pid) {
    until(&format!("the end of process {}", process.as_raw_nonzero()), || is_gone(process).then_some(()));
}

fn is_dead(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// Starts a program whose output can be read while it runs.
pub fn start(mut command: Command) -> Running {
    let said = format!("{command:?}");
    // Files, not pipes: a process that outlives the program may have inherited them.
    let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command.stdin(Stdio::null());
    command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let child = command.spawn().unwrap_or_else(|error| panic!("{said}: {error}"));
    Running { child, stdout, stderr, said }
}

/// Runs a program to its end.
pub fn run(command: Command) -> Outcome {
    start(command).end()
}

fn content(file: &File) -> String {
    let mut file = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file))).unwrap();
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has printed.
    pub fn stdout(&self) -> String {
        content(&self.stdout)
    }

    /// What it has said.
    pub fn stderr(&self) -> String {
        content(&self.stderr)
    }

    /// Waits until it has printed a line that begins so.
    pub fn until_printed(&mut self, beginning: &str) -> String {
        let what = format!("`{beginning}` from {}", self.said);
        until(&what, || {
            let line = |text: &str| text.lines().find(|line| line.starts_with(beginning)).map(str::to_owned);
            let found = line(&self.stdout()).or_else(|| line(&self.stderr()));
            let ended = self.child.try_wait().unwrap();
            assert!(found.is_some() || ended.is_none(), "{what}: ended with {}", self.stderr());
            found
        })
    }

    /// Waits for its end.
    pub fn end(mut self) -> Outcome {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > 2 * BOUND {
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!("{} hangs; it said {}{}", self.said, self.stdout(), self.stderr());
            }
            sleep(LOOK);
        };
        let (stdout, stderr) = (self.stdout(), self.stderr());
        Outcome { code: status.code(), status, stdout, stderr, said: self.said }
    }
}

impl Outcome {
    /// What it printed, if it succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}{}", self.said, self.stdout, self.stderr);
        self.stdout
    }

    /// What it said, if it failed with that code.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}\n{}{}", self.said, self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self.stderr
    }

    /// Whether a signal ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

/// A line in a file for each call; how many there are.
pub fn lines_of(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

/// Makes a file that a script waits for.
pub fn touch(path: &Path) {
    OpenOptions::new().create(true).append(true).open(path).unwrap();
}
