"""From the shell command to N registered workers."""

from __future__ import annotations

import time

from figures import Row
from session import Session
from sides import DEFAULT, FASTEST, crewcall, local

GOALS = {1: 0.6, 4: 0.35, 16: 0.25}
"""Of the time that LocalCluster's default takes, by workers."""

SECOND = 0.2
"""The same for a second cluster."""


def measure(session: Session) -> list[Row]:
    """Cold: no controller runs, all directories are new. Second: one cluster and its spare exist."""
    rows = []
    for workers in (1, 4) if session.quick else (1, 4, 16):
        rows += _of_size(session, workers)
    return rows


def _of_size(session: Session, workers: int) -> list[Row]:
    what = f"{workers} worker{'s' * (workers > 1)} from the shell"
    cold = Row(what, DEFAULT.name, GOALS[workers])
    cold_fastest = Row(what, FASTEST.name, None)
    client = Row(f"{what}, and a client has seen them", DEFAULT.name, None)
    second = Row(f"second cluster, {workers} worker{'s' * (workers > 1)}", DEFAULT.name, SECOND)
    second_fastest = Row(second.what, FASTEST.name, None)
    for _ in session.rounds(what):
        with session.installation() as installation:
            begun = time.monotonic()
            ours = installation.create("first", workers)
            with crewcall(installation, "first", workers, "connected"):
                connected = time.monotonic() - begun
            installation.wait_for_spare()
            ours_second = installation.create("second", workers)
        theirs = {}
        for rival in (DEFAULT, FASTEST):
            with local(session.python, rival, workers, "connected") as said:
                theirs[rival] = said.seconds
        for row, value, rival in (
            (cold, ours, DEFAULT),
            (cold_fastest, ours, FASTEST),
            (client, connected, DEFAULT),
            (second, ours_second, DEFAULT),
            (second_fastest, ours_second, FASTEST),
        ):
            row.ours.append(value)
            row.theirs.append(theirs[rival])
    return [cold, cold_fastest, client, second, second_fastest]
