"""The double and its registry: up, down, and whether anything is left."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import images, machine_image, plugin, settings

START_BOUND = 30.0
"""Seconds that the double has to answer."""

END_BOUND = 60.0
"""Seconds that it has to end its hosts."""

_SYSTEM = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "iptables": "iptables",
    "iptables-restore": "iptables",
    "busybox": "busybox-static",
}
_RECORD = settings.STATE / "record.json"


class LabError(Exception):
    """The double could not be brought up or down."""


def prepare() -> None:
    """Installs, compiles and makes whatever is not there.

    Raises:
        LabError: Not root, or a program is missing or failed.
    """
    if os.geteuid() != 0:
        raise LabError("hosts that really boot need root")
    missing = {package for program, package in _SYSTEM.items() if not shutil.which(program)}
    if missing:
        if not shutil.which("apt-get"):
            raise LabError(f"these packages are not installed: {', '.join(sorted(missing))}")
        print(f"installing {', '.join(sorted(missing))}", file=sys.stderr)
        _checked(["apt-get", "update", "-q"])
        _checked(["apt-get", "install", "-q", "-y", "--no-install-recommends", *sorted(missing)])
    machine_image.build()
    images.build()
    plugin.build()
    program()


def program() -> Path:
    """The double's program, compiled."""
    _checked(["cargo", "build", "--quiet", "--package", "ec2-double"], cwd=settings.CHECKOUT)
    target = os.environ.get("CARGO_TARGET_DIR", str(settings.CHECKOUT / "target"))
    return Path(target) / "debug" / "ec2-double"


def up() -> None:
    """Starts the double with hosts that really boot, and the registry beside it.

    Raises:
        LabError: It runs already, or did not start.
    """
    with _lock():
        if _alive():
            raise LabError("the double runs already")
        if left := leftovers():
            raise LabError(f"something is left of an earlier one (`run down` removes it): {', '.join(left)}")
        binary = program()
        image = machine_image.build()
        if not images.there():
            images.build()
        plugin.build()
        settings.STATE.mkdir(parents=True)
        environment = os.environ | {"AWS_EC2_METADATA_DISABLED": "true"}
        with open(settings.STATE / "log", "ab") as log:
            address = f"{settings.GATEWAY}:{settings.API_PORT}"
            double = subprocess.Popen(
                [str(binary), "--listen", address, "--image", str(image), "--state", str(settings.STATE)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
            record = {"double": _identity(double.pid)}
            _RECORD.write_text(json.dumps(record))
            _wait_for(f"{settings.URL}/_echo", double)
            registry = images.registry(log)
            _RECORD.write_text(json.dumps(record | {"registry": _identity(registry.pid)}))
            _wait_for(f"http://{settings.GATEWAY}:{settings.REGISTRY_PORT}/v2/", registry)


def down() -> None:
    """Ends the double in good order, then removes whatever is left, of one that was killed too.

    Raises:
        LabError: Something would not go away.
    """
    with _lock():
        for pid in reversed(list(_alive().values())):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + END_BOUND
        while _alive():
            if time.monotonic() > deadline:
                for pid in _alive().values():
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        _sweep()
        if left := leftovers():
            raise LabError(f"would not go away: {', '.join(left)}")


def status() -> int:
    """Prints what runs; 1 when nothing does."""
    alive = _alive()
    for name, pid in alive.items():
        print(f"{name}: process {pid}")
    if "double" in alive:
        with urllib.request.urlopen(f"{settings.URL}/_control/report", timeout=5) as answer:
            print(json.dumps(json.load(answer), indent=2))
        return 0
    for line in leftovers():
        print(f"left behind: {line}")
    print("down")
    return 1


def environment() -> dict[str, str]:
    """What a client on this machine, or an instance, uses the double with."""
    return {
        "CREWCALL_TEST_EC2": settings.URL,
        "CREWCALL_TEST_EC2_STATE": str(settings.STATE),
        "CREWCALL_TEST_EC2_TOOLS": str(plugin.directory()),
        "CREWCALL_TEST_EC2_REGISTRY": f"{settings.GATEWAY}:{settings.REGISTRY_PORT}",
        "AWS_ENDPOINT_URL": settings.URL,
        "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def leftovers() -> list[str]:
    """What of a double is on this machine while none runs."""
    left = [f"link {settings.BRIDGE}"] if Path("/sys/class/net", settings.BRIDGE).exists() else []
    left += [f"network namespace {name}" for name in _namespaces()]
    left += [f"mount {point}" for point in _mounts()]
    left += [f"cgroup {group}" for group in _cgroups()]
    left += [f"process {pid}" for pid in _members()]
    left += [str(settings.STATE)] if settings.STATE.exists() else []
    return left


def _sweep() -> None:
    for pid in _members():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + END_BOUND
    while _members() and time.monotonic() < deadline:
        time.sleep(0.05)
    for name in _namespaces():
        subprocess.run(["ip", "netns", "delete", name], check=False)
    if Path("/sys/class/net", settings.BRIDGE).exists():
        subprocess.run(["ip", "link", "delete", settings.BRIDGE], check=False)
    for point in _mounts():
        subprocess.run(["umount", "--lazy", point], check=False)
    for group in _cgroups():
        for directory in sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True):
            directory.rmdir()
        group.rmdir()
    shutil.rmtree(settings.STATE, ignore_errors=True)


def _namespaces() -> list[str]:
    """Those of instances: nobody else names one so."""
    try:
        names = os.listdir("/run/netns")
    except FileNotFoundError:
        return []
    return sorted(name for name in names if name.startswith("i-0") and len(name) == 19)


def _cgroups() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    found = [p / settings.BRIDGE for p in [root, *(h for h in root.iterdir() if h.is_dir())]]
    return [path for path in found if path.is_dir()]


def _members() -> list[int]:
    """Every process in a cgroup of a host."""
    found: set[int] = set()
    for group in _cgroups():
        for members in group.rglob("cgroup.procs"):
            try:
                found.update(int(pid) for pid in members.read_text().split())
            except OSError:
                continue
    return sorted(found - {0})


def _mounts() -> list[str]:
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [point for point in reversed(points) if point.startswith(f"{settings.STATE}/")]


def _identity(pid: int) -> list[int]:
    """A process, told apart from a later one of the same number by when it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return [pid, int(fields[19])]


def _alive() -> dict[str, int]:
    """The processes of the record that run."""
    try:
        record = json.loads(_RECORD.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    found = {}
    for name, (pid, began) in record.items():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            if _identity(pid) == [pid, began] and state != "Z":
                found[name] = pid
        except FileNotFoundError:
            continue
    return found


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_BOUND
    last: object = "nothing"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LabError(
                f"{url}: ended with {process.returncode}: {(settings.STATE / 'log').read_text()[-1000:]}"
            )
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError as error:
            last = error
        time.sleep(0.05)
    raise LabError(f"{url} did not answer within {START_BOUND:.0f} s; last: {last}")


@contextmanager
def _lock() -> Iterator[None]:
    with open("/run/lock/crewcall-test-ec2", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _checked(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
