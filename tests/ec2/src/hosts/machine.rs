//! One host: its disk, its boot, its end.

use std::{
    fs, io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::{
    command::{CommandError, run},
    keeper::Lab,
};
use crate::state::Instance;

/// How long an orderly power-off may take, before the host is told again.
const ORDERLY: Duration = Duration::from_secs(3);

/// How long it may then take, before it is killed.
const FORCED: Duration = Duration::from_secs(5);

/// Images of containers that all hosts have from their boot on, if somebody has put them there: podman's store of them.
const PULLED: &str = "pulled";

/// Where the machine image's container runtime looks for them.
const PULLED_INSIDE: &str = "/usr/lib/crewcall/pulled";

/// A host, booted or not.
pub(super) struct Machine {
    lab: Lab,
    id: String,
    directory: PathBuf,
}

/// How much of a processor each host may have that boots from now on, if somebody has said so: a number like 0.25.
const PROCESSORS: &str = "processors";

/// Runs what is after the first two words in a cgroup of its own: hosts would share one otherwise. The second word is how many of each
/// 100,000 µs it may have of processors; a host that cannot be held to that does not boot.
const IN_OWN_CGROUP: &str = r#"
for h in /sys/fs/cgroup/*/ /sys/fs/cgroup/; do
  [ -e "$h/cgroup.procs" ] || continue
  case "$h" in */cpuset/) continue ;; esac
  own=$h/crewcall-ec2/$0
  mkdir -p "$own" 2>/dev/null && echo $$ > "$own/cgroup.procs"
  [ -z "$1" ] || ! { echo "$1" > "$own/cpu.cfs_quota_us" || echo "$1 100000" > "$own/cpu.max"; } || held=1
done 2>/dev/null
[ -z "$1" ] || [ -n "$held" ] || { echo "no cgroup holds a host to its processors"; exit 1; }
shift
exec "$@"
"#;

impl Machine {
    pub(super) fn new(lab: &Lab, id: &str) -> Self {
        Self { lab: lab.clone(), id: id.to_owned(), directory: lab.state.join("instances").join(id) }
    }

    fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// The console, which outlives the disk.
    pub(super) fn console(&self) -> PathBuf {
        self.lab.state.join("consoles").join(&self.id)
    }

    /// Boots it: on an empty disk over the image, or on the disk that is there.
    pub(super) async fn boot(&self, instance: &Instance) -> Result<Child, CommandError> {
        self.mount().await?;
        self.lab.network.add(instance).await?;
        self.name(instance).map_err(|error| self.failed("write the host's name", &error))?;
        self.spawn().map_err(|error| self.failed("start systemd-nspawn", &error))
    }

    fn failed(&self, what: &str, error: &io::Error) -> CommandError {
        CommandError { command: format!("{what} of {}", self.id), problem: error.to_string() }
    }

