"""A cluster comes up once, recovers from any death, and leaves nothing. Shown on one beside the first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import HERE, eventually

INSTANCE = "3"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("CREWCALL_TEST_KUBE")}
ENVIRONMENT["CREWCALL_TEST_KUBERNETES_INSTANCE"] = INSTANCE
NAME = f"crewcall-test-{INSTANCE}"
STATE = Path(f"/var/lib/{NAME}-kubernetes")

Verb = Callable[..., subprocess.CompletedProcess]

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or "CREWCALL_TEST_REGISTRY" not in os.environ,
    reason="needs root, and the programs of a cluster made here",
)


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, str(HERE / "cluster.py"), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=ENVIRONMENT, text=True, **pipes)


def verb(*arguments: str) -> subprocess.CompletedProcess:
    process = start(*arguments)
    output, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    verb("down", "--force")
    before = traces()
    yield
    done = verb("down", "--force")
    assert done.returncode == 0, done.stderr
    assert traces() == before
    assert verb("status").stdout == "down\n"


def traces() -> dict[str, str]:
    """All that a cluster could change on this machine, but what other tests change all the time."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]

    def lines(*command: str) -> str:
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return "\n".join(sorted(line for line in output.splitlines() if "cache" not in line))

    return {
        "links": lines("ip", "-o", "-br", "link"),
        "routes": lines("ip", "route"),
        "namespaces": lines("ip", "netns", "list"),
        "mounts": "\n".join(point for point in mounts if not point.startswith("/tmp/")),
        "cgroups": str(sorted(str(p) for p in Path("/sys/fs/cgroup").glob("*/crewcall-test*"))),
        "directories": str(
            sorted(str(p) for where in ("/run", "/var/lib", "/var/log") for p in Path(where).iterdir())
        ),
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
    }


def members() -> list[int]:
    listed = subprocess.run(["ip", "netns", "pids", NAME], capture_output=True, text=True)
    return [int(pid) for pid in listed.stdout.split()]


def first_process() -> int:
    """The one process that every other of the cluster descends from, seen from outside."""
    inits = [
        pid
        for pid in members()
        if Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].split()[1] == "1"
    ]
    assert len(inits) == 1
    return inits[0]


def is_up() -> bool:
    return verb("status").returncode == 0


def test_up_is_fine_twice_and_so_is_down() -> None:
    assert verb("up").returncode == 0
    first = first_process()
    again = verb("up")
    assert again.returncode == 0 and "export CREWCALL_TEST_KUBECONFIG=" in again.stdout
    assert first_process() == first
    assert verb("down").returncode == 0
    assert verb("down").returncode == 0


def test_up_recovers_when_everything_was_killed() -> None:
    assert verb("up").returncode == 0
    os.kill(first_process(), signal.SIGKILL)
    eventually("every process to end", lambda: not members())
    assert not is_up()
    assert verb("up").returncode == 0
    assert is_up()


def test_up_recovers_from_an_up_that_was_killed_at_any_moment() -> None:
    moments: list[Callable[[], bool]] = [
        lambda: (STATE / "pki").exists(),
        lambda: Path("/run/netns", NAME).exists(),
        lambda: len(members()) > 3,
    ]
    for moment in moments:
        verb("down")
        process = start("up")
        eventually("the moment to kill it", moment)
        process.kill()
        process.communicate()
    assert verb("up").returncode == 0
    assert is_up()


def test_a_component_that_dies_is_started_again() -> None:
    assert verb("up").returncode == 0
    for name in ("kube-apiserver", "etcd", "kubelet", "containerd"):
        (victim,) = [pid for pid in members() if Path(f"/proc/{pid}/comm").read_text().strip() == name[:15]]
        os.kill(victim, signal.SIGKILL)
    eventually("the restarts", lambda: verb("status").stdout.count("restarted") >= 4)
    eventually("the node to be ready again", is_up, bound=120)


def test_run_takes_down_what_it_brought_up_and_only_that() -> None:
    first = start("run", "--", "sleep", "1000")
    eventually("the cluster", lambda: verb("status").returncode == 0, bound=120)
    second = verb("run", "--", "sh", "-c", "exit 7")
    assert second.returncode == 7
    assert is_up(), "the first still uses it"
    refused = verb("down")
    assert refused.returncode != 0 and "tests run on the cluster" in refused.stderr
    first.terminate()
    first.communicate(timeout=60)
    assert not members()
    assert verb("up").returncode == 0
    assert verb("run", "--", "true").returncode == 0
    assert is_up(), "up made it stay"
