"""Holds results on a cluster, computes in the background, and compares all of it with this machine's own.

Runs as ``crewcall run NAME -- python workload.py COUNTS``, where COUNTS is a file that gets a line for each
run of a task. Reads a command in each line of standard input and answers each with a line of JSON:

- ``hold SEED``: compute results, scatter objects and persist an array, and keep them.
- ``start SEED``: begin a computation of three layers, and do not wait for it.
- ``finish``: wait for it and compare.
- ``check``: fetch what is held, compare, count the runs, and let go of it.

An answer has ``checked`` (values compared), ``wrong`` (names of values that differ), ``missing`` (names of
results that cannot be had), ``scattered_lost``, ``again`` (held results that were computed again), ``rerun``
(background tasks that were begun again) and ``suspicious`` (the most deaths that a task is blamed for), or
``error``. The reference values are computed here, without Dask.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dask import array
from distributed import Client, wait

RESULTS = 40
SCATTERED = 15
STREAM = 90
BOUND = 240.0
"""Seconds that any wait may take on a machine that does much else."""


def payload(seed: int, number: int) -> bytes:
    """Return the 20 kB that belong to a number."""
    return hashlib.sha256(f"{seed}/{number}".encode()).digest() * 640


def digest(*parts: Any) -> str:
    """Return what stands for values of a deeper layer."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def noted(path: str, key: str) -> None:
    """Note one run of a task."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, key.encode() + b"\n")
    os.close(descriptor)


class Workload:
    """What one client holds on one cluster."""

    def __init__(self, client: Client, counts: str) -> None:
        self.client, self.counts = client, counts
        self.results: list[Any] = []
        self.scattered: list[Any] = []
        self.persisted: Any = None
        self.stream: list[Any] = []
        self.held_seed = self.stream_seed = 0

    def hold(self, seed: int) -> dict[str, Any]:
        counts = self.counts

        def counted(number: int) -> bytes:
            noted(counts, f"held/{seed}/{number}")
            return payload(seed, number)

        self.held_seed = seed
        keys = [f"held-{seed}-{number}" for number in range(RESULTS)]
        self.results = self.client.map(counted, range(RESULTS), key=keys)
        self.persisted = (array.arange(40_000, chunks=2_000) + seed).persist()
        wait([*self.results, self.persisted], timeout=BOUND)
        objects = [payload(seed, -number - 1) for number in range(SCATTERED)]
        self.scattered = self.client.scatter(objects, hash=False)
        return {}

    def start(self, seed: int) -> dict[str, Any]:
        counts, chance = self.counts, random.Random(seed)

        def first(number: int, seconds: float) -> str:
            noted(counts, f"stream/{seed}/{number}")
            time.sleep(seconds)
            return digest(seed, number)

        self.stream_seed = seed
        naps = [chance.uniform(0.01, 0.25) for _ in range(STREAM)]
        keys = [f"stream-{seed}-{number}" for number in range(STREAM)]
        layer = self.client.map(first, range(STREAM), naps, key=keys)
        pairs = [
            self.client.submit(digest, one, other, key=f"pair-{seed}-{number}")
            for number, (one, other) in enumerate(zip(layer, reversed(layer), strict=True))
        ]
        self.stream = [*pairs, self.client.submit(digest, pairs, key=f"total-{seed}")]
        return {}

    def finish(self) -> dict[str, Any]:
        seed, stream = self.stream_seed, self.stream
        layer = [digest(seed, number) for number in range(STREAM)]
        pairs = [digest(one, other) for one, other in zip(layer, reversed(layer), strict=True)]
        names = [*(f"pair {number}" for number in range(STREAM)), "total"]
        report = compare(zip(names, stream, [*pairs, digest(pairs)], strict=True))
        runs = self.runs(f"stream/{seed}/")
        if len(runs) != STREAM and not report["missing"]:
            report["wrong"].append(f"{len(runs)} of {STREAM} tasks ran")
        self.stream = []
        return {**report, "rerun": sum(runs.values()) - len(runs), "suspicious": self.suspicious()}

    def check(self) -> dict[str, Any]:
        seed = self.held_seed
        expected = [payload(seed, number) for number in range(RESULTS)]
        names = [f"result {number}" for number in range(RESULTS)]
        report = compare(zip(names, self.results, expected, strict=True))
        objects = [payload(seed, -number - 1) for number in range(SCATTERED)]
        names = [f"object {number}" for number in range(SCATTERED)]
        scattered = compare(zip(names, self.scattered, objects, strict=True))
        total = self.client.compute(self.persisted.sum()).result(timeout=BOUND)
        if total != sum(range(40_000)) + 40_000 * seed:
            report["wrong"].append("persisted array")
        report["checked"] += scattered["checked"] + 1
        report["wrong"] += scattered["wrong"]
        again = sum(self.runs(f"held/{seed}/").values()) - RESULTS
        self.results, self.scattered, self.persisted = [], [], None
        return {
            **report,
            "scattered_lost": len(scattered["missing"]),
            "again": again,
            "suspicious": self.suspicious(),
        }

    def runs(self, beginning: str) -> Counter[str]:
        lines = Path(self.counts).read_text().splitlines()
        return Counter(line for line in lines if line.startswith(beginning))

    def suspicious(self) -> int:
        def most(dask_scheduler: Any = None) -> int:
            return max([task.suspicious for task in dask_scheduler.tasks.values()] or [0])

        return self.client.run_on_scheduler(most)


def compare(values: Any) -> dict[str, Any]:
    """Fetch each future and compare it; values that cannot be had are missing, not an error."""
    report: dict[str, Any] = {"checked": 0, "wrong": [], "missing": []}
    for name, future, expected in values:
        try:
            value = future.result(timeout=BOUND)
        except Exception as error:
            report["missing"].append(f"{name}: {type(error).__name__}: {str(error)[:120]}")
            # What cannot be had for one reason cannot be had for the same one ninety times.
            if isinstance(error, TimeoutError):
                break
            continue
        report["checked"] += 1
        if value != expected:
            report["wrong"].append(name)
    return report


def answer(workload: Workload, words: list[str]) -> dict[str, Any]:
    """Do what a command asks for."""
    try:
        command, *rest = words
        if command not in ("hold", "start", "finish", "check"):
            return {"error": f"unknown command {command}"}
        return getattr(workload, command)(*map(int, rest))
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answer commands until there are no more."""
    with Client(timeout=60) as client:
        workload = Workload(client, sys.argv[1])
        print(json.dumps({"ready": client.scheduler.address}), flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(workload, line.split())), flush=True)


if __name__ == "__main__":
    main()
