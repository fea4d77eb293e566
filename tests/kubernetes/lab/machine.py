"""What a cluster uses of the machine: a network namespace, a link and routes into it, cgroup, directory."""

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


def _ip(*arguments: str) -> str:
    done = subprocess.run([tools.find("ip"), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise MachineError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def create_network() -> None:
    """Makes the namespace, and the link and routes by which this machine reaches node, services and pods.

    Nothing leads from the namespace further than this machine, whose own network keeps its settings.

    Raises:
        MachineError: Another network here uses the addresses.
    """
    name = settings.NAME
    link = settings.HOST_ADDRESS.removesuffix("1") + "0/30"
    for network in (settings.POD_NETWORK, settings.SERVICE_NETWORK, link):
        taken = _ip("route", "show", "root", network).splitlines()
        taken = [line for line in taken if not line.startswith("default")]
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
    found = {int(pid) for pid in (_ip("netns", "pids", settings.NAME).split() if _namespace_exists() else ())}
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
    if _link_exists():
        # The routes go with the link, and so does its other end.
        _ip("link", "delete", settings.NAME)
    if _namespace_exists():
        _ip("netns", "delete", settings.NAME)
    for group in _cgroups():
        for directory in sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True):
            directory.rmdir()
        group.rmdir()
    if settings.STATE.exists():
        made = json.loads(_MADE.read_text()) if _MADE.exists() else []
        # The cluster's mounts are in a namespace of their own: this is for those of another way to start it.
        for point in _mounts_below(settings.STATE):
            subprocess.run([tools.find("umount"), "--lazy", point], check=True)
        shutil.rmtree(settings.STATE)
        for directory in made:
            Path(directory).rmdir()


def leftovers() -> list[str]:
    """What of a cluster is on this machine; empty when there is none."""
    left = [f"process {pid}" for pid in processes()]
    left += [f"link {settings.NAME}"] if _link_exists() else []
    left += [f"route {line.strip()}" for line in _ip("route").splitlines() if settings.NAME in line.split()]
    left += [f"network namespace {settings.NAME}"] if _namespace_exists() else []
    left += [f"cgroup {group}" for group in _cgroups()]
    left += [f"mount {point}" for point in _mounts_below(settings.STATE)]
    left += [str(settings.STATE)] if settings.STATE.exists() else []
    return left


def _link_exists() -> bool:
    return Path("/sys/class/net", settings.NAME).exists()


def _namespace_exists() -> bool:
    return Path("/run/netns", settings.NAME).exists()


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


def _mounts_below(directory: Path) -> list[str]:
    """The innermost first."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [point for point in reversed(points) if point.startswith(f"{directory}/")]
