"""A user's program, the same for both sides: connects to a cluster, does one thing, prints one JSON line.

Run as ``python side.py OPTIONS`` with a JSON object:

- ``kind``: "local" makes a LocalCluster, "crewcall" takes the cluster that the environment names.
- ``workers``; of a LocalCluster also ``method`` ("spawn" | "forkserver"), ``dashboard`` (bool),
  ``memory_limit`` (bytes) and ``certificates``: a folder with ``authority.pem``, ``client.pem`` and
  ``client-key.pem``, or null for no TLS.
- of Crewcall: ``binary`` and ``name``, for what is done by command.
- ``task``: a key of `TASKS`; ``arguments``: its keyword arguments.

Modules are imported late: a spawned worker of a LocalCluster imports this file as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

BOUND = 120.0
"""Seconds that anything here may take."""


def security(certificates: str | None) -> Any:
    """Return what makes everybody use one certificate; None: no encryption."""
    if certificates is None:
        return None
    from distributed.security import Security

    files = {"cert": "client.pem", "key": "client-key.pem"}
    roles = {
        f"tls_{role}_{part}": os.path.join(certificates, file)
        for role in ("client", "scheduler", "worker")
        for part, file in files.items()
    }
    authority = os.path.join(certificates, "authority.pem")
    return Security(require_encryption=True, tls_ca_file=authority, **roles)


class Local:
    """A LocalCluster and its client."""

    def __init__(self, options: dict[str, Any]) -> None:
        import dask

        dask.config.set({"distributed.worker.multiprocessing-method": options["method"]})
        from distributed import Client, LocalCluster

        self.cluster = LocalCluster(
            n_workers=options["workers"],
            threads_per_worker=1,
            processes=True,
            memory_limit=options["memory_limit"],
            dashboard_address="127.0.0.1:0" if options["dashboard"] else None,
            security=security(options["certificates"]),
        )
        self.client = Client(self.cluster)
        self.client.wait_for_workers(options["workers"])

    def scale(self, workers: int) -> None:
        """Return when the scheduler has so many workers."""
        self.cluster.scale(workers)
        end = time.monotonic() + BOUND
        while len(self.cluster.scheduler.workers) != workers:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self.cluster.scheduler.workers)} workers instead of {workers}")
            time.sleep(0.002)

    def close(self) -> None:
        """End both."""
        self.client.close()
        self.cluster.close()


class Crewcall:
    """The client of a cluster of Crewcall's."""

    def __init__(self, options: dict[str, Any]) -> None:
        from distributed import Client

        self.options = options
        self.client = Client()
        self.client.wait_for_workers(options["workers"])

    def scale(self, workers: int) -> None:
        """Return when the command says that it is done."""
        command = [self.options["binary"], "-q", "scale", self.options["name"], str(workers)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=BOUND)

    def close(self) -> None:
        """Close the client; the cluster lives on."""
        self.client.close()


# --- What workers do ----------------------------------------------------------------------------------------


def increment(number: int) -> int:
    """Return the next number: a task of no size."""
    return number + 1


def make(number: int, size: int, journal: str) -> bytes:
    """Return `size` bytes, and note in `journal` that they were computed."""
    with open(journal, "ab", buffering=0) as file:
        file.write(b"%d\n" % number)
    return os.urandom(size)


def block(row: int, column: int, size: int) -> bytes:
    """Return one block of a table."""
    return os.urandom(size)


def join(blocks: list[bytes]) -> int:
    """Return how many bytes the blocks of a column have."""
    return sum(len(part) for part in blocks)


# --- What is measured ---------------------------------------------------------------------------------------


def connected(side: Any) -> dict[str, Any]:
    """Be there."""
    return {"workers": len(side.client.scheduler_info()["workers"])}


def hold(side: Any) -> dict[str, Any]:
    """Be there until somebody says so on stdin."""
    print(json.dumps({"pid": os.getpid()}), flush=True)
    sys.stdin.readline()
    return {}


def scale_up(side: Any, to: int) -> dict[str, Any]:
    """Scale and say how long that took."""
    begun = time.monotonic()
    side.scale(to)
    return {"seconds": time.monotonic() - begun}


