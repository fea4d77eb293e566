"""What clusters cost while they do nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import processes
from figures import Row
from installation import Installation
from session import Session
from sides import DEFAULT, crewcall, local


def memory(session: Session) -> list[Row]:
    """Memory of 16 idle workers with all that belongs to them, and with the user's program."""
    workers = 4 if session.quick else 16
    what = f"memory, {workers} idle workers"
    alone = Row(what, DEFAULT.name, 0.5, unit="MB", note="ours with controller, host and spare host")
    program = Row(f"{what}, with the user's program", DEFAULT.name, None, unit="MB")
    for _ in session.rounds("memory"):
        with session.installation() as installation:
            installation.create("demo", workers)
            installation.wait_for_spare()
            alone.ours.append(processes.settled_memory(installation.processes))
            with crewcall(installation, "demo", workers, "hold") as said:
                program.ours.append(processes.settled_memory(_with_program(installation, said.pid)))
        with local(session.python, DEFAULT, workers, "hold") as said:
            theirs = processes.settled_memory(_tree(said.pid))
        alone.theirs.append(theirs)
        program.theirs.append(theirs)
    return [alone, program]


def _with_program(installation: Installation, program: int) -> Callable[[], Iterable[int]]:
    return lambda: {*installation.processes(), *processes.tree([program])}


def _tree(program: int) -> Callable[[], Iterable[int]]:
    return lambda: processes.tree([program])


def idle_clusters(session: Session) -> list[Row]:
    """The controller's memory and processor time while 20 clusters of one worker do nothing."""
    clusters, seconds = (3, 5.0) if session.quick else (20, 60.0)
    held = Row(f"controller, {clusters} idle clusters: memory", "", None, unit="MB")
    busy = Row(f"controller, {clusters} idle clusters: processor time", "", None, unit="% of one")
    hosts = Row(f"their {clusters} hosts: processor time", "", None, unit="% of one")
    for number in session.rounds("idle clusters"):
        if number > 0:
            break
        with session.installation() as installation:
            for cluster in range(clusters):
                installation.create(f"idle-{cluster}", 1)
            installation.wait_for_spare()
            controller = installation.controller()
            owners = list(installation.hosts())
            begun = time.monotonic()
            before = [processes.processor_seconds(pids) for pids in ([controller], owners)]
            time.sleep(seconds)
            after = [processes.processor_seconds(pids) for pids in ([controller], owners)]
            passed = time.monotonic() - begun
            busy.ours.append(100 * (after[0] - before[0]) / passed)
            hosts.ours.append(100 * (after[1] - before[1]) / passed)
            held.ours.append(processes.proportional_memory([controller]))
    return [held, busy, hosts]
