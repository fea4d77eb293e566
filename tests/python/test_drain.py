"""What SIGTERM means to a worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, Security, wait
from harness import BOUND, PRELOAD, Cluster, eventually

RESULTS = 60
SCATTERED = 25


def make_counting(counter: Path) -> Any:
    """Return a function that notes each of its calls in a file."""
    path = str(counter)

    def counting(number: int, seconds: float = 0.0) -> tuple[int, bytes]:
        import os
        import time

        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, b"%d\n" % number)
        os.close(descriptor)
        time.sleep(seconds)
        return number, b"x" * 50_000

    return counting


def calls(counter: Path) -> int:
    return len(counter.read_text().split()) if counter.exists() else 0


def suspicions(client: Client) -> int:
    def most(dask_scheduler: Any = None) -> int:
        return max([task.suspicious for task in dask_scheduler.tasks.values()] or [0])

    return client.run_on_scheduler(most)


def hold_data(client: Client, counter: Path) -> tuple[list[Any], list[Any]]:
    results = client.map(make_counting(counter), range(RESULTS), pure=False)
    wait(results, timeout=BOUND)
    return results, client.scatter([{"number": n} for n in range(SCATTERED)], hash=False)


def assert_nothing_lost(client: Client, results: list[Any], scattered: list[Any], counter: Path) -> None:
    assert [number for number, _ in client.gather(results)] == list(range(RESULTS))
    assert [piece["number"] for piece in client.gather(scattered)] == list(range(SCATTERED))
    assert calls(counter) == RESULTS, "results were computed again"
    assert suspicions(client) == 0


def test_workers_told_to_stop_one_after_the_other_lose_nothing(
    cluster: Cluster, connect: Any, tmp_path: Path
) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, 1, 2)
    client = connect(3)
    counter = tmp_path / "calls"
    results, scattered = hold_data(client, counter)
    for number in (0, 1):
        cluster.terminate(number)
        assert cluster.exit_code(number, 25) == 0, cluster.log(number)
    assert_nothing_lost(client, results, scattered, counter)


def test_a_running_task_finishes_before_its_worker_goes(
    cluster: Cluster, connect: Any, tmp_path: Path
) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, 1)
    client = connect(2)
    counter = tmp_path / "calls"
    results = client.map(make_counting(counter), range(2), seconds=2.0, pure=False)
    eventually("both tasks run", lambda: calls(counter) == 2)
    cluster.terminate(0)
    assert cluster.exit_code(0, 25) == 0, cluster.log(0)
    assert [number for number, _ in client.gather(results)] == [0, 1]
    assert calls(counter) == 2
    assert suspicions(client) == 0


def test_a_task_longer_than_the_grace_moves_without_suspicion(
    cluster: Cluster, connect: Any, tmp_path: Path
) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, 1, drain_grace=4)
    client = connect(2)
    counter = tmp_path / "calls"
    results = client.map(make_counting(counter), range(2), seconds=8.0, pure=False)
    eventually("both tasks run", lambda: calls(counter) == 2)
    begun = time.monotonic()
    cluster.terminate(0)
    assert cluster.exit_code(0) == 76
    assert time.monotonic() - begun < 5
    assert suspicions(client) == 0
    assert [number for number, _ in client.gather(results)] == [0, 1]


def test_all_workers_at_once_end_within_the_grace_and_say_that_they_lost_data(
    cluster: Cluster, connect: Any, tmp_path: Path
) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, 1, 2, drain_grace=10)
    client = connect(3)
    held = hold_data(client, tmp_path / "calls")
    begun = time.monotonic()
    for number in range(3):
        cluster.terminate(number)
    codes = [cluster.exit_code(number) for number in range(3)]
    assert time.monotonic() - begun < 10.5
    assert 76 in codes
    assert set(codes) <= {0, 76}
    del held


def test_the_last_worker_without_data_leaves_cleanly(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0)
    connect(1)
    cluster.terminate(0)
    assert cluster.exit_code(0, 10) == 0


def test_a_worker_whose_scheduler_has_gone_ends_at_once(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0)
    connect(1).close()
    cluster.host.kill(cluster.scheduler)
    cluster.terminate(0)
    # By the signal: the worker had noticed by itself, and was past everything that could handle it.
    assert cluster.exit_code(0, 10) in (0, 76, -signal.SIGTERM)


def test_an_actor_cannot_move_and_the_exit_code_says_so(cluster: Cluster, connect: Any) -> None:
    class Counter:
        def value(self) -> int:
            return 7

    cluster.start_scheduler()
    cluster.start_workers(0, 1, drain_grace=8)
    client = connect(2)
    actor = client.submit(Counter, actor=True, workers=[cluster.worker(0)]).result(timeout=BOUND)
    assert actor.value().result(timeout=BOUND) == 7
    cluster.terminate(0)
    assert cluster.exit_code(0, 12) == 76


def test_a_worker_that_waits_for_its_scheduler_stops_at_once(cluster: Cluster) -> None:
    cluster.address = "tls://127.0.0.1:9"
    cluster.start_workers(0)
    cluster.host.event("forked", cluster.worker(0))
    eventually("the worker looks for its scheduler", lambda: "Waiting to connect" in cluster.log(0))
    cluster.terminate(0)
    assert cluster.exit_code(0, 10) == 0, cluster.log(0)


@pytest.fixture
def command_line(tls: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    """Start Dask's own commands with the preload."""
    files = {}
    for part, text in tls.items():
        files[part] = tmp_path / f"{part}.pem"
        files[part].write_text(text)
    flags = ["--tls-ca-file", files["ca"], "--tls-cert", files["cert"], "--tls-key", files["key"]]
    started: list[subprocess.Popen[bytes]] = []

    def run(command: str, *arguments: Any) -> subprocess.Popen[bytes]:
        log = (tmp_path / f"{command}-{len(started)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{command}", *map(str, [*arguments, *flags])],
            stdout=log,
            stderr=log,
            env={**os.environ, "CREWCALL_DRAIN_GRACE": "20"},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(BOUND)


@pytest.mark.parametrize(
    "mode", [["--no-nanny", "--preload"], ["--nanny", "--preload-nanny"]], ids=["no-nanny", "nanny"]
)
def test_workers_of_dasks_own_command_lose_nothing(
    command_line: Any, mode: list[str], security: Security, tmp_path: Path
) -> None:
    file = tmp_path / "scheduler.json"
    command_line(
        "scheduler",
        "--host",
        "tls://127.0.0.1",
        "--port",
        0,
        "--no-dashboard",
        "--scheduler-file",
        file,
        "--dashboard-address",
        "127.0.0.1:0",
        "--preload",
        PRELOAD,
    )
    eventually("the scheduler's file", lambda: file.exists() and file.read_text().endswith("}"))
    workers = [
        command_line(
            "worker",
            "--scheduler-file",
            file,
            "--host",
            "127.0.0.1",
            "--nthreads",
            1,
            "--no-dashboard",
            "--local-directory",
            tmp_path,
            "--name",
            f"w{number}",
            *mode,
            PRELOAD,
        )
        for number in range(3)
    ]
    with Client(scheduler_file=str(file), security=security, timeout=BOUND) as client:
        client.wait_for_workers(3, timeout=BOUND)
        assert client.sync(client.scheduler.crewcall_status)["protocol"] == 1
        counter = tmp_path / "calls"
        results, scattered = hold_data(client, counter)
        for worker in workers[:2]:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(25) == 0
        assert_nothing_lost(client, results, scattered, counter)