def scale_down(side: Any, to: int, count: int, size: int, baseline: bool) -> dict[str, Any]:
    """Scale down while results are held; say how long that took, what moved, and what was computed again.

    With `baseline`, first have tasks fetch as many bytes over the same ways.
    """
    moving = fetch_everything(side.client, to, count, size) if baseline else None
    with tempfile.TemporaryDirectory() as directory:
        journal = os.path.join(directory, "journal")
        futures = held(side.client, count, size, journal)
        begun = time.monotonic()
        side.scale(to)
        seconds = time.monotonic() - begun
        total = sum(side.client.gather(side.client.map(len, futures, pure=False)))
        with open(journal) as file:
            computed = len(file.readlines())
    return {
        "seconds": seconds,
        "complete": total == count * size,
        "recomputed": computed - count,
        "moving": moving,
    }


def held(client: Any, count: int, size: int, journal: str) -> list[Any]:
    """Return `count` results of `size` bytes that lie in the workers."""
    from distributed import wait

    futures = client.map(make, range(count), size=size, journal=journal, pure=False)
    wait(futures, timeout=BOUND)
    return futures


def fetch_everything(client: Any, to: int, count: int, size: int) -> float:
    """Return the seconds that `to` workers need to fetch what all others hold, as dependencies of tasks."""
    from distributed import wait

    with tempfile.TemporaryDirectory() as directory:
        futures = held(client, count, size, os.path.join(directory, "journal"))
        keepers = sorted(client.has_what())[:to]
        where = client.who_has(futures)
        moving = [future for future in futures if not set(where[future.key]) & set(keepers)]
        begun = time.monotonic()
        fetched = [
            client.submit(len, future, workers=[keepers[number % to]], pure=False)
            for number, future in enumerate(moving)
        ]
        wait(fetched, timeout=BOUND)
        seconds = time.monotonic() - begun
        del fetched, moving, futures
    end = time.monotonic() + BOUND
    while any(client.has_what().values()) and time.monotonic() < end:
        time.sleep(0.05)
    return seconds


def restart(side: Any, limit: float) -> dict[str, Any]:
    """Restart all workers and use one; says why where that is refused."""
    client = side.client
    assert client.submit(increment, 0).result(BOUND) == 1
    begun = time.monotonic()
    try:
        client.restart(timeout=limit)
        answer = client.submit(increment, 1, pure=False).result(BOUND)
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {str(error)[:200]}"}
    assert answer == 2
    return {"seconds": time.monotonic() - begun}


def throughput(side: Any, tasks: int, repeats: int, rows: int, size: int) -> dict[str, Any]:
    """Run many small tasks, then a transfer from all to all; say how long each took, the medians."""
    import statistics

    client = side.client
    client.gather(client.map(increment, range(tasks // 4), pure=False))
    small, transfer = [], []
    for _ in range(repeats):
        begun = time.monotonic()
        client.gather(client.map(increment, range(tasks), pure=False))
        small.append(time.monotonic() - begun)
    for _ in range(repeats):
        transfer.append(transpose(client, rows, size))
    return {"small": statistics.median(small), "transfer": statistics.median(transfer)}


def transpose(client: Any, rows: int, size: int) -> float:
    """Return the seconds in which each worker fetches its column of blocks from those that have the rows."""
    from distributed import wait

    workers = sorted(client.has_what())
    table = [
        [
            client.submit(block, row, column, size, workers=[workers[row % len(workers)]], pure=False)
            for column in range(rows)
        ]
        for row in range(rows)
    ]
    wait([part for line in table for part in line], timeout=BOUND)
    begun = time.monotonic()
    joined = [
        client.submit(
            join, [line[column] for line in table], workers=[workers[column % len(workers)]], pure=False
        )
        for column in range(rows)
    ]
    assert sum(client.gather(joined)) == rows * rows * size
    return time.monotonic() - begun


TASKS = {
    "connected": connected,
    "hold": hold,
    "scale_up": scale_up,
    "scale_down": scale_down,
    "restart": restart,
    "throughput": throughput,
}


def main() -> None:
    """Do what the argument says."""
    options = json.loads(sys.argv[1])
    side = (Local if options["kind"] == "local" else Crewcall)(options)
    try:
        result = TASKS[options["task"]](side, **options.get("arguments", {}))
        print(json.dumps(result), flush=True)
    finally:
        side.close()


if __name__ == "__main__":
    main()
