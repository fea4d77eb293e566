"""What the tests share: the command line, other Pythons, waiting for a condition."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from crewcall.program import find_program

# Seconds that anything may take on a busy machine.
BOUND = 120.0

# What a program of examples/workloads needs beyond Dask itself.
NEEDS = {
    "arrays": ["numpy"],
    "dataframes": ["pandas", "pyarrow"],
    "machine_learning": ["dask_ml", "sklearn"],
    "gradient_boosting": ["xgboost"],
    "report": ["numpy", "bokeh"],
}


def crewcall(*arguments: str, check: bool = True) -> str:
    """Run the command line; what it prints."""
    done = subprocess.run([find_program(), *arguments], capture_output=True, text=True, timeout=BOUND)
    if check:
        assert done.returncode == 0, f"crewcall {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def names() -> list[str]:
    """The clusters that there are, and that are not being deleted."""
    listed = json.loads(crewcall("list", "-o", "json"))
    views = [entry.get("cluster", entry) for entry in listed]
    return [view["name"] for view in views if view["phase"] != "Deleting"]


def view(name: str) -> dict[str, Any]:
    """What the controller says of a cluster."""
    found: dict[str, Any] = json.loads(crewcall("get", name, "-o", "json"))
    return found


def start_python(program: str, *arguments: str, stderr: int = subprocess.STDOUT) -> subprocess.Popen[str]:
    """Start a program in a Python of its own, with standard input and output as pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )


def run_python(program: str, *arguments: str) -> str:
    """Run a program in a Python of its own; what it prints, without what Dask says on standard error."""
    process = start_python(program, *arguments, stderr=subprocess.PIPE)
    try:
        printed, errors = process.communicate(timeout=BOUND)
    except subprocess.TimeoutExpired:
        # With what it has forked.
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, printed + errors
    return printed


def expect_line(process: subprocess.Popen[str], expected: str) -> None:
    """Read what a program prints until a line that is ``expected``."""
    assert process.stdout
    seen = []
    for line in process.stdout:
        if line.strip() == expected:
            return
        seen.append(line)
    raise AssertionError(f"it ended without {expected!r}: {''.join(seen)}")


def wait_until(
    condition: Callable[[], object], describe: Callable[[], str] = lambda: "", bound: float = BOUND
) -> None:
    """Wait for a condition, at most ``bound`` seconds."""
    deadline = time.monotonic() + bound
    while not condition():
        assert time.monotonic() < deadline, f"not within {bound:g} s: {describe()}"
        time.sleep(0.05)


def processes_of(root: Path | None) -> list[str]:
    """Processes other than this one that were started with this state directory; without one, this test's."""
    state = f"{root}/state" if root is not None else os.environ["CREWCALL_STATE_DIR"]
    marker = f"CREWCALL_STATE_DIR={state}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if marker in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                if command:
                    found.append(f"{entry.name} {command}")
        except OSError:
            continue
    return found


def workloads() -> list[Path]:
    """The programs of ``examples/workloads``."""
    return sorted((Path(__file__).parents[2] / "examples" / "workloads").glob("*.py"))


def run_workload(path: Path, cluster: str, environment: Mapping[str, str] | None = None) -> None:
    """Run such a program on a cluster; it checks its results by itself."""
    missing = [module for module in NEEDS.get(path.stem, ()) if importlib.util.find_spec(module) is None]
    if missing:
        assert "CREWCALL_TEST_WORKLOADS" not in os.environ, f"{missing} must be installed"
        pytest.skip(f"SKIPPED: {path.name} needs {', '.join(missing)}")
    command = [find_program(), "run", cluster, "--", sys.executable, "-W", "ignore", str(path)]
    surroundings = {**os.environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND, env=surroundings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip(), "it says what it found"