    async fn mount(&self) -> Result<(), CommandError> {
        let part = |name: &str| self.directory.join(name);
        for name in ["upper", "work", "root", "containers"] {
            fs::create_dir_all(part(name)).map_err(|error| self.failed("make the disk", &error))?;
        }
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            self.lab.image.display(),
            part("upper").display(),
            part("work").display()
        );
        run(&["mount", "-t", "overlay", "overlay", "-o", &layers, &self.root().to_string_lossy()]).await
    }

    fn name(&self, instance: &Instance) -> io::Result<()> {
        let name = instance.private_name();
        let host = name.split('.').next().unwrap_or(&name);
        fs::write(self.root().join("etc/hostname"), format!("{host}\n"))?;
        let hosts = format!("127.0.0.1 localhost\n{} {name} {host}\n", instance.private_ip);
        fs::write(self.root().join("etc/hosts"), hosts)
    }

    fn spawn(&self) -> io::Result<Child> {
        let console = self.console();
        if let Some(directory) = console.parent() {
            fs::create_dir_all(directory)?;
        }
        let console = fs::OpenOptions::new().create(true).append(true).open(console)?;
        let mut command = std::process::Command::new("bash");
        let quota = self.quota()?.map_or_else(String::new, |micros| micros.to_string());
        command.args(["-c", IN_OWN_CGROUP, &self.id, &quota, "systemd-nspawn", "--quiet"]);
        command.args([
            "--register=no",
            "--keep-unit",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
        ]);
        command.args(["--console=read-only", "--boot"]);
        command.arg(format!("--directory={}", self.root().display()));
        command.arg(format!("--machine={}", self.id));
        command.arg(format!("--network-namespace-path=/run/netns/{}", self.id));
        // What a host may do to its own network; nspawn takes it away where the namespace is not of its making.
        command.arg("--capability=CAP_NET_ADMIN");
        // Images of containers lie on the machine's own disk: overlays do not lie on overlays.
        command.arg(format!("--bind={}:/var/lib/containers", self.directory.join("containers").display()));
        let pulled = self.lab.state.join(PULLED);
        if pulled.is_dir() {
            command.arg(format!("--bind-ro={}:{PULLED_INSIDE}", pulled.display()));
        }
        command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console).process_group(0);
        let child = Command::from(command).spawn()?;
        fs::write(self.directory.join("pid"), child.id().unwrap_or_default().to_string())?;
        Ok(child)
    }

    /// Of processors, in µs of each 100,000.
    fn quota(&self) -> io::Result<Option<u64>> {
        let said = match fs::read_to_string(self.lab.state.join(PROCESSORS)) {
            Ok(said) => said,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let share = Duration::try_from_secs_f64(said.trim().parse().map_err(io::Error::other)?);
        let micros = share.map_err(io::Error::other)?.as_micros() * 100_000 / 1_000_000;
        u64::try_from(micros).map(Some).map_err(io::Error::other)
    }

    /// Asks it to power off, then tells it, then kills it.
    pub(super) async fn power_off(&self, child: &mut Child) -> io::Result<ExitStatus> {
        for bound in [ORDERLY, FORCED] {
            // What nspawn makes of it: the first is a request, the second an order.
            signal(child.id(), Signal::TERM);
            if let Ok(ended) = tokio::time::timeout(bound, child.wait()).await {
                return ended;
            }
        }
        self.kill(child);
        child.wait().await
    }

    /// As when somebody pulls the plug.
    pub(super) fn kill(&self, child: &Child) {
        for pid in self.members() {
            signal(Some(pid), Signal::KILL);
        }
        signal(child.id(), Signal::KILL);
    }

    /// Every process in the host's cgroups.
    fn members(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for group in self.cgroups() {
            below(&group, &mut |directory| {
                let listed = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
                found.extend(
                    listed.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid > 0),
                );
            });
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        let own = |hierarchy: PathBuf| hierarchy.join("crewcall-ec2").join(&self.id);
        std::iter::once(root.to_owned()).chain(hierarchies).map(own).filter(|path| path.is_dir()).collect()
    }

    /// Removes all but the disk: processes that are left, mounts, namespace, cgroups.
    pub(super) async fn unplug(&self) {
        for pid in self.members() {
            signal(Some(pid), Signal::KILL);
        }
        self.lab.network.take(&self.id).await;
        // It may never have been mounted.
        let _ = run(&["umount", "--lazy", &self.root().to_string_lossy()]).await;
        for _ in 0..100 {
            for group in self.cgroups() {
                // Busy as long as a process that was killed is not gone.
                below(&group, &mut |directory| drop(fs::remove_dir(directory)));
            }
            if self.cgroups().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Removes the disk.
    pub(super) fn forget(&self) {
        // It may be gone.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Each directory below this one and itself, the innermost first.
fn below(directory: &Path, act: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below(&entry.path(), act);
        }
    }
    act(directory);
}

fn signal(pid: Option<u32>, signal: Signal) {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended.
        let _ = kill_process(pid, signal);
    }
}
