"""Sizes that change: up, down with results held, restart."""

from __future__ import annotations

import tempfile

from figures import Row
from session import Session
from sides import DEFAULT, ENCRYPTED, FASTEST, crewcall, local

SMALL, LARGE = 4, 16
"""Workers."""


def scale_up(session: Session) -> list[Row]:
    """Time from asking for 16 workers to having them; ours includes a process for the command."""
    what = f"scale-up {SMALL} → {LARGE}"
    rows = [Row(what, DEFAULT.name, 0.1), Row(what, FASTEST.name, None)]
    for _ in session.rounds(what):
        with session.installation() as installation:
            installation.create("demo", SMALL)
            installation.wait_for_spare()
            installation.wait_for_dashboard("demo")
            with crewcall(installation, "demo", SMALL, "scale_up", to=LARGE) as said:
                ours = said.result["seconds"]
        for row, rival in zip(rows, (DEFAULT, FASTEST), strict=True):
            with local(session.python, rival, SMALL, "scale_up", to=LARGE) as said:
                row.ours.append(ours)
                row.theirs.append(said.result["seconds"])
    return rows


def scale_down(session: Session) -> list[Row]:
    """Scale-down while 1 GB of results is held, which must not be computed again."""
    what = f"scale-down {LARGE} → {SMALL}, 1 GB held"
    work = {"to": SMALL, "count": 40 if session.quick else 160, "size": 6_400_000}
    recomputed = Row(f"{what}: results computed again", "", 0, unit="results")
    moving = Row(what, "tasks that fetch the same bytes", 2.0)
    lossy = Row(what, ENCRYPTED.name, None)
    lost = Row(f"{what}: computed again by LocalCluster", "", None, unit="results")
    for _ in session.rounds(what):
        with tempfile.TemporaryDirectory() as certificates:
            with session.installation() as installation:
                installation.create("demo", LARGE)
                installation.wait_for_spare()
                installation.wait_for_dashboard("demo")
                installation.copy_certificates("demo", certificates)
                with crewcall(installation, "demo", LARGE, "scale_down", baseline=True, **work) as said:
                    ours = said.result
            options = {"certificates": certificates, "baseline": False, **work}
            with local(session.python, ENCRYPTED, LARGE, "scale_down", **options) as said:
                theirs = said.result
        if not (ours["complete"] and theirs["complete"]):
            raise AssertionError(f"results are not what they were: {ours}, {theirs}")
        recomputed.ours.append(ours["recomputed"])
        lost.ours.append(theirs["recomputed"])
        moving.ours.append(ours["seconds"])
        moving.theirs.append(ours["moving"])
        lossy.ours.append(ours["seconds"])
        lossy.theirs.append(theirs["seconds"])
    return [recomputed, moving, lossy, lost]


def restart(session: Session) -> list[Row]:
    """``client.restart()`` with 4 workers, and one task afterwards."""
    what = f"client.restart(), {SMALL} workers"
    row = Row(what, DEFAULT.name, None)
    for _ in session.rounds(what):
        with session.installation() as installation:
            installation.create("demo", SMALL)
            installation.wait_for_spare()
            installation.wait_for_dashboard("demo")
            with crewcall(installation, "demo", SMALL, "restart", limit=120) as said:
                ours = said.result
        if "refused" in ours:
            row.note = _skipped(what, "refused", ours)
            break
        with local(session.python, DEFAULT, SMALL, "restart", limit=120) as said:
            theirs = said.result
        if "refused" in theirs:
            row.note = _skipped(what, "LocalCluster failed", theirs)
            continue
        row.ours.append(ours["seconds"])
        row.theirs.append(theirs["seconds"])
    return [row]


def _skipped(what: str, how: str, result: dict[str, str]) -> str:
    note = f"{how}: {result['refused']}".replace("|", "/").replace("\n", " ")
    print(f"  {what}: {note}", flush=True)
    return note
