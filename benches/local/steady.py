"""What a cluster costs while it works: encryption and forks must cost nothing."""

from __future__ import annotations

import tempfile

from figures import Row
from session import Session
from sides import ENCRYPTED, crewcall, local

WORKERS = 4


def measure(session: Session) -> list[Row]:
    """Throughput: many small tasks, and a transfer from all workers to all."""
    work = {"tasks": 500, "repeats": 1, "rows": 4, "size": 2**20}
    if not session.quick:
        work = {"tasks": 2000, "repeats": 3, "rows": 12, "size": 2**20}
    megabytes = work["rows"] ** 2 * work["size"] / 1e6
    small = Row(
        f"throughput: {work['tasks']} small tasks", ENCRYPTED.name, 0.95, at_least=True, unit="tasks/s"
    )
    transfer = Row(
        f"throughput: {megabytes:.0f} MB from all to all", ENCRYPTED.name, 0.95, at_least=True, unit="MB/s"
    )
    for _ in session.rounds("throughput"):
        with tempfile.TemporaryDirectory() as certificates:
            with session.installation() as installation:
                installation.create("demo", WORKERS)
                installation.wait_for_spare()
                installation.wait_for_dashboard("demo")
                installation.copy_certificates("demo", certificates)
                with crewcall(installation, "demo", WORKERS, "throughput", **work) as said:
                    ours = said.result
            options = {"certificates": certificates, **work}
            with local(session.python, ENCRYPTED, WORKERS, "throughput", **options) as said:
                theirs = said.result
        for values, result in ((0, ours), (1, theirs)):
            (small.ours, small.theirs)[values].append(work["tasks"] / result["small"])
            (transfer.ours, transfer.theirs)[values].append(megabytes / result["transfer"])
    return [small, transfer]
