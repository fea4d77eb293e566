"""How the end of a scheduler that was started by Dask's own command is told apart: by its exit code."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness import BOUND, PRELOAD, eventually

ENDED_IDLE = 77


@pytest.fixture
def scheduler(tmp_path: Path):
    """Return a function that starts a scheduler with more arguments; kills what still runs at the end."""
    started = []

    def start(*arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = tmp_path / "scheduler.log"
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, "--port", "0", "--no-dashboard", "--preload", str(PRELOAD), *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        return process, log

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_scheduler_that_was_idle_says_so_by_its_exit_code(scheduler):
    process, log = scheduler("--idle-timeout", "1 s")
    assert process.wait(BOUND) == ENDED_IDLE, log.read_text()


def test_a_scheduler_that_is_told_to_stop_ends_as_dask_has_it(scheduler):
    process, log = scheduler("--idle-timeout", "10 minutes")
    eventually("the scheduler listens", lambda: "Scheduler at" in log.read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(BOUND) == 0, log.read_text()
