"""Workers that are started before their scheduler listens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client
from harness import BOUND, PRELOAD, eventually

DEATH_TIMEOUT = 2.0


def a_free_port() -> int:
    """One that was free a moment ago."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def command_line(tmp_path: Path) -> Iterator[Any]:
    """Start Dask's own commands; returns a process and the file of what it says."""
    started: list[subprocess.Popen[bytes]] = []

    def run(command: str, *arguments: Any, **environment: str) -> tuple[subprocess.Popen[bytes], Path]:
        path = tmp_path / f"{command}-{len(started)}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{command}", *map(str, arguments)],
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        started.append(process)
        return process, path

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(BOUND)


def waiting_worker(command_line: Any, tmp_path: Path, address: str, mode: list[str]) -> Any:
    """A worker that says that it waits."""
    own = ["--local-directory", tmp_path, "--death-timeout", DEATH_TIMEOUT, "--no-dashboard"]
    process, log = command_line("worker", address, *own, *mode, PRELOAD, CREWCALL_AWAIT=address)
    eventually("the worker waits", lambda: f"waiting for the scheduler at {address}" in log.read_text())
    return process


@pytest.mark.parametrize(
    "mode", [["--no-nanny", "--preload"], ["--nanny", "--preload-nanny"]], ids=["no-nanny", "nanny"]
)
def test_a_worker_waits_for_longer_than_its_death_timeout_and_then_works(
    command_line: Any, mode: list[str], tmp_path: Path
) -> None:
    port = a_free_port()
    address = f"tcp://127.0.0.1:{port}"
    worker = waiting_worker(command_line, tmp_path, address, mode)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1.5 * DEATH_TIMEOUT)
    command_line("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    with Client(address, timeout=BOUND) as client:
        client.wait_for_workers(1, timeout=BOUND)
        assert client.submit(abs, -7).result(timeout=BOUND) == 7


def test_a_worker_that_waits_ends_when_it_is_told_to(command_line: Any, tmp_path: Path) -> None:
    address = f"tcp://127.0.0.1:{a_free_port()}"
    worker = waiting_worker(command_line, tmp_path, address, ["--no-nanny", "--preload"])
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(5) == 0


def test_a_scheduler_that_never_listens_is_waited_for_no_longer_than_the_limit() -> None:
    address = f"tcp://127.0.0.1:{a_free_port()}"
    script = f"import crewcall_preload; crewcall_preload.await_scheduler({address!r}, 0.5)"
    begun = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=PRELOAD.parent, capture_output=True, text=True, timeout=BOUND
    )
    assert ended.returncode == 1 and time.monotonic() - begun >= 0.5
    assert f"nothing listens at {address} after 0.5 s: " in ended.stderr
