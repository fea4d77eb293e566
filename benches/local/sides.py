"""Starts the user's program (`side.py`) for either side, and reads what it says."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installation import MEMORY_LIMIT, Installation, plain_environment

BOUND = 240.0
"""Seconds that a program may take to say something; enough for a busy machine."""

PROGRAM = str(Path(__file__).parent / "side.py")


class ProgramFailed(RuntimeError):
    """The program ended without saying anything."""


@dataclass(frozen=True)
class Rival:
    """A way to run LocalCluster.

    Args:
        name: For the table.
        method: How its processes are made: "spawn", its default, or "forkserver".
        dashboard: Whether it has one, as by default.
    """

    name: str
    method: str = "spawn"
    dashboard: bool = True


DEFAULT = Rival("LocalCluster's default")
FASTEST = Rival("LocalCluster, forkserver, no dashboard", method="forkserver", dashboard=False)
ENCRYPTED = Rival("LocalCluster with TLS")
"""Takes the certificates of Crewcall's cluster, so that both sides do the same cryptography."""


@dataclass
class Said:
    """What a program said first, and when.

    Args:
        seconds: From before its process was made.
        result: The line.
        pid: Of the program.
        process: To speak to it.
    """

    seconds: float
    result: dict[str, Any]
    pid: int
    process: subprocess.Popen[str]


def local_options(
    rival: Rival, workers: int, task: str, certificates: str | None, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Return the program's options for a LocalCluster."""
    return {
        "kind": "local",
        "workers": workers,
        "method": rival.method,
        "certificates": certificates,
        "dashboard": rival.dashboard,
        "memory_limit": MEMORY_LIMIT,
        "task": task,
        "arguments": arguments,
    }


@contextlib.contextmanager
def local(
    python: str,
    rival: Rival,
    workers: int,
    task: str,
    bound: float = BOUND,
    certificates: str | None = None,
    **arguments: Any,
) -> Iterator[Said]:
    """Run a program with a LocalCluster of its own until the context ends."""
    options = local_options(rival, workers, task, certificates, arguments)
    command = [python, PROGRAM, json.dumps(options)]
    with _running(command, plain_environment(python), bound) as said:
        yield said


@contextlib.contextmanager
def crewcall(
    installation: Installation, name: str, workers: int, task: str, bound: float = BOUND, **arguments: Any
) -> Iterator[Said]:
    """Run a program with the cluster `name`, by ``crewcall run``, until the context ends."""
    options = {
        "kind": "crewcall",
        "workers": workers,
        "binary": installation.binary,
        "name": name,
        "task": task,
        "arguments": arguments,
    }
    command = [installation.binary, "run", name, "--", installation.python, PROGRAM, json.dumps(options)]
    with _running(command, installation.environment, bound) as said:
        yield said


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str], bound: float) -> Iterator[Said]:
    begun = time.monotonic()
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    reader.start()
    try:
        line, at = _first_line(process, bound)
        if not line:
            reader.join(5.0)
            raise ProgramFailed(f"no answer within {bound:.0f} s: {''.join(errors)[-2000:]}")
        yield Said(at - begun, json.loads(line), process.pid, process)
    finally:
        _end(process)
        reader.join(5.0)
        if process.returncode not in (0, -signal.SIGKILL) and errors:
            print("".join(errors)[-1000:], file=sys.stderr)


def _first_line(process: subprocess.Popen[str], bound: float) -> tuple[str, float]:
    """Return the first line of stdout that is a JSON object, and when it came."""
    lines: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put((line, time.monotonic()))
        lines.put(("", 0.0))

    threading.Thread(target=read, daemon=True).start()
    end = time.monotonic() + bound
    while True:
        try:
            line, at = lines.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            return "", 0.0
        if not line or line.startswith("{"):
            return line, at


def _end(process: subprocess.Popen[str]) -> None:
    """Let the program end, and see to it that nothing of its session is left."""
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30.0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10.0)
