"""What /proc says of processes: trees, memory, processor time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
"""Clock ticks a second."""


def wait_until(what: str, condition: Callable[[], bool], bound: float, interval: float = 0.01) -> None:
    """Return when `condition` holds.

    Raises:
        TimeoutError: It did not within `bound` seconds.
    """
    end = time.monotonic() + bound
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {bound:.0f} s")
        time.sleep(interval)


def all_processes() -> list[int]:
    """Return the pids of this machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat(pid: int) -> list[str] | None:
    try:
        # The second field is a name in parentheses, which may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie has ended.
    return None if fields[0] == "Z" else fields


def tree(roots: Iterable[int]) -> list[int]:
    """Return the living processes of `roots` and everything below them, each once."""
    parents = {pid: int(fields[1]) for pid in all_processes() if (fields := _stat(pid)) is not None}
    known = {pid for pid in roots if pid in parents}
    grown = True
    while grown:
        below = {pid for pid, parent in parents.items() if parent in known} - known
        known |= below
        grown = bool(below)
    return sorted(known)


def marked(text: str) -> list[int]:
    """Return the living processes, other than this one, whose environment or arguments hold `text`."""
    found = []
    for pid in all_processes():
        if pid == os.getpid() or _stat(pid) is None:
            continue
        for file in ("environ", "cmdline"):
            try:
                if text.encode() in Path(f"/proc/{pid}/{file}").read_bytes():
                    found.append(pid)
                    break
            except OSError:
                break
    return found


def proportional_memory(pids: Iterable[int]) -> float:
    """Return the sum of the proportional set sizes in megabytes; shared pages count once in all."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024 / 1e6


def settled_memory(pids: Callable[[], Iterable[int]], bound: float = 20.0) -> float:
    """Return the memory in megabytes once it changes by less than 1 % within 1.5 s, or after `bound`."""
    end = time.monotonic() + bound
    before = proportional_memory(pids())
    while True:
        time.sleep(1.5)
        now = proportional_memory(pids())
        if abs(now - before) < 0.01 * now or time.monotonic() > end:
            return now
        before = now


def processor_seconds(pids: Iterable[int]) -> float:
    """Return the processor time of `pids` so far, in seconds."""
    total = 0
    for pid in pids:
        fields = _stat(pid)
        if fields is not None:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS
