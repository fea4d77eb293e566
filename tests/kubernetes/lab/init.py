"""The first process of the cluster's process and mount namespaces, inside its network namespace.

Run as `init.py COMPONENTS STATE`. It prepares the namespaces, starts the components in order, starts again
what ends, and adopts what they leave. Killing it ends every process and every mount of the cluster.

It imports nothing of ours, so that it goes on when the checkout is gone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

SYSCTLS = {
    "ipv4/ip_forward": "1",
    "bridge/bridge-nf-call-iptables": "1",
    # The machine next door gets no refusal else: one reply a second goes there, and redirects are the first.
    "ipv4/icmp_ratelimit": "0",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/eth0/send_redirects": "0",
}
"""Of the network namespace, below /proc/sys/net."""

RESTART_AFTER = 1.0
"""Seconds between the end of a component and its next start."""


def prepare(settings: dict, state: Path) -> None:
    """Mounts, forwarding, refusals and cgroups, as the components expect them."""
    # kubelet needs shared mounts; these are a private copy, and nothing of it reaches the machine's.
    run("mount", "--make-rshared", "/")
    run("mount", "-t", "proc", "proc", "/proc")
    # What they would leave behind on the machine: sockets of shims, locks, links to logs, results of CNI.
    for directory in settings["hidden"]:
        run("mount", "-t", "tmpfs", "tmpfs", directory)
    for directory in ("/run/lock", "/run/netns"):
        Path(directory).mkdir(exist_ok=True)
    run("ip", "link", "set", "lo", "up")
    for setting, value in SYSCTLS.items():
        path = Path("/proc/sys/net", setting)
        if path.exists():
            path.write_text(value)
    # A SYN to a service address that kube-proxy has not yet written must be refused. If it were lost, its
    # conntrack entry would have no translation, its repetitions would use that entry, and a Dask worker that
    # starts before its scheduler's service needs 15 to 35 s to connect instead of 3.
    for chain in ("FORWARD", "OUTPUT"):
        reject = ["-j", "REJECT", "--reject-with", "icmp-port-unreachable"]
        run("iptables", "-w", "-A", chain, "-d", settings["service_network"], *reject)
    make_cgroups(settings["cgroup"].strip("/"))


def make_cgroups(name: str) -> None:
    """The cgroup that the kubelet starts from: in each hierarchy of version 1, or in that of version 2."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        (root / name).mkdir(exist_ok=True)
        for directory in (root, root / name):
            for controller in (directory / "cgroup.controllers").read_text().split():
                try:
                    (directory / "cgroup.subtree_control").write_text(f"+{controller}")
                except OSError as error:
                    print(f"cgroup controller {controller}: {error}", flush=True)
        return
    for hierarchy in root.iterdir():
        if not (hierarchy / "cgroup.procs").exists():
            continue
        ours = hierarchy / name
        ours.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (ours / setting).exists():
                (ours / setting).write_text((hierarchy / setting).read_text())


def run(*command: str) -> None:
    """Runs a command of the preparation; its failure is the end."""
    subprocess.run(command, check=True)


class Supervisor:
    """Starts components, and starts them again when they end."""

    def __init__(self, components: list[dict], settings: dict, state: Path) -> None:
        self.components = components
        self.settings = settings
        self.state = state
        self.running: dict[int, tuple[dict, subprocess.Popen]] = {}
        self.due: list[tuple[float, dict]] = [(0.0, c) for c in components if not c["after_api"]]
        self.waiting = [c for c in components if c["after_api"]]
        self.restarts: dict[str, int] = {}
        self.api = ssl.create_default_context(cafile=settings["authority"])
        self.api.load_cert_chain(settings["certificate"], settings["key"])

    def start(self, component: dict) -> None:
        """Starts one component, its output in its log file."""
        log = open(self.state / "log" / f"{component['name']}.log", "ab")  # noqa: SIM115 # The child keeps it.
        process = subprocess.Popen(
            component["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.state
        )
        log.close()
        self.running[process.pid] = component, process

    def adopt_the_dead(self) -> None:
        """Reaps every child that ended, ours or an orphan, and plans the restart of a component."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid not in self.running:
                continue
            component, process = self.running.pop(pid)
            process.returncode = os.waitstatus_to_exitcode(status)
            name = component["name"]
            self.restarts[name] = self.restarts.get(name, 0) + 1
            (self.state / "restarts.json").write_text(json.dumps(self.restarts))
            print(f"{name} ended with {process.returncode}; starts again", flush=True)
            self.due.append((time.monotonic() + RESTART_AFTER, component))

    def api_answers(self) -> bool:
        """Whether the API server is ready."""
        try:
            with urllib.request.urlopen(self.settings["ready"], context=self.api, timeout=2):
                return True
        except OSError:
            return False

    def forever(self) -> None:
        """Never returns: what ends this is SIGKILL from outside."""
        while True:
            self.adopt_the_dead()
            if self.waiting and self.api_answers():
                self.due.extend((0.0, component) for component in self.waiting)
                self.waiting = []
            now = time.monotonic()
            for _, component in [entry for entry in self.due if entry[0] <= now]:
                self.start(component)
            self.due = [entry for entry in self.due if entry[0] > now]
            time.sleep(0.1)


def main() -> None:
    """Reads the components and runs them."""
    state = Path(sys.argv[2])
    settings = json.loads(Path(sys.argv[1]).read_text())
    os.environ["PATH"] = settings["path"]
    for name in ("iptables", "ip", "mount"):
        if shutil.which(name) is None:
            sys.exit(f"{name} is not on {settings['path']}")
    # Python's handler would make it the one signal that a first process is not immune to.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    prepare(settings, state)
    Supervisor(settings["components"], settings, state).forever()


if __name__ == "__main__":
    main()
