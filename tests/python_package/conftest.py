"""Fixtures: a state directory of its own for all tests, from which nothing may be left at the end.

The package is the one that can be imported, and the program the one it finds; ``tests/run`` points both at
this checkout.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import crewcall, processes_of, wait_until

_numbers = itertools.count()


@pytest.fixture(scope="session", autouse=True)
def state() -> Iterator[Path]:
    # Short, because a socket's path may not be long.
    root = Path(tempfile.mkdtemp(prefix="cw-py-", dir="/tmp"))
    os.environ["CREWCALL_STATE_DIR"] = str(root / "state")
    os.environ["CREWCALL_RUNTIME_DIR"] = str(root / "run")
    yield root / "state"
    left = crewcall("list", "-o", "name").split()
    crewcall("delete", "--all", "-q")
    crewcall("controller", "stop")
    wait_until(lambda: not processes_of(root), lambda: f"still running: {processes_of(root)}")
    shutil.rmtree(root)
    assert not left, f"clusters that no test has ended: {left}"


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"t{os.getpid()}-{next(_numbers)}"
