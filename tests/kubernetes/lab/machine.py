"""What of the machine a cluster uses: a network namespace, a link and two routes into it, a cgroup, a directory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import configuration, settings, tools

END_BOUND = 30.0
"""Seconds that processes have to vanish after SIGKILL."""

_MADE = settings.STATE / "made.json"


class MachineError(Exception):
    """The machine refused, or something would not go away."""


def _ip(*arguments: str, check: bool = True) -> str:
    done = subprocess.run([tools.find("ip"), *arguments], capture_output=True, text=True)
    if check and done.returncode:
        raise MachineError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def create_network() -> None:
    """Makes the namespace, and the link and routes by which this machine reaches node, services and pods.

    Nothing leads from the namespace to anywhere but this machine, and no setting of the machine's own network changes.

    Raises:
        MachineError: Another network here uses the addresses.
    """
    name = settings.NAME
    for network in (settings.POD_NETWORK, settings.SERVICE_NETWORK, f"{settings.HOST_ADDRESS}/30"):
        taken = [line for line in _ip("route", "show", "root", network).splitlines() if name not in line]
        if taken:
            raise MachineError(f"the cluster needs {network}, which this machine routes: {taken[0].strip()}")
    _ip("netns", "add", name)
    _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("address", "add", f"{settings.HOST_ADDRESS}/30", "dev", name)
    _ip("link", "set", name, "up")
    _ip("-n", name, "address", "add", f"{settings.NODE_ADDRESS}/30", "dev", "eth0")
    _ip("-n", name, "link", "set", "eth0", "up")
    # kubelet and kube-proxy want a default route, though this machine forwards nothing.
    _ip("-n", name, "route", "add", "default", "via", settings.HOST_ADDRESS)
    for network in (settings.POD_NETWORK, settings.SERVICE_NETWORK):
        _ip("route", "add", network, "via", settings.NODE_ADDRESS, "dev", name)


def start() -> None:
    """Starts the first process, in namespaces of its own, apart from the caller."""
    made = [directory for directory in configuration.HIDDEN if not Path(directory).exists()]
    _MADE.write_text(json.dumps(made))
    for directory in made:
        Path(directory).mkdir(parents=True)
    init = Path(__file__).parent / "init.py"
    # Not `ip netns exec`: that mounts /sys anew, and hides the cgroups.
    enter = [tools.find("nsenter"), f"--net=/run/netns/{settings.NAME}"]
    unshare = [tools.find("unshare"), "--pid", "--fork", "--mount", "--propagation", "private"]
    command = [sys.executable, str(init), str(configuration.COMPONENTS), str(settings.STATE)]
    with open(settings.STATE / "log" / "init.log", "ab") as log:
        subprocess.Popen(
            [*enter, *unshare, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )


def processes() -> list[int]:
    """Every process in the cluster's network namespace or cgroup, found without any record of ours."""
    found = {int(pid) for pid in _ip("netns", "pids", settings.NAME, check=False).split()}
    for group in _cgroups():
        for members in group.rglob("cgroup.procs"):
            try:
                found.update(int(pid) for pid in members.read_text().split())
            except OSError:
                continue
    # 0 stands for a process that another process namespace hides.
    return sorted(found - {0})


def remove() -> None:
    """Ends every process and removes everything; fine to call when there is little or nothing.

    Raises:
        MachineError: Something would not go away.
    """
    _end_processes()
    if f"{settings.NAME}:" in _ip("-o", "link", "show") or f"{settings.NAME}@" in _ip("-o", "link", "show"):
        # The routes go with the link, and so does its other end.
        _ip("link", "delete", settings.NAME)
    if settings.NAME in _ip("netns", "list").split():
        _ip("netns", "delete", settings.NAME)
    for group in _cgroups():
        for directory in sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True):
            directory.rmdir()
        group.rmdir()
    if settings.STATE.exists():
        made = json.loads(_MADE.read_text()) if _MADE.exists() else []
        _unmount_below(settings.STATE)
        shutil.rmtree(settings.STATE)
        for directory in made:
            Path(directory).rmdir()


def leftovers() -> list[str]:
    """What of a cluster is on this machine; empty when there is none."""
    left = [f"process {pid}" for pid in processes()]
    left += [f"link {line.split(':')[1].strip()}" for line in _ip("-o", "link").splitlines() if settings.NAME in line]
    left += [f"route {line}" for line in _ip("route").splitlines() if settings.NAME in line]
    left += [f"network namespace {name}" for name in _ip("netns", "list").split() if name == settings.NAME]
    left += [f"cgroup {group}" for group in _cgroups()]
    left += [f"mount {line.split()[1]}" for line in Path("/proc/mounts").read_text().splitlines() if settings.NAME in line]
    left += [str(settings.STATE)] if settings.STATE.exists() else []
    return left


def _end_processes() -> None:
    deadline = time.monotonic() + END_BOUND
    while pids := processes():
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise MachineError(f"processes did not end within {END_BOUND:.0f} s of SIGKILL: {pids}")
        time.sleep(0.05)


def _cgroups() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    return [p for p in [root / settings.NAME, *(h / settings.NAME for h in root.iterdir())] if p.is_dir()]


def _unmount_below(directory: Path) -> None:
    """Mounts of the cluster live in its own namespace; this is for what a different start has left."""
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        point = line.split()[1]
        if point.startswith(f"{directory}/"):
            subprocess.run([tools.find("umount"), "--lazy", point], check=True)
